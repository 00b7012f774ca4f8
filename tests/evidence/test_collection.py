import json

import pytest

from dataflex.errors import UserError
from dataflex.evidence.collection import collect, curve_of_ledger, curve_of_trainer_state
from dataflex.evidence.results import read_curve

CELL = {"experiment": "mixture", "method": "natural", "model": "tiny", "scale": "harvest", "seed": 1}


def line(step, domain, loss, tokens, asked=None):
    return {"step": step, "domain": domain, "loss": loss, "loss_tokens": tokens, "share_asked": asked}


def test_domains_are_pooled_by_their_tokens():
    points = curve_of_ledger(
        [line(5, "a", 2.0, 30), line(5, "b", 4.0, 10), line(10, "a", 1.0, 0), line(10, "b", 3.0, 8)]
    )
    assert points == [(5, 40, 2.5), (10, 48, 3.0)]


def test_trainer_state_keeps_training_losses_only():
    state = {
        "log_history": [
            {"step": 5, "loss": 3.0, "num_input_tokens_seen": 640},
            {"step": 5, "eval_loss": 9.0},
            {"step": 10, "loss": 2.0},
            {"step": 10, "train_loss": 2.5},
        ]
    }
    assert curve_of_trainer_state(state) == [(5, 640, 3.0), (10, None, 2.0)]


def run_folder(tmp_path, status="completed", ledger=True):
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"status": status, "seed": 1}))
    (run / "config.yaml").write_text("learning_rate: 0.004\n")
    if ledger:
        (run / "ledger.jsonl").write_text(json.dumps(line(5, "a", 2.0, 30)) + "\n")
    else:
        (run / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": 5, "loss": 1.5}]}))
    return run


def test_collect_writes_curve_and_identity(tmp_path):
    collect(run_folder(tmp_path), tmp_path / "out", CELL, "abc", {"method": "natural"})
    assert read_curve(tmp_path / "out/curve.csv") == [(5, 30, 2.0)]
    content = json.loads((tmp_path / "out/run.json").read_text())
    assert content["cell"] == CELL
    assert (tmp_path / "out/shares.csv").read_text() == "step,domain,tokens,asked,weight\n"
    assert content["corpus"] == "abc"
    assert content["manifest"]["seed"] == 1
    assert content["config"] == {"learning_rate": 0.004}
    assert not (tmp_path / "out/plan_log.jsonl").exists()


def test_a_static_run_has_its_curve_from_the_trainer(tmp_path):
    collect(run_folder(tmp_path, ledger=False), tmp_path / "out", CELL, "abc")
    assert read_curve(tmp_path / "out/curve.csv") == [(5, None, 1.5)]


def test_an_unfinished_run_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="not completed"):
        collect(run_folder(tmp_path, status="running"), tmp_path / "out", CELL, "abc")
    assert not (tmp_path / "out").exists()


def test_what_was_decided_is_kept(tmp_path):
    run = run_folder(tmp_path)
    (run / "plan_log.jsonl").write_text('{"step": 0, "decision": "mix"}\n')
    collect(run, tmp_path / "out", CELL, "abc")
    assert (tmp_path / "out/plan_log.jsonl").read_text() == '{"step": 0, "decision": "mix"}\n'


def test_a_run_without_its_config_is_refused(tmp_path):
    run = run_folder(tmp_path)
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml"):
        collect(run, tmp_path / "out", CELL, "abc")
