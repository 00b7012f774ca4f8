"""Another cluster is another profile: nodes, time and partitions follow from it, how many GPUs train together does not."""

import re
import shutil

import pytest
from snakemake_executor_plugin_slurm_cells import records

from dataflex import grid as grids
from tests.workflow.test_workflow import ROOT, snakemake

PAPER = ROOT / "reproductions/paper.yaml"
ASKED = {"threads": 64, "gpus": 8, "nodes": 4, "runtime": 5760, "mem_mb": 400000}


@pytest.mark.parametrize(
    ("gpus_per_node", "expected"),
    [
        (None, {}),
        (8, {}),
        # Where a node has more, the job is as the grid lays it out: another job may have the rest.
        (16, {}),
        (4, {"nodes": 8, "gpus": 4, "threads": 32, "mem_mb": 200000}),
        (1, {"nodes": 32, "gpus": 1, "threads": 8, "mem_mb": 50000}),
        # 32 processes don't lie on nodes of 6: four of each are used.
        (6, {"nodes": 8, "gpus": 4, "threads": 32, "mem_mb": 200000}),
    ],
)
def test_a_job_is_laid_over_the_nodes_that_there_are(gpus_per_node, expected):
    found = grids.Site(gpus_per_node=gpus_per_node).fitted(ASKED)
    assert found == ASKED | expected
    assert found["nodes"] * found["gpus"] == 32


def test_no_job_asks_for_more_time_than_there_is():
    assert grids.Site(longest=1440).fitted(ASKED) == ASKED | {"runtime": 1440}
    assert grids.Site(longest=9999).fitted(ASKED) == ASKED


def test_one_function_tells_what_a_cell_asks_for():
    grid = grids.load(PAPER)
    cell = next(cell for cell in grids.cells(grid) if cell.scale == "30B")
    site = grids.Site(gpus_per_node=4, longest=600)
    assert grids.resources(grid, cell, "train", site) == ASKED | {
        "nodes": 8, "gpus": 4, "threads": 32, "mem_mb": 200000, "runtime": 600
    }  # fmt: skip
    assert grids.trainings(grid, "mixture", "30B", site)["gpus"] == 4


def jobs(result, rule):
    """Resources of each job of a rule, and its command."""
    found = []
    for block in re.split(r"\n(?=(?:local)?rule )", result.stdout):
        if block.startswith((f"rule {rule}:", f"localrule {rule}:")):
            (line,) = re.findall(r"^ +resources: (.*)$", block, re.MULTILINE)
            found.append((dict(pair.split("=", 1) for pair in line.split(", ")), block))
    return found


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A dry run of the paper's grid by a profile that was edited for another cluster."""
    folder = tmp_path_factory.mktemp("elsewhere")
    text = (ROOT / "workflow/profiles/slurm/config.yaml").read_text()
    for before, after in (
        ("gpus_per_node: 8", "gpus_per_node: 4"),
        ("longest: 2880", "longest: 1440"),
        ("# cpu_partition: cpu", "cpu_partition: batch\n  constraint: h100"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "config.yaml").write_text(text)
    # A part is asked for: that must not take the place of what the profile says of the cluster.
    found = snakemake(ROOT, "--profile", str(folder), "-np", "--config", "output=runs/never")
    shutil.rmtree(ROOT / "runs/never", ignore_errors=True)
    assert found.returncode == 0, found.stderr
    return found


@pytest.mark.slow
def test_the_paper_on_nodes_of_four(elsewhere):
    shapes = set()
    for asked, block in jobs(elsewhere, "train"):
        shapes.add((asked["nodes"], asked["gres"], asked["runtime"]))
        assert f"--nodes {asked['nodes']} --processes 4 " in block
        # Notice goes to a job on one node by a signal; those on several go by the clock.
        assert "signal" not in asked.get("slurm_extra", "")
    assert shapes == {("2", "gpu:4", "1440"), ("8", "gpu:4", "1440")}
    assert {asked["gres"] for asked, _ in jobs(elsewhere, "preflight_devices")} == {"gpu:4"}
    assert "left out: 8 benchmarks on more GPUs than a node has" in elsewhere.stderr


@pytest.mark.slow
def test_jobs_without_gpus_leave_the_nodes_that_have_them(elsewhere):
    placed = {(asked["slurm_partition"], asked.get("constraint")) for asked, _ in jobs(elsewhere, "corpus")}
    assert placed == {("batch", None)}
    for rule in ("train", "evaluate", "evaluate_steps", "preflight_devices", "preflight_score"):
        placed = {(asked["slurm_partition"], asked.get("constraint")) for asked, _ in jobs(elsewhere, rule)}
        assert placed == {("gpu", "h100")}
    for asked, _ in (
        jobs(elsewhere, "corpus") + jobs(elsewhere, "benchmark") + jobs(elsewhere, "evaluate_steps")
    ):
        assert int(asked["runtime"]) <= 1440


@pytest.mark.slow
def test_a_number_that_is_none_is_told():
    words = ["--default-resources", "gpus_per_node=eight", "-n", "--profile", "slurm"]
    result = snakemake(ROOT, *words, "--config", "output=runs/never")
    assert result.returncode != 0
    assert "gpus_per_node is 'eight': write a whole number" in result.stderr + result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["corpus", "preflight_score", "preflight_devices", "train", "evaluate"])
def test_a_job_has_its_lock_and_attempts_where_the_executor_looks_for_them(elsewhere, rule):
    """It goes by the log: see ``records.place`` of the executor."""
    for _, block in jobs(elsewhere, rule):
        (log,) = re.findall(r"^ +log: (\S+)", block, re.MULTILINE)
        place = log.replace("/logs/", "/attempts/").removesuffix(".log")
        assert place.startswith(f"runs/never/attempts/{rule}/")
        assert f"--attempts {place}.jsonl" in block
        assert rule == "train" or f"--lock {place}.lock" in block


@pytest.mark.slow
def test_what_was_too_little_is_asked_for_anew_with_more(tmp_path):
    """Half as much again, never more than three times what the grid says, and no more where it says enough."""
    had_and_gets = {"baseline": (1, 1.5), "odm": (2.5, 3), "doremi": (0.75, 1)}
    cells = {f"mixture/{method}.Qwen2.5-1.5B.6B.seed42": both for method, both in had_and_gets.items()}
    grid = grids.load(PAPER)
    asked = {}
    for path, (had, _) in cells.items():
        for job in ("train", "evaluate"):
            asked[job, path] = grids.resources(grid, cell_named(path), job)
            file = tmp_path / f"jobs/{job}/{path}.json"
            asks = {name: int(had * asked[job, path][name]) for name in ("mem_mb", "runtime")}
            records.write(file, "1", "workflow", "log", "digest", asks=asks)
            records.ended(file, out_of_memory=True, out_of_time=True)
    settings = ["--config", f"output={tmp_path}", "experiments=[mixture]"]
    found = snakemake(ROOT, "--profile", "slurm", "-np", *settings)
    assert found.returncode == 0, found.stderr
    for (job, path), wanted in asked.items():
        ((resources, _),) = [one for one in jobs(found, job) if f"/logs/{job}/{path}.log" in one[1]]
        gets = cells[path][1]
        assert int(resources["mem_mb"]) == gets * wanted["mem_mb"]
        # A training goes on where its limit ended it.
        assert int(resources["runtime"]) == (gets if job == "evaluate" else 1) * wanted["runtime"]


def cell_named(path):
    return next(cell for cell in grids.cells(grids.load(PAPER)) if cell.path == path)
