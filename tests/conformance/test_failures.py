"""A failure of one rank ends both, soon, with its message, and the last good checkpoint stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from laptop.equality import assert_same_run

from dataflex.engine.checkpoints import checkpoints_of, is_complete

from .cases import run_of
from .faults import MESSAGE, Fault
from .harness import PATIENCE, Box, Ended

pytestmark = pytest.mark.slow
MakeBox = Callable[..., Box]


@pytest.fixture
def config(tiny: Path) -> dict[str, Any]:
    """A selection by loss: its passes end in a collective operation, in which the other rank waits."""
    return run_of("select", "loss", 8, tiny, tiny / "model")


def assert_all_ended(ended: Ended, status: int, message: str) -> None:
    assert ended.codes == [status, status], ended.said
    assert ended.seconds < PATIENCE
    for said in ended.said:
        assert message in said, said[-3000:]


@pytest.mark.parametrize(
    ("does", "status", "message"),
    [("raise", 1, f"RuntimeError: {MESSAGE}"), ("mistake", 2, MESSAGE)],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_in_a_pass(
    box: MakeBox, config: dict[str, Any], does: Any, status: int, message: str, rank: int
) -> None:
    ended = box("run", config, 2).start(Fault("pass", 3, rank=rank, does=does))
    assert_all_ended(ended, status, message)


def test_nan(box: MakeBox, config: dict[str, Any]) -> None:
    one = box("run", config, 2)
    ended = one.start(Fault("loss", 1, from_step=4, rank=1, does="nan"))
    assert_all_ended(ended, 2, "the loss at step 4 is not finite in domain sft (rank 1): training has")
    assert [path.name for path in checkpoints_of(one.run)] == ["checkpoint-3"]


@pytest.mark.parametrize("below", ["checkpoint-6/optimizer.pt", "checkpoint-6/dataflex/state.json"])
def test_a_full_disk(box: MakeBox, config: dict[str, Any], below: str) -> None:
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    ended = cut.start(Fault("write", 1, below=below, does="fill"))
    assert_all_ended(ended, 1, "OSError: [Errno 28] No space left on device")
    assert [is_complete(path) for path in checkpoints_of(cut.run)] == [True, False]
    cut.finish()
    assert_same_run(whole.run, cut.run)
