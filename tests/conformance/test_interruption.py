"""A run that is asked to stop does so in order at the end of its step, and goes on to the same bits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from laptop.equality import assert_same_run

from dataflex.engine.checkpoints import checkpoints_of, is_resumable

from ..parallel.jobs import deepspeed
from .cases import run_of
from .faults import Fault
from .harness import Box, Ended

MakeBox = Callable[..., Box]


@pytest.fixture
def config(tiny: Path) -> dict[str, Any]:
    """A selection by loss that decides before step 2 and 5; every second step is logged, every third saved."""
    return run_of("select", "loss", 8, tiny, tiny / "model")


def assert_stopped(ended: Ended, run: Path, step: int) -> None:
    """All ranks have ended alike, one has told it, and nothing looks finished."""
    assert set(ended.codes) == {75}, [said[-3000:] for said in ended.said]
    line = f"run/checkpoint-{step} is saved, and the same command goes on from there\n"
    assert sum(said.count(line) for said in ended.said) == 1
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    assert not list(run.glob("*.safetensors"))
    assert checkpoints_of(run)[-1].name == f"checkpoint-{step}"
    assert is_resumable(checkpoints_of(run)[-1])


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (Fault("pass", 3, does="stop"), 2),  # in the first selection, which is left and made again
        (Fault("pass", 2, from_step=3, does="stop"), 5),  # in the second one
        (Fault("micro-batch", 1, from_step=2, does="stop"), 3),  # together with the step's own checkpoint
        (Fault("micro-batch", 1, from_step=4, does="stop"), 5),  # right before the second selection
    ],
    ids=["selection", "second selection", "saved step", "step"],
)
def test_in_a_run(box: MakeBox, config: dict[str, Any], fault: Fault, step: int) -> None:
    whole, cut = box("whole", config), box("cut", config)
    whole.finish()
    ended = cut.start(fault)
    assert_stopped(ended, cut.run, step)
    assert (
        "dataflex-cli: SIGTERM: the run saves a checkpoint and stops at the end of its step, or of a batch of its decision\n"
        in ended.said[0]
    )
    cut.finish()
    assert_same_run(whole.run, cut.run)
    stretches = json.loads((cut.run / "manifest.json").read_text())["stretches"]
    assert [stretch["from_step"] for stretch in stretches] == [0, step]
    assert all(stretch["wall_seconds"] for stretch in stretches)


def test_in_the_last_step(box: MakeBox, config: dict[str, Any]) -> None:
    """Nothing is left but to finish."""
    one = box("run", config)
    assert one.start(Fault("end", 1, from_step=7, does="stop")).well
    assert json.loads((one.run / "manifest.json").read_text())["status"] == "completed"


def test_in_a_part_of_doremi(box: MakeBox, config: dict[str, Any]) -> None:
    own = ("component_name", "component_params", "train_type", "warmup_step", "update_step", "update_times")
    keys = {key: value for key, value in config.items() if key not in own}
    job = keys | {
        "stage": "pt",
        "dataset": "code,more_code,docs",
        "train_step": 3,
        "doremi": {"small": {"train_step": 4}},
    }
    one = box("run", job)
    ended = one.start(Fault("end", 1, from_step=1, does="stop"), "doremi")
    assert ended.codes == [75]
    assert "interrupted at step 2 by SIGTERM: run/round1/reference/checkpoint-2 is saved" in ended.said[0]
    # In the last step of a part, which is therefore finished; but no other is begun.
    ended = one.start(Fault("end", 1, from_step=3, does="stop"), "doremi")
    assert ended.codes == [75]
    assert "interrupted by SIGTERM before the part proxy: the same command goes on there" in ended.said[0]
    assert json.loads((one.run / "round1/reference/manifest.json").read_text())["status"] == "completed"
    assert not (one.run / "round1/proxy").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["micro-batch", "pass"])
def test_one_of_two_ranks(box: MakeBox, config: dict[str, Any], place: Any) -> None:
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    ended = cut.start(Fault(place, 1, from_step=4, rank=1, does="stop"))
    assert_stopped(ended, cut.run, 5)
    cut.finish()
    assert_same_run(whole.run, cut.run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "nth"),
    [(None, 2), (None, 7), (3, 7)],
    ids=["validation, data parallel", "pool, data parallel", "pool, ZeRO-3"],
)
def test_in_a_pass_backward_on_two_ranks(
    box: MakeBox, tiny: Path, tmp_path: Path, stage: int | None, nth: int
) -> None:
    """One rank hears it between two batches whose parameters, under ZeRO-3, all ranks gather together."""
    # Few rows: under ZeRO-3 each batch gathers every layer several times.
    config = run_of("select", "less", 8, tiny, tiny / "model") | {"max_samples": 32}
    if stage is not None:
        (tmp_path / "deepspeed.json").write_text(json.dumps(deepspeed(stage, bf16=False)))
        config["deepspeed"] = str(tmp_path / "deepspeed.json")
        # DeepSpeed finds out by itself, and is not started where this is said.
        del config["use_cpu"]
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    assert_stopped(cut.start(Fault("pass", nth, from_step=5, rank=1, does="stop")), cut.run, 5)
    cut.finish()
    assert_same_run(whole.run, cut.run)
