import json
import math
import shutil

import pytest
from results_factory import edit_json, write_mixture

from dataflex.errors import UserError
from dataflex.evidence import shares
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.mixtures import Document, account, summary
from dataflex.evidence.results import read_cell
from dataflex.evidence.shares import Stretch

CARD = {"row_tokens": 10, "target": ["b"], "domains": {"a": {"entropy": 3.0}, "b": {"entropy": 1.0}}}
HELD_OUT = """domain,document,symbols,loglik,chain_loglik
a,0,4,-13.0,-12.0
b,0,4,-6.0,-5.0
b,1,4,-4.0,-2.0
"""


def ledger(step, shares, tokens):
    return [
        {"step": step, "domain": name, "loss": 2.0, "loss_tokens": count, "samples": 1, "share_asked": share}
        for name, share, count in zip("ab", shares, tokens, strict=True)
    ]


def write_run(folder, decisions, lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in decisions))
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def mix(step, weights=None):
    return {
        "step": step,
        "decision": "mix",
        "proportions": {},
        **({"loss_weights": weights} if weights else {}),
    }


@pytest.fixture
def run(tmp_path):
    """A run of two logged stretches, the corpus, and its held-out losses."""
    corpus, output = tmp_path / "corpus", tmp_path / "out"
    for folder in (corpus, output):
        folder.mkdir()
    (corpus / "card.json").write_text(json.dumps(CARD))
    (output / "held_out.csv").write_text(HELD_OUT)
    lines = ledger(5, (0.55, 0.45), (120, 80)) + ledger(8, (0.2, 0.8), (20, 80))
    return write_run(tmp_path / "run", [mix(0)], lines)


def test_the_account_by_hand(run, tmp_path):
    found = account(run, tmp_path / "corpus", tmp_path / "out", yardstick=True)
    assert found["loss"] == {"a": 3.25, "b": 1.25}
    assert found["excess"] == {"a": 0.25, "b": 0.375}
    assert (found["target_loss"], found["target_excess"]) == (1.25, 0.375)
    # Of 200 and 100 tokens 110 + 20 were asked for a, and 140 came: one row too many; before, also one.
    assert found["asked"] == pytest.approx({"a": 130 / 300, "b": 170 / 300})
    assert found["realised"] == pytest.approx({"a": 140 / 300, "b": 160 / 300})
    assert found["asked_last"] == pytest.approx({"a": 0.2, "b": 0.8})
    assert (found["rows_off"], found["rows_off_worst"]) == pytest.approx((1.0, 1.0))
    assert (found["weight"], found["weight_last"], found["yardstick"]) == ({}, {}, True)
    assert json.loads((tmp_path / "out/mixture.json").read_text()) == found


def test_weights_are_those_of_the_last_decision_before_a_line(tmp_path):
    """A decision at step s is about the steps after s: the line of step 8 does not know of the one at 8."""
    decisions = [
        mix(0),
        mix(2, {"a": 1.0, "b": 3.0}),
        mix(5, {"a": 2.0, "b": 2.0}),
        mix(8, {"a": 9.0, "b": 1.0}),
    ]
    lines = [line for step in (2, 5, 8) for line in ledger(step, (0.5, 0.5), (10, 10))]
    stretches = shares.of_run(write_run(tmp_path / "run", decisions, lines))
    assert [line.weight for line in stretches] == [None, None, 1.0, 3.0, 2.0, 2.0]
    documents = [Document(name, 4, -8.0, -4.0) for name in "ab"]
    entropy = {"a": 1.0, "b": 1.0}
    found = summary(documents, stretches, entropy=entropy, target=["b"], row_tokens=10, yardstick=False)
    assert found["weight"] == {"a": 0.375, "b": 0.625}
    assert found["weight_last"] == {"a": 0.5, "b": 0.5}


def test_tokens_that_are_made_up_for_later_are_off_only_on_the_way():
    stretches = [Stretch(5, "a", 30, 10.0, None), Stretch(5, "b", 0, 20.0, None)]
    stretches += [Stretch(9, "a", 0, 20.0, None), Stretch(9, "b", 30, 10.0, None)]
    documents = [Document(name, 4, -8.0, -4.0) for name in "ab"]
    entropy = {"a": 1.0, "b": 1.0}
    found = summary(documents, stretches, entropy=entropy, target=["b"], row_tokens=10, yardstick=False)
    assert (found["rows_off"], found["rows_off_worst"]) == (0.0, 2.0)


def test_what_does_not_fit_is_told(run, tmp_path):
    (tmp_path / "out/held_out.csv").write_text(HELD_OUT.replace("a,0", "c,0"))
    with pytest.raises(UserError, match="domain"):
        account(run, tmp_path / "corpus", tmp_path / "out", yardstick=False)
    (tmp_path / "out/held_out.csv").write_text("a,b\n")
    with pytest.raises(UserError, match="columns"):
        account(run, tmp_path / "corpus", tmp_path / "out", yardstick=False)
    (tmp_path / "out/held_out.csv").unlink()
    with pytest.raises(UserError, match="is missing"):
        account(run, tmp_path / "corpus", tmp_path / "out", yardstick=False)
    unmixed = write_run(tmp_path / "other", [{"step": 0, "decision": "select"}], [])
    with pytest.raises(UserError, match="mixed nothing"):
        account(unmixed, tmp_path / "corpus", tmp_path / "out", yardstick=False)


def test_a_cell_of_a_mixture_is_read(tmp_path):
    result = read_cell(write_mixture(tmp_path, "odm", 2, weights=[{"noise": 1, "easy": 1, "kin": 2}] * 2))
    assert (result.kind, result.picks, result.seed) == ("mixture", None, 2)
    numbers = result.numbers()
    assert numbers["loss.target"] == pytest.approx(1.2)
    assert sum(value for name, value in numbers.items() if name.startswith("share.")) == pytest.approx(1)
    assert all(math.isfinite(value) for value in numbers.values())


@pytest.fixture
def cell(run, tmp_path):
    """A cell that was written by the code itself."""
    account(run, tmp_path / "corpus", tmp_path / "out", yardstick=False)
    shares.write(shares.of_run(run), tmp_path / "out/shares.csv")
    identity = dict.fromkeys(("experiment", "method", "model", "scale"), "x") | {"seed": 1}
    (tmp_path / "out/run.json").write_text(json.dumps({"cell": identity, "corpus": "c"}))
    (tmp_path / "out/curve.csv").write_text("step,tokens,loss\n5,50,2.0\n")
    return shutil.copytree(tmp_path / "out", tmp_path / "x/x.x.x.seed1")


def test_a_summary_follows_from_its_outcomes(cell):
    assert not list(contradictions(read_cell(cell)))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(target_loss=1.2),
        lambda s: s.update(target=["a"]),
        lambda s: s.update(rows_off=0.0),
        lambda s: s.update(row_tokens=20),
        lambda s: s["loss"].update(b=1.2),
        lambda s: s["excess"].update(a=0.0),
        lambda s: s["realised"].update(a=0.5),
        lambda s: s["weight"].update(a=0.5),
        lambda s: s["entropy"].update(c=1.0),
    ],
)
def test_a_summary_that_does_not_follow_from_its_outcomes(cell, change):
    edit_json(cell / "mixture.json", change)
    assert list(contradictions(read_cell(cell)))


def test_outcomes_that_were_altered_or_are_gone(cell):
    for name in ("held_out.csv", "shares.csv"):
        text = (cell / name).read_text()
        (cell / name).write_text(text.replace("4,-6.0", "4,-5.0").replace("5,a,120", "5,a,110"))
        assert list(contradictions(read_cell(cell))), name
        (cell / name).write_text("x\n")
        assert list(contradictions(read_cell(cell))), name
        (cell / name).write_text(text)
    (cell / "shares.csv").unlink()
    with pytest.raises(UserError, match=r"shares\.csv is missing"):
        read_cell(cell)
