import json
import math
import re

import pytest
from results_factory import edit_json, write_cell

from dataflex.evaluation.perplexity import DocumentOutcome, summarise
from dataflex.evidence.consistency import answer_nll, contradictions, recomputed
from dataflex.evidence.results import read_cell
from dataflex.evidence.subjects import GROUP_OF


def test_a_faithful_cell_has_no_contradiction(tmp_path):
    assert list(contradictions(read_cell(write_cell(tmp_path)))) == []


def test_answer_nll_of_equal_options_is_log_four():
    assert answer_nll([-3.0] * 4, 2) == pytest.approx(math.log(4))
    assert answer_nll([-2000.0, -2001.0, -2002.0, -2003.0], 0) == pytest.approx(
        math.log(1 + math.e**-1 + math.e**-2 + math.e**-3)
    )


def test_recomputed_by_hand():
    questions = [
        {"subject": "anatomy", "gold": 0, "correct": True, "logliks": [0.0, 0.0, 0.0, 0.0]},
        {"subject": "philosophy", "gold": 1, "correct": False, "logliks": [0.0, 0.0, 0.0, 0.0]},
    ]
    documents = [
        {"domain": "x", "loglik": -8 * math.log(2), "tokens": 2, "words": 1, "bytes": 4},
        {"domain": "y", "loglik": 0.0, "tokens": 2, "words": 1, "bytes": 4},
    ]
    numbers = recomputed(questions, documents)
    assert numbers["mmlu.acc"] == 0.5
    assert numbers["mmlu.stderr"] == pytest.approx(math.sqrt(0.125))
    assert numbers["mmlu.macro_acc"] == 0.5
    assert numbers["mmlu.subjects.philosophy.acc"] == 0
    assert numbers["mmlu.groups.stem"] == 1
    assert numbers["mmlu.chance.acc"] == 0.25
    # Half is less than two standard errors of guessing, .31 each, away from a quarter.
    assert numbers["mmlu.at_chance"] == 1
    assert numbers["perplexity.x.bits_per_byte"] == pytest.approx(2)
    assert numbers["perplexity.x.token"] == pytest.approx(16)
    assert numbers["perplexity.all.bits_per_byte"] == pytest.approx(1)
    assert not [name for name in numbers if "natural" in name]
    # Of four tokens three are of x: 12 bits in 8 bytes and 2 words.
    numbers = recomputed(questions, documents, {"x": 0.75, "y": 0.25})
    assert numbers["perplexity.natural.token"] == pytest.approx(2**3)
    assert numbers["perplexity.natural.word"] == pytest.approx(2**6)
    assert numbers["perplexity.natural.byte"] == pytest.approx(2**1.5)
    assert numbers["perplexity.natural.bits_per_byte"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["mmlu"].update(acc=m["mmlu"]["acc"] + 0.025),
        lambda m: m["mmlu"].update(answer_nll=m["mmlu"]["answer_nll"] * (1 + 1e-6)),
        lambda m: m["mmlu"].update(stderr=0.5),
        lambda m: m["mmlu"].update(macro_acc=0.9),
        lambda m: m["mmlu"].update(at_chance=not m["mmlu"]["at_chance"]),
        lambda m: m["mmlu"]["chance"].update(acc=0.2),
        lambda m: m["mmlu"]["groups"].update(stem=0.9),
        lambda m: m["mmlu"]["groups"].update(other=0.9),
        lambda m: m["mmlu"].pop("macro_acc"),
        lambda m: m["mmlu"]["subjects"]["anatomy"].update(n=3),
        lambda m: m["mmlu"]["subjects"]["anatomy"].update(acc=0.99),
        lambda m: m["perplexity"]["code"].update(bits_per_byte=0.5),
        lambda m: m["perplexity"]["all"].update(word=1.0),
        lambda m: m["perplexity"].pop("prose"),
    ],
)
def test_every_altered_summary_is_found(tmp_path, change):
    folder = write_cell(tmp_path)
    edit_json(folder / "metrics.json", change)
    assert list(contradictions(read_cell(folder)))


def test_a_total_by_shares_follows_from_the_shares_that_its_protocol_states(tmp_path):
    folder = write_cell(tmp_path)
    lines = [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]
    found = [DocumentOutcome(**line) for line in lines]
    shares = {"code": 0.9, "prose": 0.1}

    def state(metrics):
        metrics["protocol"]["perplexity"] = {"shares": shares}
        metrics["perplexity"] = summarise(found, shares)

    edit_json(folder / "metrics.json", state)
    assert list(contradictions(read_cell(folder))) == []
    edit_json(folder / "metrics.json", lambda metrics: metrics["perplexity"]["natural"].update(token=3.0))
    (told,) = contradictions(read_cell(folder))
    assert told.startswith("perplexity.natural.token is stated as 3.0")


def test_an_altered_outcome_is_found(tmp_path):
    folder = write_cell(tmp_path)
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    lines[3]["correct"] = not lines[3]["correct"]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = list(contradictions(read_cell(folder)))
    assert any("q3" in sentence for sentence in found)
    assert any("mmlu.acc" in sentence for sentence in found)


def test_the_groups_are_those_of_the_official_tasks():
    from dataflex.evaluation.mmlu import _official_folder

    tags = {}
    for file in _official_folder().glob("mmlu_*.yaml"):
        text = file.read_text()
        tags[file.stem.removeprefix("mmlu_")] = re.search(r"mmlu_(\w+)_tasks", text).group(1)
    assert tags == dict(GROUP_OF)
