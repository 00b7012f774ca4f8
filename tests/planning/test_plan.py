"""``dataflex-cli plan`` on the grids of the repository, as people type it, with nothing downloaded."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataflex import grid as grids
from dataflex.cli import main
from dataflex.planning.calibration import CALIBRATION, read_devices
from dataflex.planning.jobs import jobs_of, local_jobs, with_needed
from dataflex.planning.runs import Part, Runs
from dataflex.planning.typed import lines

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER, DEMO = "reproductions/paper.yaml", "reproductions/demo.yaml"
Call = Callable[..., str]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def call(*arguments: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["dataflex-cli", "plan", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert (exit_.value.code or 0) == status
        streams = capsys.readouterr()
        return streams.err if status else streams.out

    return call


@pytest.fixture
def planned(cli: Call, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def plan(*arguments: str) -> dict[str, Any]:
        return json.loads(cli(*arguments, "--json", "--output", str(tmp_path / "never")))

    return plan


def test_the_papers_jobs_are_those_of_the_workflow() -> None:
    """The numbers that ``snakemake --profile slurm -n`` lists (tests/workflow/test_workflow.py)."""
    grid = grids.load(PAPER)
    jobs = jobs_of(grid, grids.cells(grid))
    counts = {kind: sum(job.kind == kind for job in jobs) for kind in ("train", "evaluate", "corpus")}
    assert counts == {"train": 28, "evaluate": 26, "corpus": 3}
    assert local_jobs(grid, jobs)["render"] == 28
    devices = {job.devices for job in jobs if job.kind == "train"}
    assert devices == {8, 32}


def test_another_cluster_is_planned_by_its_profile(
    planned: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Nodes of four GPUs, a partition without GPUs, and half a day for a job."""
    profile = tmp_path / "config.yaml"
    resources = {"gpus_per_node": 4, "longest": 720, "cpu_partition": "cpu"}
    profile.write_text(json.dumps({"executor": "slurm-cells", "default-resources": resources}))
    jobs = {job["name"]: job for job in planned(PAPER, "--profile", str(profile))["jobs"]}
    trainings = [job for job in jobs.values() if job["kind"] == "train"]
    # As many GPUs train together, on more nodes.
    assert {(job["devices"], job["nodes"]) for job in trainings} == {(8, 2), (32, 8)}
    assert max(job["limit_hours"] for job in jobs.values() if job["kind"] == "corpus") == 12
    benchmarks = [job for job in jobs.values() if job["kind"] == "benchmark"]
    # Those on eight GPUs are left out, as the workflow does; TSDS has a node without any.
    assert {job["devices"] for job in benchmarks if "less" in job["name"]} == {4}
    assert {job["devices"] for job in benchmarks if "tsds" in job["name"]} == {0}
    assert not [job["name"] for job in benchmarks if "gpus8" in job["name"]]


def test_what_stands_beside_a_proposal_is_told(planned: Callable[..., dict[str, Any]]) -> None:
    """The budget drops cells: the benchmarks' hours are in no sum that it makes."""
    found = planned(PAPER, "--budget", "9700")["budget"]
    assert found["drop"] == []
    assert found["beside_device_hours_most"] == pytest.approx(
        8 * (2 * 4 * 2 * 48 + 5 * 12) + 3 * 8 / 4, abs=1
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("default-resources: 3", "has to be a mapping"),
        ("default-resources: {longest: a day}", "write a whole number"),
        ("[", "can't be read"),
    ],
)
def test_a_profile_that_is_none_is_told(cli: Call, tmp_path: Path, text: str, why: str) -> None:
    profile = tmp_path / "config.yaml"
    profile.write_text(text)
    assert why in cli(PAPER, "--profile", str(profile), status=2)


def test_a_profile_may_have_a_list(tmp_path: Path) -> None:
    profile = tmp_path / "config.yaml"
    profile.write_text("default-resources: [slurm_partition=gpu, gpus_per_node=4]")
    assert grids.read_site(profile) == grids.Site(4, None, cpu_nodes=False)


@pytest.mark.parametrize("file", [PAPER, DEMO])
@pytest.mark.parametrize("methods", [None, ["doremi"], ["less"]])
def test_every_job_comes_after_what_it_needs(file: str, methods: list[str] | None) -> None:
    grid = grids.load(file)
    cells = grids.cells(grid, methods=methods)
    jobs = jobs_of(grid, cells)
    places = {job.name: number for number, job in enumerate(jobs)}
    assert len(places) == len(jobs)
    assert all(places[need] < places[job.name] for job in jobs for need in job.needs)
    every = with_needed(grid, cells)
    assert {job.cell for job in jobs if job.kind == "train"} == set(every)
    for cell in every:
        waits = next(job.needs for job in jobs if job.name == f"train {cell.path}")
        assert {f"train {need.path}" for need in grids.needed(grid, cell).values()} <= set(waits)


def test_the_plan_of_the_paper(planned: Callable[..., dict[str, Any]]) -> None:
    plan = planned(PAPER)
    assert (plan["counts"]["train"], sum(plan["counts"].values())) == (28, 191)
    assert plan["device"]["name"] == "H20"
    assert not plan["device"]["measured"]
    assert plan["device_hours"] == pytest.approx(sum(job["device_hours"] for job in plan["jobs"]), abs=0.01)
    assert plan["device_hours"] == pytest.approx(sum(plan["device_hours_by_experiment"].values()), abs=0.01)
    assert plan["critical_path"] == [
        "train mixture/doremi_reference.Qwen2.5-0.5B.30B.seed42",
        "train mixture/doremi_proxy.Qwen2.5-0.5B.30B.seed42",
        "train mixture/doremi.Qwen2.5-1.5B.30B.seed42",
        "evaluate mixture/doremi.Qwen2.5-1.5B.30B.seed42",
    ]
    assert plan["makespan_hours"] == plan["critical_path_hours"]
    # The corpus may take the 24 h that it asks for.
    assert plan["critical_path_most"] == ["corpus slimpajama_30b", *plan["critical_path"]]
    assert plan["critical_path_hours_most"] == pytest.approx(plan["critical_path_hours"] + 24, abs=0.01)
    assert plan["makespan_hours_most"] == plan["critical_path_hours_most"]
    assert all(cell["fits"] for cell in plan["cells"])
    assert not any(cell["unknown"] for cell in plan["cells"])
    verdicts = {(c["method"], c["model"], c["scale"]): c["verdict"] for c in plan["comparisons"]}
    assert len(verdicts) == 20
    assert verdicts["less", "Mistral-7B-v0.1", "openhermes_100k"] == "could see it"
    assert verdicts["odm", "Qwen2.5-1.5B", "30B"] == "could not"
    # A run from scratch downloads no weights.
    assert plan["download_bytes"]["Qwen/Qwen2.5-1.5B"] < 10**8 < plan["download_bytes"]["slimpajama_6b"]


def test_what_is_here_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = grids.load(ROOT / PAPER)
    part = Part(experiments=["selection"])
    base = grid["models"]["Mistral-7B-v0.1"]
    repo = base["hub"]["repo"]
    # A folder that happens to be called as the repository is nothing that was taken.
    Path(repo).mkdir(parents=True)
    assert Runs(grid, part, "run").downloads()[repo] > 10**10
    ready = Path(grids.asset_ready("run", grids.model_assets(grid, "Mistral-7B-v0.1")[0]))
    ready.parent.mkdir(parents=True)
    ready.write_text("{}")
    assert repo not in Runs(grid, part, "run").downloads()
    del base["hub"]
    for place in ("/data/base", "./base", "~/base", repo):
        base["name_or_path"] = place
        assert place not in Runs(grid, part, "run").downloads()
    base["name_or_path"] = "org/base"
    assert Runs(grid, part, "run").downloads()["org/base"] > 10**10


def test_what_has_no_rate_is_not_estimated(planned: Callable[..., dict[str, Any]]) -> None:
    plan = planned(PAPER)
    rows = {row["kind"]: row for row in plan["kinds"]}
    unknown = {kind for kind, row in rows.items() if not row["estimated"]}
    assert unknown == {"asset", "corpus", "preflight_checks", "preflight_devices", "upstream", "benchmark"}
    assert all(rows[kind]["device_hours"] is None for kind in unknown)
    # Each takes a node of eight for itself, also for one GPU or none, since the profile has no other nodes:
    # LESS 2 sides x 4 ratios x 2 numbers of GPUs for at most 48 h, TSDS 5 pools for 12.
    benchmarks = 8 * (2 * 4 * 2 * 48 + 5 * 12)
    assert rows["benchmark"]["limit_device_hours"] == benchmarks
    assert all(not job["hours"] for job in plan["jobs"] if not job["estimated"])
    # A quarter of an hour on a node of eight for each experiment and scale.
    assert rows["preflight_devices"]["limit_device_hours"] == 3 * 8 / 4
    most = plan["device_hours"] + benchmarks + 3 * 8 / 4
    assert plan["device_hours_most"] == pytest.approx(most, abs=0.01)
    # Nothing says how long these may take.
    assert plan["unbounded"] == {"asset": 9, "preflight_checks": 3, "upstream": 1}
    (line,) = [line for line in plan["assumed"] if line.startswith("hours not estimated")]
    assert "9 asset" in line
    assert "21 benchmark" in line


def test_what_is_computed_beside_the_trainings(planned: Callable[..., dict[str, Any]]) -> None:
    device = read_devices(CALIBRATION)["H100"]
    plan = planned(PAPER, "--device", "H100")
    hours = {job["name"]: 3600 * job["hours"] - device.run_seconds for job in plan["jobs"]}
    cell = "selection/full.Mistral-7B-v0.1.openhermes_100k.seed42"
    # A checkpoint answers the questions alone, the preflight 2,000 of 14,042 with five examples before each.
    # The base model and seven checkpoints in one job, each loaded anew; of the eight starts one is taken off already.
    step = (hours[f"evaluate_steps {cell}"] - 7 * device.run_seconds) / 8
    whole = hours[f"evaluate {cell}"]
    assert hours["preflight_score Mistral-7B-v0.1"] == pytest.approx(step * 6 * 2000 / 14042, rel=0.05)
    # This corpus has no text that is held out, the mixtures' has.
    assert whole == pytest.approx(step, rel=0.01)
    mixture = "mixture/odm.Qwen2.5-1.5B.6B.seed42"
    assert hours[f"evaluate {mixture}"] * 3 > 2 * 1.5e9 * (14042 * 150 + 7e6) / (989e12 * 0.4)
    parameters = next(one["parameters"] for one in plan["cells"] if one["cell"] == cell)
    assert step == pytest.approx(2 * parameters * 14042 * 150 / (989e12 * 0.4), rel=0.05)


def test_a_part_goes_without_benchmarks_as_in_the_workflow(planned: Callable[..., dict[str, Any]]) -> None:
    counts = planned(PAPER, "--experiments", "mixture")["counts"]
    assert not {"benchmark", "upstream", "efficiency_tables", "evaluate_steps", "preflight_score"} & set(
        counts
    )
    assert counts["preflight_checks"] == 2


def test_a_scale_is_planned_by_the_workflows_name(planned: Callable[..., dict[str, Any]]) -> None:
    plan, whole = planned(PAPER, "mixture_6b"), planned(PAPER)
    assert {(cell["experiment"], cell["scale"]) for cell in plan["cells"]} == {("mixture", "6B")}
    # The helper runs come with the cell that they serve; nothing is drawn of a part.
    assert {
        kind: plan["counts"].get(kind) for kind in ("train", "evaluate", "tables", "benchmark", "all")
    } == {
        **{"train": 5, "evaluate": 4},
        **dict.fromkeys(["tables", "benchmark", "all"]),
    }
    assert plan["counts"]["mixture_6b"] == 1
    assert "report" not in {job["kind"] for job in plan["jobs"]}
    own = [job for job in whole["jobs"] if ".6B." in job["name"]]
    assert plan["device_hours"] == pytest.approx(sum(job["device_hours"] for job in own), abs=0.01)
    assert plan["critical_path"][0] == "train mixture/doremi_reference.Qwen2.5-0.5B.6B.seed42"
    assert {(one["method"], one["scale"]) for one in plan["comparisons"]} == {("doremi", "6B"), ("odm", "6B")}
    assert plan["disk_bytes"]["runs"] == sum(cell["disk_bytes"] for cell in plan["cells"])
    assert set(plan["corpora"]) == {"slimpajama_6b"}
    assert planned(PAPER, "mixture_6b", "mixture_30b")["cells"] == planned(PAPER, "mixture")["cells"]


def test_a_cell_is_planned_by_its_path(planned: Callable[..., dict[str, Any]]) -> None:
    odm, proxy, reference = (
        f"mixture/{name}.6B.seed7"
        for name in ("odm.Qwen2.5-1.5B", "doremi_proxy.Qwen2.5-0.5B", "doremi_reference.Qwen2.5-0.5B")
    )
    plan = planned(PAPER, odm, "--seeds", "7")
    assert [cell["cell"] for cell in plan["cells"]] == [odm]
    assert (plan["counts"]["train"], plan["counts"]["evaluate"]) == (1, 1)
    assert plan["download_bytes"].keys() == {"Qwen/Qwen2.5-1.5B", "slimpajama_6b"}
    # With what it builds on itself; one that only serves others is not evaluated.
    counts = planned(PAPER, proxy, "--seeds", "7")["counts"]
    assert (counts["train"], counts["evaluate"]) == (2, 1)
    assert planned(PAPER, reference, "--seeds", "7")["counts"].get("evaluate") is None
    assert planned(PAPER, odm, "selection", "--seeds", "7")["counts"]["train"] == 19


def test_benchmarks_are_planned_by_themselves(planned: Callable[..., dict[str, Any]], cli: Call) -> None:
    plan = planned(PAPER, "efficiency")
    assert (plan["counts"]["benchmark"], plan["counts"]["efficiency"], plan["cells"]) == (21, 1, [])
    assert "train" not in plan["counts"]
    assert {job["devices"] for job in plan["jobs"] if job["kind"] == "benchmark"} == {8}
    assert plan["download_bytes"].keys() == {"meta-llama/Llama-3.2-3B", "openhermes_100k"}
    # A part that names others has none, and one may be asked for beside them.
    assert "benchmark" not in planned(PAPER, "selection")["counts"]
    assert planned(PAPER, "selection", "efficiency")["counts"]["benchmark"] == 21
    text = cli(PAPER, "efficiency")
    assert text.startswith(f"{PAPER}: 29 jobs\n")
    assert "peak memory" not in text


def test_a_scale_downloads_what_it_shares_with_another(planned: Callable[..., dict[str, Any]]) -> None:
    """Both sizes are drawn from the same text, which is downloaded once."""
    sizes = [planned(PAPER, name)["download_bytes"] for name in ("mixture_6b", "mixture_30b", "mixture")]
    assert [sum(own.values()) for own in sizes] == [sum(sizes[0].values())] * 3
    assert "slimpajama_30b" in sizes[1]


@pytest.mark.parametrize(("file", "budget"), [(PAPER, 4000), (PAPER, 3300), (PAPER, 300), (DEMO, 0.3)])
def test_what_a_budget_leaves_can_be_typed(
    planned: Callable[..., dict[str, Any]], file: str, budget: float
) -> None:
    """Each command by itself is a part of the grid, and all of them together are what is kept."""
    grid = grids.load(file)
    found = planned(file, "--budget", str(budget), "--seeds", "1,2")["budget"]
    assert found["drop"]
    named: list[str] = []
    for command in found["commands"]:
        targets, said = re.match(r"snakemake (?:--profile slurm )?(.*) --config (.*)", command).groups()
        config = {
            key: yaml.safe_load(value) for key, _, value in (w.partition("=") for w in shlex.split(said))
        }
        assert config["grid"] == file
        cells = grids.cells(grid, config.get("seeds"), methods=config.get("methods"))
        for word in targets.split():
            one = re.search(r"/results/([^/]+/[^/]+)/\{", word)
            own, _ = grids.part_of(grid, cells, [one[1] if one else word])
            named += [cell.path for cell in own]
    assert sorted(named) == sorted(found["keep"])


def test_a_command_is_broken_so_that_it_can_be_copied() -> None:
    command = f"snakemake a.b/{'c' * 60}/{{d,e}} --config grid=g 'seeds=[1,2]'"
    for width in (30, 50, 80, 200):
        broken = lines(command, width)
        assert max(map(len, broken)) <= width
        assert "\n".join(broken).replace("\\\n", "") == command


def test_the_hours_are_the_operations_over_the_achieved_rate(planned: Callable[..., dict[str, Any]]) -> None:
    device = read_devices(CALIBRATION)["H100"]
    plan = planned(PAPER, "--device", "H100", "--experiment", "mixture", "--method", "baseline")
    hours = {job["name"]: job["hours"] for job in plan["jobs"]}
    for cell in plan["cells"]:
        ranks = 32 if cell["scale"] == "30B" else 8
        # Six operations a parameter and token, attention and the second forward of checkpointing besides.
        assert 6 * cell["parameters"] < cell["flops"] / cell["tokens"] < 9 * cell["parameters"]
        seconds = (
            cell["flops"] / ranks / (989e12 * 0.4) + cell["steps"] * device.step_seconds + device.run_seconds
        )
        assert hours[f"train {cell['cell']}"] == pytest.approx(seconds / 3600, rel=1e-3)


def test_a_part_of_the_paper_brings_what_it_needs(planned: Callable[..., dict[str, Any]]) -> None:
    plan = planned(PAPER, "--seeds", "1,2,3", "--experiments", "mixture", "--method", "doremi,baseline")
    trained = {(cell["method"], cell["scale"], cell["seed"]) for cell in plan["cells"]}
    methods = ("baseline", "doremi", "doremi_proxy", "doremi_reference")
    assert trained == {(m, scale, seed) for m in methods for scale in ("6B", "30B") for seed in (1, 2, 3)}
    assert plan["counts"]["evaluate"] == 12
    assert [one["seeds"] for one in plan["comparisons"]] == [[1, 2, 3]] * 2
    assert plan["comparisons"][0]["detectable_over_seeds_sd"] == pytest.approx(3.264, abs=0.001)
    assert planned(PAPER, "--method", "odm")["comparisons"] == []


def test_a_budget_is_kept(planned: Callable[..., dict[str, Any]]) -> None:
    plan = planned(PAPER, "--budget", "4000", "--seeds", "1,2")
    found = plan["budget"]
    assert found["device_hours"] <= 4000 < plan["device_hours"]
    kept = set(found["train"])
    spent = 0.0
    for job in plan["jobs"]:
        path = "/".join(job["name"].partition(" ")[2].split("/")[:2])
        looks = job["kind"] in ("evaluate", "evaluate_steps") and path in found["keep"]
        spent += job["device_hours"] if looks or (job["kind"] == "train" and path in kept) else 0.0
    assert found["device_hours"] == pytest.approx(spent, abs=0.05)
    assert found["drop"][0]["because"] == "its effect could not be detected"
    for job in plan["jobs"]:
        if job["kind"] == "train" and job["name"].removeprefix("train ") in kept:
            needs = {name.removeprefix("train ") for name in job["needs"] if name.startswith("train ")}
            assert needs <= kept


def test_what_does_not_fit_into_a_gpu_is_flagged(planned: Callable[..., dict[str, Any]], cli: Call) -> None:
    plan = planned(PAPER, "--gpu-memory-gb", "24", "--experiments", "mixture")
    fits = {(cell["method"], cell["scale"]): cell["fits"] for cell in plan["cells"]}
    assert not fits["baseline", "6B"]
    assert fits["doremi_reference", "6B"]
    text = cli(PAPER, "--gpu-memory-gb", "24", "--experiments", "mixture")
    flat = " ".join(text.split())
    assert f"{sum(not fit for fit in fits.values())} cells do not fit into 24 GB: mixture/" in flat
    for (method, scale), fit in fits.items():
        named = re.search(rf"GB: mixture/[^:]*\b{method}\b[^;:]*\b{scale}\b", flat)
        assert (named is None) == fit


def test_the_plan_of_the_demo(planned: Callable[..., dict[str, Any]]) -> None:
    plan = planned(DEMO, "--gpus", "2")
    grid = grids.load(DEMO)
    assert plan["counts"]["train"] == len(grids.cells(grid))
    # The text and, of the one seed, the planted pool and the chains; two models of text and one of symbols.
    assert (plan["counts"]["corpus"], plan["counts"]["model"]) == (3, 3)
    assert plan["device"]["measured"]
    # Both are rounded to a thousandth of an hour.
    assert plan["makespan_hours"] >= max(plan["device_hours"] / 2, plan["critical_path_hours"]) - 0.001
    assert plan["download_bytes"] == {}
    assert not any(cell["unknown"] for cell in plan["cells"])


def test_a_training_starts_after_what_it_waits_for(planned: Callable[..., dict[str, Any]]) -> None:
    jobs = {job["name"]: job for job in planned(PAPER)["jobs"]}
    first = jobs["train mixture/odm.Qwen2.5-1.5B.6B.seed42"]
    assert (first["waits_for"], first["start_hours"], first["start_hours_most"]) == (
        "corpus slimpajama_6b",
        0,
        24,
    )
    proxy = jobs["train mixture/doremi_proxy.Qwen2.5-0.5B.6B.seed42"]
    assert proxy["waits_for"] == "train mixture/doremi_reference.Qwen2.5-0.5B.6B.seed42"
    assert proxy["start_hours_most"] == pytest.approx(proxy["start_hours"] + 24, abs=0.01)
    # The preflight stands between the corpus and these; it is the corpus that they wait for.
    tuned = jobs["train selection/less.Llama-3.2-3B.openhermes_100k.seed42"]
    assert tuned["waits_for"] == "corpus openhermes_100k"


def test_a_corpus_that_is_there_is_not_waited_for(
    planned: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataflex.planning import runs

    there = runs.read_corpus
    monkeypatch.setattr(runs, "read_corpus", lambda *place: replace(there(*place), there=True))
    plan = planned(PAPER)
    assert plan["critical_path_most"] == ["preflight_devices mixture.30B", *plan["critical_path"]]
    assert not any((job["waits_for"] or "").startswith("corpus") for job in plan["jobs"])


def flat(text: str) -> str:
    return " ".join(text.split())


def test_what_is_printed(cli: Call) -> None:
    text = cli(PAPER, "--budget", "1000")
    assert ": 191 jobs\n" in text
    rows = {words[0]: words for line in text.splitlines() if len(words := line.split()) > 3}
    assert rows["evaluate_steps"][1] == "18"
    assert "not estimated" in " ".join(rows["benchmark"])
    assert "left out: 5 jobs with the authors' code of TSDS" in flat(text)
    assert "assumed, not measured: 148 TFLOP/s" in flat(text)
    assert "what another seed would give is not covered" in flat(text)
    assert "8 of 28 trainings take longer than the runtime that the grid asks for: by design" in flat(text)
    assert "2 jobs of 24 h: selection/less Mistral-7B-v0.1, selection/nice Mistral-7B-v0.1" in flat(text)
    assert "so that the cluster ends them" not in flat(text)
    assert "to drop, in this order, for 1000 GPU hours" in flat(text)
    assert "--config grid=reproductions/paper.yaml" in flat(text)
    assert "to download" in text
    text = cli(DEMO, "--seeds", "1,2")
    assert "and 61 cells of other seeds" in flat(text)
    assert "measured: " in text


def test_the_headline_is_a_range_that_holds_what_nobody_knows(cli: Call) -> None:
    text = flat(cli(PAPER))
    assert "9,664 to 16,294 h of GPU time (assumed, not measured)" in text
    assert "21 benchmarks, at most 48 h each and 6,624 h of GPU time together" in text
    assert (
        "critical path 105 to 129 h: corpus slimpajama_30b (at most 24 h) > mixture/doremi_reference 30B"
        in text
    )
    assert "all is done after 105 to 129 h: on as many GPUs as it wants" in text
    assert "to this come 9 asset, 3 preflight_checks, 1 upstream, whose time nobody knows" in text
    assert "0 to 24 h" in text
    assert "nodes of 8 GPUs, jobs of 2880 minutes at most; a benchmark has its node for itself" in text
    assert not re.search(r"\b0 s\b", text)
    # What no job leaves open is one number.
    part = flat(cli(PAPER, "--experiments", "selection", "--methods", "random"))
    assert re.search(r" [\d.]+ h of GPU time \(assumed", part)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("file", [PAPER, DEMO])
def test_no_line_is_wider_than_the_terminal(
    cli: Call, monkeypatch: pytest.MonkeyPatch, file: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = cli(file, "--budget", "1000")
    assert max(map(len, text.splitlines())) <= width
    # The numbers that matter most are there however narrow it is.
    assert ("starts at" in flat(text)) or ("starts" in text and "takes" in text)


def test_equal_rows_and_columns_are_told_once(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = cli(PAPER)
    assert text.count("0.53 to 1.45") == 1
    assert "in every row: detectable 0.53 to 1.45, questions 14,042" in text
    # Full, random and reweighted training take the same: one row a model.
    assert text.count("selection/full, random, reweight Mistral-7B-v0.1 ") == 1
    assert "seed42" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([PAPER, "--seeds", "1,1"], "say different whole numbers"),
        ([PAPER, "--method", "lesss"], "no method is called 'lesss'"),
        ([PAPER, "--device", "T4"], "no device is called 'T4'"),
        ([PAPER, "--gpus", "16"], "needs 32 devices at once, more than 16"),
        ([PAPER, "max_steps=3"], "is a grid: key=value"),
        ([PAPER, "mixture_7b"], "'mixture_7b'; there are selection, mixture, mixture_6b, mixture_30b, effi"),
        ([DEMO, "efficiency"], "no part of the grid is called 'efficiency'; there are mixture, "),
        (
            [PAPER, "mixture/odm.6B"],
            "no cell is called .*; there are mixture/baseline.Qwen2.5-1.5B.6B.seed42,",
        ),
        ([PAPER, "mixture", "--methods", "less"], "mixture: none of its cells is left: choose other"),
        ([PAPER, "--calibration", "nowhere.yaml"], "no calibration file nowhere.yaml"),
        (["workflow/config/study.yaml", "--budget", "3"], "is no grid .*: --budget is for grids"),
        (["--calibrate", "tests"], "no run can be used: no manifest.json"),
    ],
)
def test_mistakes_are_told_in_one_line(cli: Call, arguments: list[str], message: str) -> None:
    text = cli(*arguments, status=2)
    assert len(text.strip().splitlines()) == 1
    assert re.search(message, text)


def test_a_model_of_unknown_size_is_asked_for(cli: Call, tmp_path: Path) -> None:
    text = (ROOT / PAPER).read_text()
    start = text.index("    architecture:")
    file = tmp_path / "grid.yaml"
    file.write_text(text[:start] + text[text.index("  Llama-3.2-3B:") :])
    assert "models.Mistral-7B-v0.1: say its architecture" in cli(str(file), status=2)


def test_sizes_for_the_plan_change_no_run() -> None:
    grid = grids.load(PAPER)
    cell = grids.cells(grid)[0]
    before = grids.recipe(grid, cell, "runs/paper")
    del grid["models"][cell.model]["architecture"]
    assert grids.recipe(grid, cell, "runs/paper") == before
