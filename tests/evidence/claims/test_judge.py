"""A whole rung made here, with known truths: what the judge says of it, and that faults turn it red."""

import csv
import json
import random
import re
import shutil
from pathlib import Path

import pytest
import typer
import yaml
from results_factory import edit_json, write_cell
from typer.testing import CliRunner

from dataflex.evidence.claims import measure
from dataflex.evidence.claims.commands import claims
from dataflex.evidence.claims.judge import judge_store
from dataflex.evidence.claims.measure import Asked
from dataflex.evidence.claims.verdicts import CHANCE, NO_SPREAD, REPEATED
from dataflex.evidence.results import read_cell
from dataflex.evidence.statistics import hierarchical
from dataflex.evidence.statistics.seeds import of_mean
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
    with (tmp_path / "published.csv").open("w", newline="") as stream:
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
        "registered": "2026-11-21",
        "paper": "P",
        "published": "published.csv",
        "least_seeds": 3,
        "why": {},
        "tables": {
            "exam": {
                "title": "Exam",
                "baselines": ["Base"],
                "metrics": {
                    "acc": {**accuracy, "value_margin": 6.0, "difference_margin": 4.0,
                            "smallest_effect": 4.0},
                    "ppl": {**perplexity, "value_margin": 0.1, "difference_margin": 0.03,
                            "smallest_effect": 0.03},
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


def choose(folder, choice):
    """Have the cell answer its questions by ``choice``, of the place of a question."""
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    for place, line in enumerate(lines):
        letter = choice(place)
        line.update(choice=letter, correct=line["gold"] == letter)
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return sum(line["correct"] for line in lines) / len(lines)


def publish(repository, change):
    """Have the paper state other numbers: ``change`` takes method, metric and number."""
    with (repository / "published.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["value"] = change(row["method"], row["metric"], float(row["value"]))
    with (repository / "published.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_preferred_letter_is_no_knowledge(repository):
    """All answer A: right as often as A is, whatever that is."""
    for folder in (repository / "results/paper/exam").iterdir():
        choose(folder, lambda place: 0)
    found = verdicts(repository)["difference", "Better-Base", "acc"]
    assert found.verdict == "underpowered"


def test_guessers_reproduce_no_accuracy_that_is_chance_itself(repository):
    """They differ by seed, and give what was published, far inside the margin."""
    luck = random.Random(0)
    folders = sorted((repository / "results/paper/exam").iterdir())
    rights = [choose(folder, lambda place: luck.randrange(4)) for folder in folders]
    assert len(set(rights)) > 6
    publish(repository, lambda method, metric, value: 25.3 if metric == "acc" else value)
    found = verdicts(repository)
    for method in TRUTH:
        one = found["value", method, "acc"]
        assert abs(one.ours - one.claim.published) < 2
        assert (one.verdict, one.reason) == ("underpowered", CHANCE)


@pytest.mark.parametrize("copied", [["base", "better", "same"], ["better"]])
def test_copies_of_one_run_are_no_seeds(repository, copied):
    """Six copies of one run, each under a seed of its own: they agree, and that they do tells nothing."""
    root = repository / "results/paper/exam"
    for method in copied:
        for seed in list(SEEDS)[1:]:
            for name in ("questions.jsonl", "documents.jsonl", "metrics.json"):
                shutil.copy(root / f"{method}.tiny.harvest.seed1" / name,
                            root / f"{method}.tiny.harvest.seed{seed}" / name)  # fmt: skip
    for key, one in verdicts(repository).items():
        if "Better" in key[1] or len(copied) > 1:
            assert (one.verdict, one.reason) == ("underpowered", NO_SPREAD), key


def test_two_copies_among_six_seeds_are_one_run(repository):
    root = repository / "results/paper/exam"
    for name in ("questions.jsonl", "documents.jsonl", "metrics.json"):
        shutil.copy(root / "better.tiny.harvest.seed1" / name, root / "better.tiny.harvest.seed2" / name)
    for key, one in verdicts(repository).items():
        if "Better" in key[1]:
            assert (one.verdict, one.reason) == ("underpowered", REPEATED), key
        else:
            assert one.reason != REPEATED, key


def test_what_was_left_out_still_counts(repository):
    """Neither p nor the smallest effect gets better by not running the rest of a table."""
    before = verdicts(repository)["difference", "Better-Base", "acc"]
    for folder in (repository / "results/paper/exam").glob("same.*"):
        shutil.rmtree(folder)
    after = verdicts(repository)["difference", "Better-Base", "acc"]
    assert after.detectable == before.detectable
    assert after.p_value == pytest.approx(before.p_value)
    # Better - Base, Same - Base and Better - Same of the accuracies, Better - Base of the perplexities.
    alone = difference_of(repository, "better", "base")
    assert after.p_value == pytest.approx(4 * alone.p_value())
    assert after.detectable == pytest.approx(alone.detectable(level=1 - 0.05 / 4))


def difference_of(repository, one, other):
    """The estimate by hand, from the outcomes of all seeds."""
    tables = []
    for method in (one, other):
        folders = [repository / f"results/paper/exam/{method}.tiny.harvest.seed{seed}" for seed in SEEDS]
        files = [(folder / "questions.jsonl").read_text().splitlines() for folder in folders]
        tables.append([[100.0 * json.loads(line)["correct"] for line in lines] for lines in files])
    return hierarchical.difference(*tables, [f"subject{place % 40}" for place in range(QUESTIONS)])


def test_the_published_number_is_one_run(repository):
    """Seeds that scatter widely contradict nothing that one more of them might give."""
    root = repository / "results/paper/exam"
    for seed in SEEDS:
        answer(root / f"better.tiny.harvest.seed{seed}", 0.65 + 0.02 * (seed - 3.5))
    for number, verdict in ((74.5, "underpowered"), (99.0, "contradicted")):
        publish(repository, lambda m, metric, v, to=number: to if (m, metric) == ("Better", "acc") else v)
        content = yaml.safe_load((repository / "claims.yaml").read_text())
        content["tables"]["exam"]["metrics"]["acc"].update(value_margin=0.5)
        (repository / "claims.yaml").write_text(yaml.safe_dump(content))
        found = verdicts(repository)["value", "Better", "acc"]
        assert found.interval[1] < number - 0.5
        assert found.verdict == verdict


def test_known_questions_are_no_sample(repository):
    """Where the paper's questions are known to be ours, only the seeds are a sample; else the questions, too."""
    protocol = {"mmlu": {"questions": {"test": "the very ones"}}}
    for folder in (repository / "results/paper/exam").iterdir():
        edit_json(folder / "metrics.json", lambda metrics: metrics.update(protocol=protocol))
    keys = [("value", "Better", "acc"), ("difference", "Better-Base", "acc")]
    random_ = [verdicts(repository)[key].interval for key in keys]
    content = yaml.safe_load((repository / "protocols.yaml").read_text())
    for question_set, same in (("others", True), ("the very ones", False)):
        content["protocols"]["known"]["question_set"] = question_set
        (repository / "protocols.yaml").write_text(yaml.safe_dump(content))
        intervals = [verdicts(repository)[key].interval for key in keys]
        for one, other in zip(intervals, random_, strict=True):
            assert (one == other) == same
    rights = [
        sum(json.loads(line)["correct"] for line in (folder / "questions.jsonl").read_text().splitlines())
        for folder in sorted((repository / "results/paper/exam").glob("better.*"))
    ]
    expected = of_mean([100 * right / QUESTIONS for right in rights]).interval()
    assert intervals[0] == pytest.approx(expected)


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


def test_fewer_published_questions_scatter_more(repository):
    """error² = s² (1 + 1/6) + e² (1 + ours / theirs), with e² what questions add to the error of the mean."""
    runs = [read_cell(repository / f"results/paper/exam/base.tiny.harvest.seed{seed}") for seed in SEEDS]
    found = measure.value(runs, "accuracy", None, Asked(None, 300))
    scatter = of_mean(found.sides[0]).error ** 2
    questions = found.estimate.error**2 - scatter
    expected = scatter * len(SEEDS) * (1 + 1 / len(SEEDS)) + questions * (1 + QUESTIONS / 300)
    assert found.prediction.error**2 == pytest.approx(expected)
    assert measure.value(runs, "accuracy", None, Asked()).prediction.error < found.prediction.error


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        (
            "metrics.json",
            lambda m: m.update(protocol={"shots": 5}, protocol_hash="1" * 64),
            "different protocols",
        ),
        ("run.json", lambda run: run.update(corpus="c1"), "different texts"),
    ],
)
def test_seeds_that_were_measured_otherwise_are_no_sample(repository, file, change, reason):
    """Both sides of one seed agree with each other, but not with the other seeds."""
    for folder in (repository / "results/paper/exam").glob("*.seed6"):
        edit_json(folder / file, change)
    for one in verdicts(repository).values():
        assert one.verdict == "not-run"
        assert reason in one.reason
        assert str(repository) not in one.reason


def test_a_lost_question_ends_one_method_and_no_other(repository):
    file = repository / "results/paper/exam/better.tiny.harvest.seed3/questions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    found = verdicts(repository)
    for key in (
        ("value", "Better", "acc"),
        ("difference", "Better-Base", "acc"),
        ("ordering", "Better-Base-Same", "acc"),
    ):
        assert found[key].verdict == "not-run", key
        assert "was not asked the questions" in found[key].reason
        assert str(repository) not in found[key].reason
    assert found["value", "Base", "acc"].verdict == "reproduced"
    assert found["difference", "Better-Base", "ppl"].verdict == "reproduced"


def start(folder, *days):
    edit_json(
        folder / "run.json",
        lambda run: run["manifest"].update(stretches=[{"started": f"{day}T00:00:01+00:00"} for day in days]),
    )


@pytest.mark.parametrize("days", [["2026-11-21"], ["2026-11-20", "2026-11-22"], []])
def test_a_run_that_did_not_start_after_the_register_decides_nothing(repository, days):
    """One such run is enough, and going on with it later makes it no younger."""
    start(repository / "results/paper/exam/base.tiny.harvest.seed2", *days)
    found = verdicts(repository)
    for key, was in (
        (("difference", "Better-Base", "acc"), "reproduced"),
        (("value", "Base", "ppl"), "contradicted"),
    ):
        assert found[key].verdict == "underpowered"
        assert f"would be {was}, but 1 of " in found[key].reason
        assert "2026-11-21" in found[key].reason
    assert found["value", "Better", "acc"].verdict == "reproduced"


def elsewhere(repository, **metric):
    """Have the rung be one of other models and texts."""
    content = yaml.safe_load((repository / "claims.yaml").read_text())
    content["rungs"]["paper"]["same"] = False
    content["tables"]["exam"]["metrics"]["acc"].update(metric)
    (repository / "claims.yaml").write_text(yaml.safe_dump(content))


def test_a_sign_on_other_models_says_so(repository):
    elsewhere(repository)
    publish(repository, lambda method, metric, value: 3.8 if metric == "ppl" and method == "Base" else value)
    publish(
        repository, lambda method, metric, value: 4.0 if metric == "ppl" and method == "Better" else value
    )
    found = verdicts(repository)
    assert all(one.elsewhere for one in found.values())
    for key, verdict in (
        (("difference", "Better-Base", "acc"), "reproduced"),
        (("ordering", "Better-Base-Same", "acc"), "reproduced"),
        (("difference", "Better-Base", "ppl"), "contradicted"),
    ):
        assert found[key].verdict == verdict
        assert found[key].reason.endswith("on this rung, of other models and texts")
        assert found[key].as_dict()["elsewhere"]
    (repository / "reproductions").mkdir()
    shutil.copy(repository / "claims.yaml", repository / "reproductions")
    app = typer.Typer()
    app.command()(claims)
    output = CliRunner().invoke(app, []).output
    assert re.search(
        r"^paper \(signs on other models and texts\): \d reproduced, 1 contradicted", output, re.M
    )


def test_power_elsewhere_is_of_the_registered_effect(repository):
    """Ours is ten points. What other models gained decides nothing of what these runs have to see."""
    key = ("difference", "Better-Base", "acc")
    elsewhere(repository)
    detectable = verdicts(repository)[key].detectable
    for published in (55.1, 80.0):
        publish(repository, lambda m, metric, v, to=published: to if (m, metric) == ("Better", "acc") else v)
        for least, verdict in ((detectable * 1.01, "reproduced"), (detectable * 0.99, "underpowered")):
            elsewhere(repository, smallest_effect=least)
            assert verdicts(repository)[key].verdict == verdict


def test_power_for_an_unknown_protocol_is_of_the_registered_effect(repository):
    content = yaml.safe_load((repository / "protocols.yaml").read_text())
    content["protocols"]["known"]["unknown"] = ["unit"]
    (repository / "protocols.yaml").write_text(yaml.safe_dump(content))
    key = ("difference", "Better-Base", "ppl")
    assert verdicts(repository)[key].verdict == "reproduced"
    content = yaml.safe_load((repository / "claims.yaml").read_text())
    content["tables"]["exam"]["metrics"]["ppl"]["smallest_effect"] = 1e-6
    (repository / "claims.yaml").write_text(yaml.safe_dump(content))
    assert verdicts(repository)[key].verdict == "underpowered"
