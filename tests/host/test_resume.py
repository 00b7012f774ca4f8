"""A run that goes on from a checkpoint equals one that never stopped, bit by bit."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dataflex.engine.checkpoints import seal
from dataflex.errors import UserError
from dataflex.host.resume import resume_point, set_aside_later

from .conftest import Run
from .cutting import assert_equal, cut_after

SCHEDULE = {"warmup_step": 3, "update_step": 4, "update_times": 2}
CYCLE = SCHEDULE | {"num_train_epochs": 1}
RUNS: dict[str, dict[str, Any]] = {
    "select": {"train_type": "dynamic_select", "component_name": "loss"} | CYCLE,
    "mix": {"train_type": "dynamic_mix", "component_name": "random"} | CYCLE,
    "weight": {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": 11},
    "all": {
        "num_train_epochs": 1,
        "decisions": [
            {
                "kind": "select",
                "component_name": "loss",
                "warmup_step": 3,
                "update_step": 4,
                "update_times": 2,
            },
            {
                "kind": "mix",
                "component_name": "random",
                "warmup_step": 2,
                "update_step": 3,
                "update_times": 3,
            },
            {"kind": "weight", "component_name": "loss", "warmup_step": 4},
        ],
    },
}
# Dropout makes the test see the random states too.
LORA = {"finetuning_type": "lora", "lora_target": "all", "lora_dropout": 0.3}


@pytest.mark.parametrize("stop", [5, 7])
@pytest.mark.parametrize("name", RUNS)
def test_resume_is_bitwise_equal(run: Callable[..., Run], name: str, stop: int) -> None:
    """Stop in mid-phase (5) and right before a decision (7)."""
    keys = RUNS[name] | LORA | {"save_strategy": "steps", "save_steps": stop}
    whole = run(**keys)
    assert_equal(run(**keys, output_dir=str(cut_after(whole, stop))), whole)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_diverges_says_so(run: Callable[..., Run], tiny: Path, tmp_path: Path, name: str) -> None:
    """Not that numbers don't fit into a log, or that a component answers nonsense."""
    broken = shutil.copytree(tiny / "model", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"is not finite in domain .* lower learning_rate"):
        run(**RUNS[name], model_name_or_path=str(broken))


SAVING = RUNS["mix"] | {"save_strategy": "steps", "save_steps": 5}


def test_a_finished_run_has_nothing_left_to_train(run: Callable[..., Run]) -> None:
    whole = run(**SAVING)
    before = {path.name: path.read_bytes() for path in whole.folder.iterdir() if path.is_file()}
    again = run(**SAVING, output_dir=str(whole.folder))
    assert {path.name: path.read_bytes() for path in again.folder.iterdir() if path.is_file()} == before


def test_a_kill_between_the_last_checkpoint_and_the_final_model(run: Callable[..., Run]) -> None:
    whole = run(**SAVING)
    losses, lines, weights = whole.losses, whole.lines("ledger.jsonl"), whole.weights
    (whole.folder / "model.safetensors").unlink()
    manifest = json.loads((whole.folder / "manifest.json").read_text())
    manifest["stretches"][0]["wall_seconds"] = None
    (whole.folder / "manifest.json").write_text(json.dumps(manifest | {"status": "running"}))
    again = run(**SAVING, output_dir=str(whole.folder))
    assert again.losses == losses
    assert again.lines("ledger.jsonl") == lines
    for key, weight in weights.items():
        assert torch.equal(again.weights[key], weight)
    manifest = json.loads((again.folder / "manifest.json").read_text())
    assert manifest["status"] == "completed"
    assert manifest["wall_seconds"] is None
    assert [stretch["from_step"] for stretch in manifest["stretches"]] == [0, 11]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gradient_accumulation_steps": 4}, "made with batch_rows 4, this run has 8"),
        ({"component_name": "static"}, "made with mix .*'random'.*, this run has .*'static'"),
        ({"component_params": {"concentration": 2.0}}, "'concentration': 1.0.*'concentration': 2.0"),
        ({"update_step": 5}, "made with total_steps 11, this run has 13"),
        ({"train_step": 30}, "made with total_steps 11, this run has 30"),
        ({"seed": 4}, "made with seed 3, this run has 4"),
        (
            {"train_type": "dynamic_weight", "update_step": 0, "component_name": "loss", "max_steps": 11},
            "mix",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    import llamafactory.model

    first = run(**SAVING)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()}

    def load_model(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(llamafactory.model, "load_model", load_model)
    with pytest.raises(UserError, match=message):
        run(**SAVING | changes | {"output_dir": str(first.folder)})
    assert {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()} == before


def test_checkpoints_of_the_model_alone_are_no_place_to_go_on_from(run: Callable[..., Run]) -> None:
    """Without the optimizer's state the run would go on, but elsewhere."""
    keys = SAVING | {"save_only_model": True}
    whole = run(**keys)
    assert run(**keys, output_dir=str(whole.folder)).losses == whole.losses
    cut = cut_after(whole, 5)
    with pytest.raises(UserError, match="holds the model alone, as save_only_model: true leaves it"):
        run(**keys, output_dir=str(cut))


def test_resume_from_checkpoint_is_obeyed(tmp_path: Path) -> None:
    five, nine = tmp_path / "checkpoint-5", tmp_path / "checkpoint-9"
    for folder in (five, nine):
        (folder / "dataflex").mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}")
    seal(five, resumable=True)
    assert resume_point(None, tmp_path, overwrite=False, total_steps=20) == five
    assert resume_point(None, tmp_path, overwrite=True, total_steps=20) is None
    assert resume_point(False, tmp_path, overwrite=False, total_steps=20) is None
    assert resume_point(True, tmp_path, overwrite=False, total_steps=20) == five
    assert resume_point(str(five), tmp_path, overwrite=False, total_steps=20) == five
    for missing in (str(nine), str(tmp_path / "checkpoint-7")):
        with pytest.raises(UserError, match="not a complete checkpoint"):
            resume_point(missing, tmp_path, overwrite=False, total_steps=20)
    with pytest.raises(UserError, match="holds no complete checkpoint"):
        resume_point(True, tmp_path / "elsewhere", overwrite=False, total_steps=20)
    set_aside_later(tmp_path, five)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abandoned-checkpoint-9", "checkpoint-5"]
    # Resumed from the same step of another folder: what lies here is of another past.
    set_aside_later(tmp_path, tmp_path / "elsewhere" / "checkpoint-5")
    assert not five.exists()


def test_a_checkpoint_may_start_a_run_elsewhere(run: Callable[..., Run]) -> None:
    whole = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    moved = run(**RUNS["mix"], resume_from_checkpoint=str(whole.folder / "checkpoint-5"))
    assert moved.lines("ledger.jsonl") == whole.lines("ledger.jsonl")[15:]
    for key, weight in whole.weights.items():
        assert torch.equal(moved.weights[key], weight)


LATE = """
import os, time
from transformers import Trainer

save_rng = Trainer._save_rng_state

def late(self, folder):
    time.sleep(2 * int(os.environ["RANK"]))
    save_rng(self, folder)

Trainer._save_rng_state = late

def choose(context, n):
    return context.rng("choose").permutation(context.facts.total_rows)[:n]
"""


@pytest.mark.slow
def test_a_checkpoint_is_whole_when_the_slowest_rank_has_written(
    torchrun: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill could leave one that looks whole, and a rank that resumes with other random numbers."""
    (tmp_path / "late.py").write_text(LATE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    keys = {
        "train_type": "dynamic_select",
        "component_name": "custom",
        "component_params": {"path": "late:choose"},
    }
    done = torchrun(**keys, update_step=2, update_times=1, save_strategy="steps", save_steps=2)
    seal = json.loads((done.folder / "checkpoint-2" / "dataflex" / "complete.json").read_text())
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(seal["files"])


@pytest.mark.slow
def test_resume_on_two_ranks(torchrun: Callable[..., Run]) -> None:
    keys = RUNS["all"] | LORA | {"save_strategy": "steps", "save_steps": 5}
    whole = torchrun(**keys)
    losses, plan = whole.losses, whole.lines("plan_log.jsonl")
    weights = whole.weights
    for later in ("checkpoint-10", "checkpoint-11"):
        shutil.rmtree(whole.folder / later)
    resumed = torchrun(**keys)
    assert json.loads((resumed.folder / "manifest.json").read_text())["resumed"] == 1
    assert resumed.losses == losses
    assert resumed.lines("plan_log.jsonl") == plan
    for key, weight in weights.items():
        assert torch.equal(resumed.weights[key], weight), key


def test_overwriting_starts_anew(run: Callable[..., Run]) -> None:
    first = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    lines = first.lines("ledger.jsonl")
    again = run(**RUNS["mix"], output_dir=str(first.folder), overwrite_output_dir=True)
    assert again.lines("ledger.jsonl") == lines
    assert json.loads((again.folder / "manifest.json").read_text())["resumed"] == 0


def test_weights_that_are_not_finite_are_not_saved(run: Callable[..., Run], config: dict[str, Any]) -> None:
    keys = RUNS["mix"] | {"save_strategy": "steps", "save_steps": 1, "learning_rate": 1e39}
    folder = Path(config["output_dir"]).with_name("ruined")
    with pytest.raises(UserError, match="step 1 has made weights that are not finite, which are not saved"):
        run(**keys, output_dir=str(folder))
    assert not list(folder.glob("checkpoint-*"))


def test_the_trainers_log_is_that_of_one_run(run: Callable[..., Run]) -> None:
    """Its sums between two logs are not in the Trainer's own state; here a checkpoint falls between logs."""
    keys = RUNS["mix"] | {"logging_steps": 4, "save_strategy": "steps", "save_steps": 6}
    whole = run(**keys)
    cut = whole.folder.with_name("cut")
    shutil.copytree(whole.folder, cut)
    shutil.rmtree(cut / "checkpoint-11")
    resumed = run(**keys, output_dir=str(cut))
    assert resumed.losses == whole.losses
    means = [
        json.loads((one / "train_results.json").read_text())["train_loss"] for one in (whole.folder, cut)
    ]
    assert means[0] == means[1]
