"""Every strategy trains what one process trains: the same rows, decisions and losses, on every rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ..host.conftest import Run
from .conftest import Trained
from .jobs import NAMES, STRATEGIES

pytestmark = pytest.mark.slow

Trains = Callable[..., Trained]
PARTITIONED = ("doremi-live", "odm", "less", "select-loss", "adapt", "weight-loss")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategy_does_not_matter(trained: Trains, strategy: str, name: str) -> None:
    equal(trained("single"), trained(strategy), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_does_not_matter(trained: Trains, name: str) -> None:
    """On a device that is not the CPU nothing was left behind on the CPU, and nothing changes."""
    equal(trained("single"), trained("single", "pretended"), name)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_trains_what_fp32_trains(trained: Trains, name: str) -> None:
    in_bf16(trained("single").run(name), trained("single", bf16=True).run(name))


@pytest.mark.parametrize("name", PARTITIONED)
def test_bf16_in_parts_trains_what_fp32_trains(trained: Trains, name: str) -> None:
    """Weights, gradients and reference models of 16 bits under ZeRO-3: the paper's mixtures."""
    in_bf16(trained("single").run(name), trained("zero3", bf16=True, names=PARTITIONED).run(name))


def in_bf16(full: Run, half: Run) -> None:
    """Compare up to the rounding of a number of 8 bits; rows may be others where scores are close."""
    assert half.losses == pytest.approx(full.losses, rel=2.0**-8)
    assert half.losses != full.losses
    for log in ("plan_log.jsonl", "ledger.jsonl"):
        assert [line["step"] for line in half.lines(log)] == [line["step"] for line in full.lines(log)]


@pytest.mark.gpu
@pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="needs two GPUs: NCCL, and FSDP as accelerate starts it"
)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategy_does_not_matter_on_gpus(trained: Trains, strategy: str, name: str) -> None:
    equal(trained("single", "cuda"), trained(strategy, "cuda"), name)


def equal(one: Trained, two: Trained, name: str) -> None:
    """Compare everything that two strategies have left of a job."""
    assert two.run(name).losses == pytest.approx(one.run(name).losses, rel=1e-5)
    for log in ("plan_log.jsonl", "ledger.jsonl"):
        expected, found = one.run(name).lines(log), two.run(name).lines(log)
        assert len(found) == len(expected) > 0
        for mine, theirs in zip(found, expected, strict=True):
            same(mine, theirs)
    same_arrays(one, two, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ranks_decide_alike(trained: Trains, strategy: str, name: str) -> None:
    """What each rank decided and summed up, written or not, to the last bit."""
    first, second = (trained(strategy).seen(name, rank) for rank in (0, 1))
    # Only the rank that keeps files says where they are.
    assert [{k: v for k, v in line.items() if k != "ids"} for line in first] == second
    assert first


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_selection_leaves_the_training_as_it_was(trained: Trains, strategy: str) -> None:
    """Bit by bit what training on the recorded picks gives, without any pass over the model."""
    measured, recorded = (trained(strategy).run(name) for name in ("less", "less-recorded"))
    assert measured.losses == recorded.losses
    for key, weight in recorded.weights.items():
        assert torch.equal(measured.weights[key], weight), key


def test_a_reference_model_beside_a_partitioned_one_is_partitioned(trained: Trains) -> None:
    for strategy, expected in (("zero3", True), ("zero2", False)):
        assert {"reference_in_parts": expected} in trained(strategy).seen("doremi-live", 0)


def same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare what was logged: numbers to 1e-5, everything else exactly (digests of selections too).

    Weights are exponentials of differences of losses, which magnify the last digits.
    """
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            of_weights = key.startswith("weight_") or key == "effective_samples"
            same(found[key], expected[key], 1e-3 if of_weights else tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            same(mine, theirs, tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=tolerance, abs=1e-7)
    else:
        assert found == expected


def same_arrays(one: Trained, two: Trained, name: str) -> None:
    """Compare the scores that were kept with a selection, and the weights of the trained model."""
    folders = [where.run(name).folder / "selections" for where in (one, two)]
    for file in folders[0].glob("*.npy"):
        close(np.load(folders[1] / file.name), np.load(file))
    # DeepSpeed saves the head too that is tied to the embeddings.
    before, after = (
        {key: weight for key, weight in where.run(name).weights.items() if "lm_head" not in key}
        for where in (one, two)
    )
    assert after.keys() == before.keys()
    every = [torch.cat([part[key].flatten().double() for key in before]) for part in (before, after)]
    assert (every[1] - every[0]).norm() <= 1e-5 * every[0].norm()


def close(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    if not np.issubdtype(expected.dtype, np.floating):
        np.testing.assert_array_equal(found, expected)
        return
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    known = ~np.isnan(expected)
    off = (found - expected)[known]
    # Differences of losses are exact to a few last digits of the losses, whose own differ by no more.
    few_digits = 4 * np.spacing(np.float32(8))
    assert np.linalg.norm(off) <= 1e-5 * np.linalg.norm(expected[known]) or np.abs(off).max() <= few_digits
