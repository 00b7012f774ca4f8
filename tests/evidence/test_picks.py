import json

import numpy as np
import pytest
from results_factory import edit_json, write_picks

from dataflex.errors import UserError
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.picks import mark, read_outcomes
from dataflex.evidence.results import read_cell

TRUTH = ["good", "bad", "good", "other", "bad", "good"]


@pytest.fixture
def run(tmp_path):
    """A run of two decisions and the pool that it was trained on."""
    pool, folder = tmp_path / "pool", tmp_path / "run"
    (folder / "selections").mkdir(parents=True)
    pool.mkdir()
    (pool / "planted.json").write_text(json.dumps({"rows": TRUTH}))
    log = [{"step": 0, "decision": "select", "component": "warmup", "rows": 6}]
    for step, ids in ((4, [1, 3]), (8, [0, 2, 2, 4])):
        np.save(folder / f"selections/step-{step:06d}.npy", np.array(ids))
        log.append({"step": step, "decision": "select", "ids": f"selections/step-{step:06d}.npy"})
    log.append({"step": 8, "decision": "weight"})
    (folder / "plan_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


def test_the_last_decision_is_marked(run, tmp_path):
    found = mark(run, tmp_path / "pool", tmp_path / "out", ["good"])
    assert (found["step"], found["n"], found["precision"], found["base_rate"]) == (8, 4, 0.75, 0.5)
    assert found["shares"] == {"bad": 0.25, "good": 0.75, "other": 0.0}
    assert found["pool"] == {"bad": 2, "good": 3, "other": 1}
    assert found["decisions"][0] == {"step": 4, "n": 2, "classes": {"bad": 1, "other": 1}}
    assert json.loads((tmp_path / "out/selection.json").read_text()) == found
    assert read_outcomes(tmp_path / "out/picks.csv")[8] == [(0, "good"), (2, "good"), (2, "good"), (4, "bad")]


def test_an_earlier_decision_can_be_marked(run, tmp_path):
    found = mark(run, tmp_path / "pool", tmp_path / "out", ["bad", "other"], 0)
    assert (found["step"], found["precision"], found["base_rate"]) == (4, 1.0, 0.5)


@pytest.mark.parametrize(
    ("target", "decision", "message"),
    [(["goood"], -1, "no class"), ([], -1, "no class"), (["good"], 2, "made 2"), (["good"], -3, "made 2")],
)
def test_a_wrong_target_or_decision_is_told(run, tmp_path, target, decision, message):
    with pytest.raises(UserError, match=message):
        mark(run, tmp_path / "pool", tmp_path / "out", target, decision)


def test_what_is_missing_is_told(run, tmp_path):
    with pytest.raises(UserError, match=r"planted\.json is missing"):
        mark(run, tmp_path, tmp_path / "out", ["good"])
    (tmp_path / "pool/planted.json").write_text(json.dumps({"rows": TRUTH[:3]}))
    with pytest.raises(UserError, match="another pool"):
        mark(run, tmp_path / "pool", tmp_path / "out", ["good"])
    (run / "selections/step-000004.npy").unlink()
    with pytest.raises(UserError, match="the plan log names it"):
        mark(run, tmp_path / "pool", tmp_path / "out", ["good"])
    (run / "plan_log.jsonl").write_text("")
    with pytest.raises(UserError, match="selected nothing"):
        mark(run, tmp_path / "pool", tmp_path / "out", ["good"])


def test_a_cell_of_picks_is_read(tmp_path):
    result = read_cell(write_picks(tmp_path, "less", 1, 0.9))
    assert (result.kind, result.picks) == ("selection", 20)
    assert result.numbers()["precision"] == 0.9
    assert sum(value for name, value in result.numbers().items() if name != "precision") == pytest.approx(1)
    assert not list(contradictions(result))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(precision=0.95),
        lambda s: s.update(base_rate=0.3),
        lambda s: s.update(n=21),
        lambda s: s.update(target=["corrupted"]),
        lambda s: s["shares"].update(relevant=1.0),
        lambda s: s["decisions"][0].update(n=7),
        lambda s: s["pool"].update(irrelevant=1),
        lambda s: s.update(step=5),
    ],
)
def test_a_summary_that_does_not_follow_from_its_picks(tmp_path, change):
    folder = write_picks(tmp_path, "less", 1, 0.9)
    edit_json(folder / "selection.json", change)
    assert list(contradictions(read_cell(folder)))


def test_picks_that_contradict_the_summary_or_each_other(tmp_path):
    folder = write_picks(tmp_path, "less", 1, 0.9)
    text = (folder / "picks.csv").read_text()
    (folder / "picks.csv").write_text(text.replace("relevant", "irrelevant", 1))
    assert list(contradictions(read_cell(folder)))
    rows = text.splitlines()
    twice = rows[1].replace(rows[1].split(",")[1], rows[-1].split(",")[1], 1)
    (folder / "picks.csv").write_text("\n".join([rows[0], twice, *rows[2:]]) + "\n")
    assert any("is both" in sentence for sentence in contradictions(read_cell(folder)))
    (folder / "picks.csv").write_text("a,b\n")
    assert list(contradictions(read_cell(folder)))
    (folder / "picks.csv").unlink()
    with pytest.raises(UserError, match=r"picks\.csv is missing"):
        read_cell(folder)
