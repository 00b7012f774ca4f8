"""A whole rung made here, with known truths: what the judge says of it, and that faults turn it red."""

import csv
import json
import random
import shutil
from pathlib import Path

import pytest
import yaml
from results_factory import edit_json, write_cell

from dataflex.evidence.claims.judge import judge_store
from dataflex.evidence.store.find import entries
from dataflex.evidence.store.identity import result_id

SEEDS = range(1, 7)
QUESTIONS = 1200
TRUTH = {"Base": 0.55, "Better": 0.65, "Same": 0.55}
PUBLISHED = {"Base": 55.0, "Better": 65.0, "Same": 55.2}


def answer(folder: Path, share: float) -> None:
    """Have the cell answer that share of its questions, most of them the same ones as every other cell."""
    seed = json.loads((folder / "run.json").read_text())["cell"]["seed"]
    luck = random.Random(f"{folder.name}{seed}")
    lines = []
    for place, text in enumerate((folder / "questions.jsonl").read_text().splitlines()):
        question = json.loads(text)
        hardness = random.Random(place).random() + luck.gauss(0, 0.05)
        choice = question["gold"] if hardness < share else (question["gold"] + 1) % 4
        logliks = [-5.0 - 0.01 * luck.random()] * 4
        logliks[choice] = -1.0
        question["subject"] = f"subject{place % 40}"
        question.update(choice=choice, correct=choice == question["gold"], logliks=logliks)
        lines.append(json.dumps(question))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
    right = sum(json.loads(line)["correct"] for line in lines) / len(lines)
    edit_json(folder / "metrics.json", lambda metrics: metrics["mmlu"].update(acc=right))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A store with a rung that is the paper's own, and a register with three methods."""
    for seed in SEEDS:
        for method, share in TRUTH.items():
            folder = write_cell(
                tmp_path / "results/paper", "exam", method.lower(), seed, questions=QUESTIONS,
                shift=-0.05 if method == "Better" else 0.0,
            )  # fmt: skip
            answer(folder, share)
    protocol = {"known": {}, "unknown": [], "source": "here"}
    (tmp_path / "protocols.yaml").write_text(yaml.safe_dump({"protocols": {"known": protocol}}))
    with (tmp_path / "paper.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            [
                "table",
                "model",
                "scale",
                "method",
                "metric",
                "value",
                "source",
                "confidence",
                "protocol",
                "questions",
            ]
        )
        for method, value in PUBLISHED.items():
            writer.writerow(["exam", "M", "S", method, "acc", value, "here", "high", "known", ""])
        for method, value in (("Base", 4.0), ("Better", 3.8)):
            writer.writerow(["exam", "M", "S", method, "ppl", value, "here", "high", "known", ""])
    accuracy = {"gauge": "accuracy", "published_in": "percent", "better": "higher"}
    perplexity = {"gauge": "perplexity", "published_in": "perplexity", "better": "lower"}
    register = {
        "schema": 1,
        "registered": "2026-11-22",
        "paper": "P",
        "published": "paper.csv",
        "least_seeds": 3,
        "why": {},
        "tables": {
            "exam": {
                "title": "Exam",
                "baselines": ["Base"],
                "metrics": {
                    "acc": {**accuracy, "value_margin": 6.0, "difference_margin": 4.0},
                    "ppl": {**perplexity, "value_margin": 0.1, "difference_margin": 0.03},
                },
            }
        },
        "orderings": [
            {"id": "best", "statement": "Better is.", "table": "exam", "model": "M", "scale": "S",
             "metric": "acc", "tiers": [["Better"], ["Base", "Same"]]}
        ],
        "rungs": {
            "paper": {"same": True, "seeds": [*SEEDS], "tables": {"exam": {
                "models": {"M": "tiny"}, "scales": {"S": "harvest"}, "domains": {"ppl": "all"},
                "methods": {method: f"exam/{method.lower()}" for method in TRUTH}}}},
            "demo": {"same": False, "seeds": [1], "tables": {}},
        },
    }  # fmt: skip
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(register))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verdicts(repository):
    found = judge_store(repository / "results", repository / "claims.yaml")
    return {(j.claim.kind, "-".join(j.claim.methods), j.claim.metric): j for j in found}


def test_what_is_true_is_reproduced_and_nothing_else(repository):
    found = verdicts(repository)
    told = {key: judgement.verdict for key, judgement in found.items()}
    assert told["value", "Base", "acc"] == "reproduced"
    assert told["value", "Better", "acc"] == "reproduced"
    assert told["difference", "Better-Base", "acc"] == "reproduced"
    assert told["ordering", "Better-Base-Same", "acc"] == "reproduced"
    # A tenth of a point can't be seen with so many questions, whatever comes out.
    assert told["difference", "Same-Base", "acc"] == "underpowered"
    # The texts' perplexity is far from what was published of them; the ratio is nearly the published one.
    assert told["value", "Base", "ppl"] == "contradicted"
    assert told["difference", "Better-Base", "ppl"] == "reproduced"
    better = found["difference", "Better-Base", "acc"]
    assert better.ours == pytest.approx(10, abs=2)
    assert better.interval[0] < 10 < better.interval[1]
    assert better.detectable < 10
    assert (better.seeds, better.questions) == (tuple(SEEDS), QUESTIONS)
    ids = {entry.id for entry in entries(repository / "results", "paper") if entry.result.key[1] != "same"}
    assert set(better.results) == ids


def test_swapped_methods_are_contradicted(repository):
    """Negative control: each method's results stand under the other's name."""
    root = repository / "results/paper/exam"
    for seed in SEEDS:
        one, other = (root / f"{method}.tiny.harvest.seed{seed}" for method in ("base", "better"))
        one.rename(root / "aside")
        other.rename(one)
        (root / "aside").rename(other)
        for folder, method in ((one, "base"), (other, "better")):
            edit_json(folder / "run.json", lambda run, name=method: run["cell"].update(method=name))
    found = verdicts(repository)
    for key in (
        ("difference", "Better-Base", "acc"),
        ("ordering", "Better-Base-Same", "acc"),
        ("difference", "Better-Base", "ppl"),
    ):
        assert found[key].verdict == "contradicted", key
    assert found["value", "Better", "acc"].verdict != "reproduced"


def test_shuffled_questions_lose_the_power_of_pairing(repository):
    """Negative control: one side's outcomes stand beside other questions, at the same accuracy."""
    before = verdicts(repository)["difference", "Same-Base", "acc"].detectable
    for seed in SEEDS:
        file = repository / f"results/paper/exam/same.tiny.harvest.seed{seed}/questions.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        outcomes = [(line["choice"] == line["gold"]) for line in lines]
        random.Random(0).shuffle(outcomes)
        for line, right in zip(lines, outcomes, strict=True):
            line["correct"] = right
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert verdicts(repository)["difference", "Same-Base", "acc"].detectable > 2 * before


def test_one_seed_is_underpowered_and_none_is_not_run(repository):
    for seed in list(SEEDS)[1:]:
        for folder in (repository / "results/paper/exam").glob(f"*.seed{seed}"):
            shutil.rmtree(folder)
    told = {judgement.verdict for judgement in verdicts(repository).values()}
    assert told == {"underpowered"}
    for folder in (repository / "results/paper/exam").glob("base*"):
        shutil.rmtree(folder)
    found = verdicts(repository)
    assert found["difference", "Better-Base", "acc"].verdict == "not-run"
    assert "Base" in found["difference", "Better-Base", "acc"].reason
    assert found["value", "Better", "acc"].verdict == "underpowered"


def test_an_id_is_of_the_content(repository):
    first, second = list(entries(repository / "results", "paper"))[:2]
    assert first.id != second.id
    (first.result.folder / "curve.csv").write_text((second.result.folder / "curve.csv").read_text())
    assert result_id(first.result) != first.id


def test_a_seed_that_is_left_out_takes_the_verdict_with_it(repository):
    for folder in (repository / "results/paper/exam").glob("*.seed6"):
        shutil.rmtree(folder)
    found = verdicts(repository)["difference", "Better-Base", "acc"]
    assert (found.verdict, found.reason) == ("underpowered", "of the registered seeds 6 are missing")


def test_another_seed_is_no_evidence(repository):
    for folder in list((repository / "results/paper/exam").glob("*.seed6")):
        edit_json(folder / "run.json", lambda run: run["cell"].update(seed=99))
        folder.rename(folder.with_name(folder.name.replace("seed6", "seed99")))
    found = verdicts(repository)["difference", "Better-Base", "acc"]
    assert found.verdict == "underpowered"
    assert 99 not in found.seeds


def test_a_preferred_letter_is_no_knowledge(repository):
    """All answer A: right as often as A is, whatever that is."""
    for folder in (repository / "results/paper/exam").iterdir():
        lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
        for line in lines:
            line.update(choice=0, correct=line["gold"] == 0)
        (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = verdicts(repository)["difference", "Better-Base", "acc"]
    assert found.verdict == "underpowered"


def test_an_unknown_protocol_leaves_the_sign_alone(repository):
    content = yaml.safe_load((repository / "protocols.yaml").read_text())
    content["protocols"]["known"]["unknown"] = ["shots"]
    (repository / "protocols.yaml").write_text(yaml.safe_dump(content))
    found = verdicts(repository)
    assert found["value", "Better", "acc"].verdict == "protocol-unknown"
    assert found["difference", "Better-Base", "acc"].verdict == "reproduced"
    assert "sizes can't be compared" in found["difference", "Better-Base", "acc"].reason


def test_what_was_measured_otherwise_is_not_paired(repository):
    for seed in SEEDS:
        metrics = repository / f"results/paper/exam/base.tiny.harvest.seed{seed}/metrics.json"
        edit_json(metrics, lambda m: m.update(protocol={"mmlu": {"shots": 5}}, protocol_hash="1" * 64))
    found = verdicts(repository)["difference", "Better-Base", "acc"]
    assert found.verdict == "not-run"
    assert "different protocols" in found.reason
