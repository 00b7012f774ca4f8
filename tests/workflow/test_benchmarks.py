"""The grid's efficiency experiments: which jobs they are, and one through the real Snakemake."""

import copy
import json
import re
from itertools import product

import pytest
import yaml
from test_workflow import ROOT, snakemake

from dataflex import grid as grids

PAPER = ROOT / "reproductions/paper.yaml"
RATIOS, POOLS = ("0.05", "0.1", "0.5", "1"), (5000, 10000, 20000, 50000, 100000)
WITHOUT_AUTHORS = {
    f"less.{side}.ratio{ratio}.gpus{gpus}"
    for side, ratio, gpus in product(("ours", "upstream"), RATIOS, (1, 8))
} | {f"tsds.ours.pool{pool}" for pool in POOLS}
# The authors' code of LESS has no mode for several GPUs.
AUTHORS = {f"less.authors.ratio{ratio}.gpus1" for ratio in RATIOS} | {
    f"tsds.authors.pool{pool}" for pool in POOLS
}


@pytest.fixture(scope="module")
def paper():
    return grids.load(PAPER)


def test_the_papers_jobs_are_the_product(paper):
    jobs = grids.benchmarks(paper)
    names = [job.name for job in jobs]
    assert len(names) == len(set(names)) == 2 * 4 * 2 + 4 + 2 * 5
    assert set(names) == WITHOUT_AUTHORS | AUTHORS
    assert {job.name for job in grids.possible(jobs, {})} == WITHOUT_AUTHORS
    assert {job.name for job in grids.possible(jobs, {"less": "x", "tsds": "y"})} == WITHOUT_AUTHORS | AUTHORS


def test_the_authors_repeat_what_is_short(paper):
    times = {job.name: grids.benchmark_repeats(paper, job) for job in grids.benchmarks(paper)}
    assert [times[f"tsds.ours.pool{pool}"] for pool in POOLS] == [3, 3, 3, 3, 3]
    assert [times[f"tsds.authors.pool{pool}"] for pool in POOLS] == [3, 3, 3, 1, 1]
    assert {times[f"less.{side}.ratio1.gpus1"] for side in ("upstream", "authors")} == {1}


def test_what_is_left_out_is_told(paper):
    jobs = grids.benchmarks(paper)
    without_tsds = grids.left_out(jobs, {"less": "x"})
    assert len(without_tsds) == 1
    assert without_tsds[0].startswith("left out: 5 jobs with the authors' code of TSDS")
    assert [line.split()[2] for line in grids.left_out(jobs, {})] == ["4", "5"]
    assert grids.left_out(jobs, {"less": "x", "tsds": "y"}) == []


def test_a_grid_needs_no_benchmarks():
    demo = grids.load(ROOT / "reproductions/demo.yaml")
    assert "efficiency" not in demo
    assert grids.benchmarks(demo) == []


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("less", "model"), "Mistral", "efficiency.less.model: no model is called 'Mistral'"),
        (("less", "corpus"), "wiki", "efficiency.less.corpus: no corpus is called 'wiki'"),
        (("less", "ratios"), [0.0], "efficiency.less.ratios.0"),
        (("less", "ratios"), [1.5], "efficiency.less.ratios.0"),
        (("less", "gpus"), [0], "efficiency.less.gpus.0"),
        (("tsds", "beside"), ["theirs"], "efficiency.tsds.beside.0"),
        (("tsds", "repeats"), {"ours": {"times": 3}}, "efficiency.tsds.repeats.ours"),
        (("tsds", "ratios"), [1], "efficiency.tsds"),
    ],
)
def test_a_mistake_in_the_section_is_told(paper, place, value, message):
    grid = copy.deepcopy(paper)
    grid["efficiency"][place[0]][place[1]] = value
    with pytest.raises(grids.GridError, match=re.escape(message)):
        grids.validate(grid)


def planned(*config):
    result = snakemake(
        ROOT, "--profile", "slurm", "-n", "efficiency", "--config", "output=runs/never", *config
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.slow
def test_the_papers_jobs_are_planned():
    result = planned()
    outputs = re.findall(r"output: runs/never/results/efficiency/(less|tsds)(\S*)\.json", result.stdout)
    assert sorted(map("".join, outputs)) == sorted(WITHOUT_AUTHORS)
    # 4 ratios x 2 sides on 8 GPUs and on 1; none for the vectors of TSDS. Every one has its node for itself.
    assert [result.stdout.count(f"gres=gpu:{gpus},") for gpus in (8, 1)] == [8, 8]
    assert result.stdout.count("slurm_extra=--exclusive") == 21
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    # Upstream's environment once, and of the paper's grid nothing but the rows.
    assert {"upstream": "1", "corpus": "1", "efficiency_tables": "1"}.items() <= counts.items()
    assert "train" not in counts
    assert result.stderr.count("left out: ") == 2


@pytest.mark.slow
def test_the_authors_code_is_asked_for_where_it_is():
    result = planned("authors={less: here/LESS, tsds: here/TSDS}")
    outputs = re.findall(r"output: runs/never/results/efficiency/(less|tsds)(\S*)\.json", result.stdout)
    assert sorted(map("".join, outputs)) == sorted(WITHOUT_AUTHORS | AUTHORS)
    assert "left out" not in result.stderr


@pytest.fixture
def tiny(tmp_path):
    """A grid whose only jobs are two benchmarks: LESS on the tiny model of the benchmarks, and TSDS."""
    corpus = tmp_path / "corpus"
    (corpus / "questions").mkdir(parents=True)
    (corpus / "questions/test.jsonl").touch()
    card = {"domains": {}, "instructions": {}, "questions": {}}
    (corpus / "card.json").write_text(json.dumps(card))
    entry = {"file_name": "rows.jsonl", "columns": {"prompt": "asked", "response": "answer"}}
    (corpus / "dataset_info.json").write_text(json.dumps({"instructions": entry}))
    words = [f"word{i}" for i in range(16)]
    rows = [{"asked": " ".join(words[: 3 + i % 9]), "answer": " ".join(words[i % 7 :])} for i in range(8)]
    (corpus / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    grid = {
        "schema": 1,
        "rung": "little",
        "seeds": [1],
        "corpora": {"rows": {"source": "directory", "path": str(corpus)}},
        "models": {"made": {"name_or_path": "tiny"}},
        "experiments": {
            "none": {
                "models": ["made"],
                "scales": {"s": {"corpus": "rows"}},
                "methods": {"m": {"config": {}}},
            }
        },
        "efficiency": {
            "less": {
                "model": "made",
                "corpus": "rows",
                "rows": 4,
                "ratios": [0.5],
                "gpus": [1],
                "beside": ["ours", "authors"],
                "options": {"validation": 1, "cutoff": 64, "rank": 1, "batch": 2, "projection": 8},
            },
            "tsds": {"pools": [200], "queries": [5], "beside": ["ours"]},
        },
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    return tmp_path


@pytest.mark.slow
def test_two_jobs_from_the_grid_to_the_table(tiny):
    result = snakemake(
        ROOT, "--cores", "2", "efficiency", "--config", f"grid={tiny}/grid.yaml", f"output={tiny}/run"
    )
    assert result.returncode == 0, result.stderr
    (job,) = tiny.glob("run/results/efficiency/less*.json")
    assert job.name == "less.ours.ratio0.5.gpus1.json"
    measured = json.loads(job.read_text())
    assert measured["failures"] == []
    assert {run["variant"] for run in measured["runs"]} == {"plain, by length"}
    assert {run["variant"] for run in measured["memory"]} == {"exact", "projected"}
    assert all(run["case"] == {"gpus": 1, "share": 0.5} for run in measured["runs"] + measured["memory"])
    assert (tiny / "run/logs/efficiency/tsds.ours.pool200.log").is_file()
    table = (tiny / "run/tables/efficiency.md").read_text()
    # The paper's seconds at half of the pool, beside ours.
    (row,) = [line for line in table.splitlines() if line.startswith("| 0.5 ")]
    assert [cell.strip() for cell in row.split("|")][-4:-1] == ["14,398", "13,377", "7.1 %"]
    assert "1 to 3.5 %" in table
    assert "- left out: 1 jobs with the authors' code of LESS" in table
    assert not (tiny / "run/train").exists()
