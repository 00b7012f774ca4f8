"""Optimizer steps in lockstep: the order of things, the arithmetic, and two real runs; nothing about time."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficiency import lockstep, sides, step_variants, step_workload
from efficiency.lockstep import Plan
from efficiency.step_workload import Needs, StepWorkload
from scipy.stats import binom

from paper_figures.efficiency import build, results, step_tables

COUNTING = """
import json, os, sys
from pathlib import Path

config = json.loads(Path(sys.argv[1]).read_text())["config"]
reports = os.fdopen(int(sys.argv[2]), "w")
print(json.dumps({"pid": os.getpid()}), file=reports, flush=True)
for step in range(100):
    if not sys.stdin.readline():
        Path(config["ended"]).touch()
        raise SystemExit
    if step == config["fails_at"]:
        raise ValueError("no more steps")
    with open(config["diary"], "a") as diary:
        diary.write(f"{config['name']} begins\\n{config['name']} ends\\n")
    print(json.dumps({"seconds": step + 1.0}), file=reports, flush=True)
"""


@pytest.fixture
def side(tmp_path: Path) -> sides.Side:
    """An environment whose training runs only count."""
    folder = tmp_path / "efficiency" / "workers"
    folder.mkdir(parents=True)
    (folder / "counting_steps.py").write_text(COUNTING)
    return sides.Side("counting", sys.executable, [tmp_path])


def plan(side: sides.Side, folder: Path, name: str, fails_at: int | None = None) -> Plan:
    diary, ended = folder / "diary.txt", folder / f"{name}.ended"
    return Plan(side, name, {"name": name, "diary": str(diary), "ended": str(ended), "fails_at": fails_at})


def test_one_run_at_a_time_takes_one_step_a_round(side: sides.Side, tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    steps = lockstep.lockstep([plan(side, tmp_path, name) for name in names], tmp_path / "runs", 1, 8)
    told = [(step.round, step.plan.variant, step.told) for step in steps]
    assert [turn for turn, _, _ in told] == [turn for turn in range(-1, 8) for _ in names]
    rounds = [[name for turn, name, _ in told if turn == number] for number in range(8)]
    assert all(sorted(order) == names for order in rounds)
    assert len({tuple(order) for order in rounds}) > 2
    assert all(found == {"seconds": turn + 1.0} for turn, _, found in told if turn >= 0)
    diary = (tmp_path / "diary.txt").read_text().split()
    assert diary == [word for order in rounds for name in order for word in (name, "begins", name, "ends")]
    assert all((tmp_path / f"{name}.ended").is_file() for name in names)


def test_a_run_that_fails_leaves_the_others_their_rounds(side: sides.Side, tmp_path: Path) -> None:
    every = [plan(side, tmp_path, "good"), plan(side, tmp_path, "bad", fails_at=1)]
    steps = list(lockstep.lockstep(every, tmp_path / "runs", 1, 3))
    assert [step.round for step in steps if step.plan.variant == "good"] == [-1, 0, 1, 2]
    last = [step for step in steps if step.plan.variant == "bad"][-1]
    assert (last.round, last.told) == (1, None)
    assert "no more steps" in last.error


def test_an_abandoned_benchmark_ends_its_runs(side: sides.Side, tmp_path: Path) -> None:
    steps = lockstep.lockstep([plan(side, tmp_path, "a")], tmp_path / "runs", 1, 50)
    next(steps)
    steps.close()
    assert (tmp_path / "a.ended").is_file()


@pytest.mark.parametrize("n", [6, 7, 10, 25, 60, 61])
def test_interval_of_the_median_follows_the_binomial(n: int) -> None:
    found = results.median_interval([float(value) for value in np.random.default_rng(n).permutation(n)])
    assert found is not None
    below = int(found[0])
    assert found[1] == n - 1 - below
    # The chance that the median lies outside on one side, and that of an interval one value narrower.
    assert binom.cdf(below, n, 0.5) <= 0.025 < binom.cdf(below + 1, n, 0.5)


def test_too_few_values_have_no_interval() -> None:
    assert results.median_interval([1.0] * 5) is None


def write(path: Path, seconds: dict[str, list[float]], **about: Any) -> results.Results:
    report = sides.Report("steps", {"model": "tiny", "parameters": 5e6, "domains": 7, **about})
    report.about |= {"batch": 8, "accumulation": 1, "cutoff": 512}
    for variant, values in seconds.items():
        for turn, value in enumerate(values):
            run = {"side": "library", "variant": variant, "case": {}, "round": turn}
            report.runs.append(run | {"seconds": value, "cpu_seconds": 2 * value, "load": 0.0})
    report.write(path)
    return results.Results(path)


def test_steps_are_divided_by_those_of_their_round(tmp_path: Path) -> None:
    # The machine is slow in the odd rounds; the variant is 10 % slower and does more in one round.
    stock = [1.0, 3.0] * 10
    own = [1.1 * value for value in stock]
    own[4] += 8.0
    found = write(tmp_path / "steps-tiny.json", {"stock": stock, "mix odm": own})
    ratios = found.ratios("library", "mix odm", {})
    assert np.median(ratios) == pytest.approx(1.1)
    assert found.ratio_of_sums("library", "mix odm", {}) == pytest.approx(1.3)
    assert found.ratios("library", "stock", {}) == []


@pytest.mark.parametrize(
    ("ratios", "met"),
    [([1.01] * 20, "yes"), ([1.03] * 20, "no"), ([1.0, 1.04] * 10, "open"), ([1.0] * 5, "-")],
)
def test_a_limit_is_met_when_the_interval_says_so(tmp_path: Path, ratios: list[float], met: str) -> None:
    found = write(tmp_path / "steps-tiny.json", {"stock": [1.0] * len(ratios), "mix odm": ratios})
    stock, row = step_tables.steps_table(found).rows
    assert stock[2:] == ["-"] * 6
    assert (row[0], *row[-3:]) == ("ours: mix odm", "1.02", met, met)


def test_tables_hold_steps_and_their_figure(tmp_path: Path) -> None:
    write(tmp_path / "steps-tiny.json", {"stock": [1.0] * 8, "weight loss": [1.01] * 8})
    text = build.write(tmp_path)
    assert "1.010 [1.010 to 1.010]" in text
    assert (tmp_path / "steps.svg").is_file()
    assert not (tmp_path / "steps.png").exists()
    assert "steps-tiny,-,library,weight loss,8" in (tmp_path / "measurements.csv").read_text()


def make_corpus(folder: Path, texts: int = 60) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    info: dict[str, Any] = {
        "questions": {"file_name": "questions.jsonl", "columns": {"prompt": "instruction"}}
    }
    for name in ("a", "b"):
        words = [" ".join(f"{name}{number}" for number in rng.integers(0, 50, 40)) for _ in range(texts)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in words))
        info[name] = {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 64}
    monkeypatch.setattr(step_workload, "TINY_CONFIG", step_workload.TINY_CONFIG | small)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("model", ["tiny", "moe"])
def test_a_workload_holds_rows_for_all_steps_and_anchors_apart(tmp_path: Path, model: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    corpus = make_corpus(tmp_path / "text")
    work = step_workload.make(tmp_path, corpus, model, Needs(rows=40, anchors=4, cutoff=16))
    assert work.domains == ["a", "b"]
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    texts = {
        name: [json.loads(line)["text"] for line in (work.corpus / f"{name}.jsonl").read_text().splitlines()]
        for name in ("a", "b", "anchors")
    }
    rows = {name: sum(len(ids) for ids in tokenizer(own)["input_ids"]) // 16 for name, own in texts.items()}
    assert rows["a"] + rows["b"] >= 40
    assert rows["anchors"] >= 4
    assert not set(texts["anchors"]) & {*texts["a"], *texts["b"]}
    assert AutoModelForCausalLM.from_pretrained(work.model).config.vocab_size == len(tokenizer)
    with pytest.raises(SystemExit, match="lower --steps"):
        step_workload.make(tmp_path / "more", corpus, model, Needs(rows=10**6, anchors=4, cutoff=16))


def test_every_variant_names_a_component_of_the_library(tmp_path: Path) -> None:
    from dataflex.config import components_of, split

    work = StepWorkload(tmp_path, ["a", "b"], tmp_path)
    for model in ("tiny", "moe"):
        for name, keys in step_variants.library_keys(model, work, tmp_path).items():
            assert bool(components_of(split(keys)[0])) == bool(keys), name


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_real_runs_decide_at_every_step(tmp_path: Path) -> None:
    work = step_workload.make(tmp_path, make_corpus(tmp_path / "text"), "tiny", Needs(20, 2, 16))
    shared = step_variants.common(work, tmp_path, batch=2, accumulation=2, cutoff=16, steps=5)
    keys = step_variants.library_keys("tiny", work, tmp_path / "reference")
    wanted = {name: keys[name] for name in ("stock", "mix odm", "weight loss")}
    every = step_variants.plans(sides.library(), wanted, shared, tmp_path)
    steps = list(lockstep.lockstep(every, tmp_path / "runs", 1, 4))
    assert not [step.error for step in steps if step.told is None]
    assert all(step.told["seconds"] > 0 for step in steps if step.told and step.round >= 0)
    for name, decided in (("mix-odm", [0, 0, 1, 2, 3]), ("weight-loss", [0, 1, 2])):
        lines = (tmp_path / "library" / name / "plan_log.jsonl").read_text().splitlines()
        # The first mixture is logged before the first decision; the last step's weights after its end.
        assert [json.loads(line)["step"] for line in lines] == decided
    assert not (tmp_path / "library" / "stock" / "plan_log.jsonl").exists()
