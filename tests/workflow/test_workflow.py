"""The whole workflow through the real Snakemake, with a stand-in for dataflex-cli."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids
from dataflex.planning.commands import Options, plan_of_file
from dataflex.planning.jobs import jobs_of, local_jobs
from dataflex.planning.kinds import by_kind
from dataflex.watching.expected import expected
from tests.browsing import browser, opened

ROOT = Path(__file__).resolve().parent.parent.parent


def snakemake(folder, *arguments, python=sys.executable, **environment):
    return subprocess.run(
        [python, "-m", "snakemake", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}/workflow/plugins:{ROOT}", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def listed(result):
    """Rule -> jobs, from the table that a dry run begins with."""
    table = result.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    pairs = [line.split() for line in table.splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def planned(file, check=True, targets=(), **part):
    """The same as the plan counts it, without Snakemake."""
    grid = grids.load(ROOT / file)
    cells, benchmarks = grids.cells(grid, **part), not part
    if targets:
        cells, benchmarks = grids.part_of(grid, cells, targets)
    jobs = jobs_of(grid, cells, with_benchmarks=benchmarks, targets=targets)
    small = local_jobs(grid if check else {**grid, "reference": ""}, jobs, targets)
    counts = {row["kind"]: row["jobs"] for row in by_kind(jobs, small)}
    return {**counts, "total": sum(counts.values())}


@pytest.mark.slow
def test_the_demo_grid_is_planned():
    result = snakemake(ROOT, "-n", "--config", "output=runs/never", "check=false")
    assert result.returncode == 0, result.stderr
    assert listed(result) == planned("reproductions/demo.yaml", check=False)
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    grid = grids.load(ROOT / "reproductions/demo.yaml")
    cells = grids.cells(grid)
    selections = sum(cell.experiment == "planted" for cell in cells)
    # A run that only serves others is trained, not evaluated.
    reported = [cell for cell in cells if grids.reported(grid, cell)]
    mixtures = sum(cell.experiment == "planted_mixture" for cell in reported)
    assert "evaluate_steps" not in counts
    models = len(reported) - selections - mixtures
    assert counts["train"] == str(len(cells))
    assert (counts["evaluate"], counts["mark"]) == (str(models), str(selections))
    assert counts["measure"] == str(mixtures)
    # The text and, of the one seed, the planted pool and the chains; two models of text and one of symbols.
    assert (counts["corpus"], counts["model"]) == ("3", "3")
    # Tables and figures read whole cells: either would fail beside a cell that is still being evaluated.
    for rule in ("tables", "figures"):
        block = result.stdout.split(f"rule {rule}:")[1].split("output:")[0]
        summaries = ("metrics", "selection", "mixture")
        assert [block.count(f"/{name}.json") for name in summaries] == [models, selections, mixtures]
        assert block.count("/curve.csv") == len(reported)


@pytest.mark.slow
def test_the_papers_grid_is_planned_by_the_slurm_profile():
    result = snakemake(ROOT, "--profile", "slurm", "-n")
    assert result.returncode == 0, result.stderr
    assert listed(result) == planned("reproductions/paper.yaml")
    assert listed(result)["total"] == 191
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    # 9 methods x 2 models, and (3 methods + 2 helper runs of DoReMi) x 2 scales
    assert (counts["train"], counts["evaluate"], counts["corpus"]) == ("28", "26", "3")
    # Five models and four data sets, each once; checks of one scale of selection and two of mixtures.
    assert (counts["asset"], counts["preflight_checks"], counts["preflight_score"]) == ("9", "3", "2")
    assert counts["preflight_devices"] == "3"
    for block in result.stdout.split("rule train:")[1:]:
        assert "/preflight/" in block.split("output:")[0]
    # Steps 0 to 1400 of the 18 cells of selection: what is evaluated at 1600 is the run's own model.
    assert (counts["evaluate_steps"], counts["by_step"]) == ("18", "18")
    figures = result.stdout.split("rule figures:")[1]
    assert figures.split("output:")[0].count("/by_step.csv") == 18
    assert "figures/accuracy_by_step.svg" in figures
    # LESS: 2 sides x 4 ratios on 1 GPU and on 8; TSDS: 5 pools; without the authors' code
    assert (counts["benchmark"], counts["upstream"], counts["efficiency_tables"]) == ("21", "1", "1")
    assert "gres=gpu:8" in result.stdout
    assert "nodes=4" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("partition", "cpus", "said"),
    [
        ("\"'all'\"", "\"'open'\"", None),
        ("all", "cpu", "slurm_partition is all, which Snakemake takes for Python's own all"),
        ("gpu", "open", "cpu_partition: \"'open'\""),
    ],
)
def test_a_partition_may_have_a_name_that_python_has(tmp_path, partition, cpus, said):
    profile = (ROOT / "workflow/profiles/slurm/config.yaml").read_text()
    for line, other in (
        ("\n  slurm_partition: gpu\n", f"\n  slurm_partition: {partition}\n"),
        ("\n  # cpu_partition: cpu\n", f"\n  cpu_partition: {cpus}\n"),
    ):
        assert line in profile
        profile = profile.replace(line, other)
    (tmp_path / "config.yaml").write_text(profile)
    result = snakemake(ROOT, "--profile", str(tmp_path), "-n", "--config", "output=runs/never")
    assert (result.returncode == 0) is (said is None)
    if said is None:
        found = set(re.findall(r"slurm_partition=([^,\s]+)", result.stdout))
        assert found == {"all", "open"}
    else:
        told = result.stdout + result.stderr
        assert said in told
        assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.parametrize("part", [{"experiments": ["mixture"]}, {"methods": ["less", "doremi"]}])
def test_a_part_of_the_papers_grid_is_planned(part):
    ((key, names),) = part.items()
    chosen = f"{key}=[{','.join(names)}]"
    result = snakemake(ROOT, "--profile", "slurm", "-n", "--config", chosen, "output=runs/never")
    assert result.returncode == 0, result.stderr
    assert listed(result) == planned("reproductions/paper.yaml", **part)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [("mixture_6b",), ("efficiency",), ("selection", "mixture_30b")])
def test_a_target_of_the_papers_grid_is_planned(targets):
    result = snakemake(ROOT, *targets, "--profile", "slurm", "-n", "--config", "output=runs/never")
    assert result.returncode == 0, result.stderr
    assert listed(result) == planned("reproductions/paper.yaml", targets=targets)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["demo", "paper"])
def test_the_names_of_parts_are_the_workflows_targets(file):
    """They stand in two places: here nothing would tell that one was forgotten."""
    grid = grids.load(ROOT / f"reproductions/{file}.yaml")
    result = snakemake(ROOT, "--list-target-rules", "--config", f"grid=reproductions/{file}.yaml")
    assert result.returncode == 0, result.stderr
    of_all = {"all", "check", "efficiency_tables", "figures", "page", "tables", "upstream"}
    found = {line for line in result.stdout.splitlines() if line and " " not in line} - of_all
    parts = set(grids.parts(grid, grids.cells(grid)))
    assert found - {grids.EFFICIENCY} == parts
    assert (grids.EFFICIENCY in found) == ("efficiency" in grid)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "told"), [((), ".yaml --output"), (("seeds=[3,4]",), ".yaml --seeds 3,4 --output")]
)
def test_the_page_is_told_the_seeds_that_were_asked_for(chosen, told):
    result = snakemake(ROOT, "-n", "-p", "--config", "check=false", "output=runs/never", *chosen)
    assert result.returncode == 0, result.stderr
    (command,) = [line for line in result.stdout.splitlines() if "dataflex-cli report" in line]
    assert told in " ".join(command.split())


@pytest.mark.slow
def test_what_a_budget_leaves_is_run_by_the_commands_that_the_plan_tells(monkeypatch):
    """By names of parts and, of the rest, by the files of each cell: those trainings and evaluations, no others."""
    monkeypatch.chdir(ROOT)
    asked = Options(seeds="1,2", budget=3300, output="runs/never")
    budget = plan_of_file(Path("reproductions/paper.yaml"), asked)["budget"]
    trained, evaluated = [], []
    for command in budget["commands"]:
        # As a shell takes it apart.
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        result = snakemake(ROOT, *words[1:], "-n")
        assert result.returncode == 0, result.stderr
        for rule, cells in (("train", trained), ("evaluate", evaluated)):
            named = rf"^rule {rule}:\n(?:    .*\n)*?    wildcards: experiment=(\S+), cell=(\S+)$"
            cells += map("/".join, re.findall(named, result.stdout, re.MULTILINE))
    assert sorted(set(trained)) == sorted(budget["train"])
    assert sorted(evaluated) == sorted(budget["keep"])


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the repository with its own environment, in which dataflex-cli is the stand-in."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("workflow", "reproductions", "paper_figures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = folder / "environment"
    (environment / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment / "pyvenv.cfg")
    (environment / "lib").symlink_to(Path(sysconfig.get_path("purelib")).parent.parent)
    (environment / "bin/python").symlink_to(sys.executable)
    cli = environment / "bin/dataflex-cli"
    path = f"{ROOT / 'tests/workflow'}:{ROOT / 'tests/evidence'}:{ROOT}"
    cli.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -m fake_cli "$@"\n')
    cli.chmod(0o755)
    grid = yaml.safe_load((folder / "reproductions/demo.yaml").read_text())
    grid["experiments"]["selection"]["methods"] = {
        name: grid["experiments"]["selection"]["methods"][name] for name in ("full", "loss")
    }
    selection = grid["experiments"]["selection"]
    selection["config"] |= {"save_strategy": "steps", "save_steps": 16}
    selection["evaluate_steps"] = 32
    # The server would import the libraries of the real command.
    grid["warm"] = False
    del grid["experiments"]["weighting"]
    part = yaml.safe_load((folder / "reproductions/planted.yaml").read_text())
    methods = part["experiments"]["planted"]["methods"]
    part["experiments"]["planted"]["methods"] = {"random": methods["random"]}
    chains = part["experiments"]["planted_mixture"]
    chains["methods"] = {"natural": chains["methods"]["natural"]}
    chains["yardstick"] |= {"over": ["easy"]}
    (folder / "reproductions/planted.yaml").write_text(yaml.safe_dump(part))
    for name in ("random", "odm", "doremi_proxy", "doremi"):
        del grid["experiments"]["mixture"]["methods"][name]
    (folder / "reproductions/demo.yaml").write_text(yaml.safe_dump(grid))
    return folder


def demo(folder, *arguments, **environment):
    python = str(folder / "environment/bin/python")
    return snakemake(folder, "--logger", "cells", "--retries", "0", *arguments, python=python, **environment)


def starts(folder, cell):
    return len((folder / "runs/demo/train" / cell / "starts").read_text().splitlines())


NATURAL, FULL = "mixture/natural.tiny.harvest.seed1", "selection/full.tiny.harvest.seed1"
PLANTED = "planted/random.tiny.pool.seed1"


@pytest.mark.slow
def test_the_workflow_from_end_to_end(repository, monkeypatch):
    monkeypatch.chdir(repository)
    # 1. A failing cell: the tail of its log is shown, its run directory stays, nothing is sealed.
    failed = demo(repository, "--config", "check=false", FAIL_TRAIN="natural")
    assert failed.returncode != 0
    assert "the disk is full" in failed.stderr
    assert not (repository / f"runs/demo/train/{NATURAL}.done.json").exists()
    assert starts(repository, NATURAL) == 1
    assert (repository / "runs/demo/train/mixture/uniform.tiny.harvest.seed1.done.json").exists()

    # 2. A run that ends without being completed is no success.
    half = demo(repository, "--config", "check=false", HALF_DONE="natural")
    assert half.returncode != 0
    assert "not 'completed'" in half.stderr
    assert not (repository / f"runs/demo/train/{NATURAL}.done.json").exists()

    # 3. A checkpoint that could not be evaluated holds up nothing but what needs it.
    stuck = demo(repository, "--keep-going", "--config", "check=false", FAIL_STEP="64")
    assert stuck.returncode != 0
    assert "out of memory" in stuck.stderr
    assert "4/4" not in stuck.stderr.splitlines()[0]
    assert "trained" in stuck.stderr
    held = (repository / "runs/demo/attempts/corpus/corpus.jsonl").read_text().splitlines()
    assert json.loads(held[-1])["status"] == 0
    assert not (repository / f"runs/demo/results/{FULL}/by_step.csv").exists()
    assert (repository / f"runs/demo/results/{FULL}/metrics.json").exists()
    held = (repository / f"runs/demo/attempts/evaluate_steps/{FULL}.jsonl").read_text().splitlines()
    assert json.loads(held[-1])["status"] == 1
    scored = repository / f"runs/demo/steps/{FULL}/32/metrics.json"
    written = scored.stat().st_mtime_ns

    # 4. The rest runs through; what is done is not done again; the interrupted run was kept for its resume.
    done = demo(repository, "--config", "check=false")
    assert done.returncode == 0, done.stderr
    whole = expected(Path("runs/demo"))
    assert whole.note is None
    assert {cell.path for cell in whole.cells if cell.reported} >= {NATURAL, FULL, PLANTED}
    assert [cell.steps for cell in whole.cells if cell.path == FULL] == [(0, 32, 64)]
    assert starts(repository, NATURAL) == 3
    assert starts(repository, "mixture/uniform.tiny.harvest.seed1") == 1
    assert "evaluate_steps " in done.stderr
    # The checkpoint before the one that could not be evaluated is not evaluated again.
    assert scored.stat().st_mtime_ns == written
    assert "train " not in done.stderr
    assert (repository / "runs/demo/tables/mixture.md").is_file()
    assert (repository / "runs/demo/tables/mixture_moe.md").is_file()
    assert (repository / "runs/demo/figures/learning_curves.svg").is_file()
    identity = json.loads((repository / f"runs/demo/results/{FULL}/run.json").read_text())
    assert identity["cell"]["method"] == "full"
    assert identity["start"]["method"] == "natural"
    picked = json.loads((repository / f"runs/demo/results/{PLANTED}/selection.json").read_text())
    assert picked["precision"] == pytest.approx(1 / 3)
    assert (repository / "runs/demo/tables/planted.md").is_file()
    assert (repository / "runs/demo/figures/planted.svg").is_file()
    # Half of the tokens for easy are a loss of 1.5, all of them of 1.0.
    with (repository / "runs/demo/tables/planted_mixture.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"] == "regret"]
    regrets = {row["method"]: float(row["value"]) for row in rows}
    assert regrets == pytest.approx({"natural": 0.5, "static_easy": 0.0})
    assert (repository / "runs/demo/figures/planted_mixture.svg").is_file()
    lines = (repository / f"runs/demo/results/{FULL}/by_step.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "0", "32", "64", "96"]
    metrics = json.loads((repository / f"runs/demo/results/{FULL}/metrics.json").read_text())
    assert lines[-1] == f"96,{metrics['mmlu']['acc']!r},{metrics['mmlu']['answer_nll']!r},40"
    assert not (repository / "runs/demo/steps/mixture").exists()
    assert (repository / "runs/demo/figures/accuracy_by_step.svg").is_file()
    config = yaml.safe_load((repository / f"runs/demo/configs/{FULL}.yaml").read_text())
    assert config["model_name_or_path"] == f"runs/demo/train/{NATURAL}"

    # 5. Nothing is left to do.
    again = demo(repository, "--config", "check=false")
    assert again.returncode == 0
    assert "nothing to do" in again.stderr

    # Nor where the checkout was moved.
    moved = repository.rename(repository.with_name("moved"))
    again = demo(moved, "--config", "check=false")
    moved.rename(repository)
    assert "nothing to do" in again.stderr

    # 6. A changed setting of one method trains that cell from scratch and no other.
    file = repository / "reproductions/demo.yaml"
    grid = yaml.safe_load(file.read_text())
    grid["experiments"]["selection"]["methods"]["full"]["config"]["max_steps"] = 40
    file.write_text(yaml.safe_dump(grid))
    changed = demo(repository, "--config", "check=false")
    assert changed.returncode == 0, changed.stderr
    assert starts(repository, FULL) == 1
    assert "seed1: started" in changed.stderr
    assert "loss.tiny" not in changed.stderr
    assert scored.stat().st_mtime_ns != written
    assert starts(repository, NATURAL) == 3

    # 7. Another target marks the selection anew, without training.
    part = yaml.safe_load((repository / "reproductions/planted.yaml").read_text())
    part["experiments"]["planted"]["methods"]["random"]["target"] = ["learned"]
    (repository / "reproductions/planted.yaml").write_text(yaml.safe_dump(part))
    again = demo(repository, "--config", "check=false")
    assert again.returncode == 0, again.stderr
    picked = json.loads((repository / f"runs/demo/results/{PLANTED}/selection.json").read_text())
    assert picked["precision"] == pytest.approx(2 / 3)
    assert starts(repository, PLANTED) == 1

    # 8. What is watched is what the targets ask for, and what that builds on.
    part["experiments"]["planted"]["methods"]["random"]["target"] = ["relevant"]
    (repository / "reproductions/planted.yaml").write_text(yaml.safe_dump(part))
    assert demo(repository, "planted", "--config", "check=false").returncode == 0
    watched = expected(Path("runs/demo")).cells
    assert {cell.path for cell in watched if cell.reported} == {
        cell.path for cell in whole.cells if cell.experiment == "planted"
    }
    assert [cell.path for cell in watched if not cell.reported] == [NATURAL]


@pytest.mark.slow
def test_snakemakes_own_report_needs_no_network(repository):
    made = demo(repository, "--config", "check=false", "output=runs/told")
    assert made.returncode == 0, made.stderr
    page = (repository / "runs/told/report.html").read_text(encoding="utf-8")
    results = sorted((repository / "runs/told/results").glob("*/*/run.json"))
    assert page.count('class="cell"') == len(results) > 5
    # Whoever asks for something from outside, asks a port that nobody listens on.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    told = demo(
        repository,
        "--config",
        "check=false",
        "output=runs/told",
        "--report",
        "told.html",
        **nowhere,
    )
    assert told.returncode == 0, told.stderr
    with browser() as running:
        shown, heard = opened(running, repository / "told.html")
        for category in ("All on one page", "Figures", "Tables"):
            assert shown.get_by_text(category, exact=True).first.is_visible()
        shown.get_by_text("Figures", exact=True).first.click()
        assert shown.get_by_text("learning_curves.svg").first.is_visible()
        assert heard.errors == []
        assert [url for url in heard.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.slow
def test_one_key_switches_to_the_users_files(repository):
    mine = repository / "mine.jsonl"
    mine.write_text('{"text": "a", "meta": {"redpajama_set_name": "code"}}\n')
    result = demo(
        repository,
        "--config",
        "check=false",
        "output=runs/mine",
        "corpus_files=[mine.jsonl]",
        "methods=[uniform]",
    )
    assert result.returncode == 0, result.stderr
    assert json.loads((repository / "runs/mine/corpus/card.json").read_text())["files"] == [mine.read_text()]
    assert not (repository / "runs/mine/results/selection").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "setting", "message"),
    [
        ("runs/demo/train/mixture/natural.tiny.harvest.seed2.done.json", "check=false", "--config 'seeds=[1,2]'"),
        ("runs/demo/results/mixture/uniform.tiny.harvest.seed1/metrics.json", "methods=[loss]", "--config 'methods=[loss,uniform]'"),
        ("mixture", "experiments=[planted]", "--config 'experiments=[planted,mixture]'"),
        ("planted", "methods=[loss]", "nothing of planted was chosen by methods=[loss]: choose among random"),
        ("all", ["experiments=[planted]", "methods=[loss]"], "nothing of planted was chosen"),
    ],
)  # fmt: skip
def test_a_target_that_was_not_chosen_is_told(repository, target, setting, message):
    settings = [setting] if isinstance(setting, str) else setting
    folder = "output=runs/demo"
    result = demo(repository, "-n", target, "--config", folder, *settings)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    # Nobody asks for it here.
    assert demo(repository, "--list", "--config", folder, *settings).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sedes=[1]", "sedes"),
        ("seeds=[]", "seeds"),
        ("methods=[lss]", "no method is called 'lss'"),
        ("grid=none.yaml", "does not exist"),
        ("corpus_files={'Corpus': ['mine.jsonl']}", "names 'Corpus', which is no corpus of the grid"),
    ],
)
def test_a_mistake_in_the_config_is_told(repository, setting, message):
    result = demo(repository, "-n", "--config", setting)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
