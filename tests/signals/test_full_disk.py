"""A disk that fills up while a store is written: an error in words, and what was whole before stays."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from dataflex.errors import UserError
from dataflex.signals import reference_cache
from dataflex.signals.passes import Batch, Rows
from dataflex.signals.reference_cache import cached_losses
from dataflex.signals.store import GradientStore, describe


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the kernel refuse to make files larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_store_takes_its_space_at_once(tmp_path: Path) -> None:
    """Blocks that a mapped file lacks are asked for when they are touched, and a refusal is a bus error."""
    GradientStore(tmp_path, 1000, 512, {})
    assert (tmp_path / "rank-0.npy").stat().st_blocks * 512 >= 1000 * 512 * 2


def test_a_store_without_room_leaves_nothing(tmp_path: Path) -> None:
    with largest_file(100_000), pytest.raises(UserError, match=r"can't be written .*1\.0 MiB a rank"):
        GradientStore(tmp_path, 1024, 512, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no complete"):
        describe(tmp_path)


def test_parts_of_a_reference_cache_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [400] * 4 + [4000]
    lengths = np.array(tokens) + 1
    monkeypatch.setattr(reference_cache, "_PART_TOKENS", 800)
    monkeypatch.setattr(reference_cache, "rows_digest", lambda data: "these")
    measured: list[int] = []

    def batch(rows: list[int]) -> Batch:
        most = int(lengths[rows].max())
        labels = torch.full((len(rows), most), -100)
        for place, row in enumerate(rows):
            labels[place, : lengths[row]] = row
        return {"labels": labels}

    def measure(batch: Batch, labels: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
        measured.extend(labels[:, 0].tolist())
        return labels.clamp(min=0).float()

    def losses() -> None:
        rows = Rows(lengths, np.array(tokens), batch)
        cached_losses(tmp_path, "model", torch.nn.Identity, measure, rows, None, 5000)

    with largest_file(4000), pytest.raises(UserError, match=r"can't be written .*make room"):
        losses()
    assert sorted(set(measured)) == [0, 1, 2, 3, 4]
    kept = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert kept
    assert not [name for name in kept if "tmp" in name]
    measured.clear()
    losses()
    assert sorted(set(measured)) == [4]
