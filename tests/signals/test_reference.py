"""Losses of a reference model: from a cache of two bytes a token, or from a forward beside."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import rich
import torch
import torch.nn.functional as F

from dataflex.errors import UserError
from dataflex.signals import reference_cache
from dataflex.signals.passes import Rows
from dataflex.signals.reference import (
    FrozenModel,
    LiveReference,
    ReferenceSource,
    excess_losses,
    make_reference,
)
from dataflex.signals.reference_cache import rows_digest

from .conftest import make_rows, tiny_model

Tokens = list[list[int]]
HALF = 2**-10
"""Relative error of half precision, with room for the order of sums."""


def dataset(tokens: Tokens, supervised: Callable[[int], int] = lambda size: size // 2) -> Any:
    """The rows that ``make_rows`` batches; ``supervised``: how many tokens at the end of a row are."""
    labels = [
        [-100] * (len(row) - supervised(len(row))) + row[len(row) - supervised(len(row)) :] for row in tokens
    ]
    return datasets.Dataset.from_dict({"input_ids": tokens, "labels": labels})


class Loads:
    """A reference model that counts how often it was loaded."""

    def __init__(self, model: torch.nn.Module | None = None) -> None:
        self.model = (tiny_model() if model is None else model).eval().requires_grad_(False)
        self.times = 0

    def __call__(self) -> torch.nn.Module:
        self.times += 1
        return self.model


def frozen(folder: Path, load: Callable[[], Any], identity: str = "model", **changes: Any) -> FrozenModel:
    return FrozenModel(ReferenceSource(str(folder), **changes), load, lambda: identity)


def cached(folder: Path, load: Any, tokens: Tokens, rows: Rows | None = None, **changes: Any) -> Any:
    budget = changes.pop("batch_tokens", 40)
    data = changes.pop("data", None) or dataset(tokens)
    return make_reference(
        frozen(folder, load, **changes), rows or make_rows(tokens), data, budget, nullcontext
    )


def alone(model: torch.nn.Module, row: list[int]) -> torch.Tensor:
    """Losses of a row's supervised tokens, by torch."""
    ids = torch.tensor([row])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1]
    losses = F.cross_entropy(logits, ids[0, 1:], reduction="none")
    return losses[-(len(row) // 2) :] if len(row) > 1 else losses[:0]


def look_up(reference: Any, rows: Rows, ids: list[int]) -> torch.Tensor:
    batch = rows.batch(ids)
    labels = batch.pop("labels")
    found: torch.Tensor = reference.losses(torch.tensor(ids), batch, labels)
    assert found.shape == labels.shape
    assert found.dtype == torch.float32
    assert not found.requires_grad
    return found


@pytest.mark.parametrize("left", [False, True], ids=["right-padded", "left-padded"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
@pytest.mark.parametrize("part_tokens", [3, 2**20])
def test_cached_losses_are_those_of_each_row_alone(
    tmp_path: Path,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    part_tokens: int,
    batch_tokens: int,
    left: bool,
) -> None:
    monkeypatch.setattr(reference_cache, "_PART_TOKENS", part_tokens)
    load = Loads()
    reference = cached(tmp_path, load, tokens, batch_tokens=batch_tokens)
    # Read with another padding than they were computed with.
    rows = make_rows(tokens, left=left, pad_to=8)
    ids = [5, 0, 3, 1, 7]
    found = look_up(reference, rows, ids)
    for place, row in enumerate(ids):
        expected = alone(load.model, tokens[row])
        batch = rows.batch(ids)
        counted = torch.zeros_like(found[place], dtype=torch.bool)
        counted[:-1] = batch["labels"][place, 1:] != -100
        torch.testing.assert_close(found[place][counted], expected, rtol=HALF, atol=1e-6)
        assert not found[place][~counted].any()
    files = sorted(tmp_path.rglob("*.npy"))
    assert (len(files) > 3) == (part_tokens == 3)
    assert sum(np.load(file).nbytes for file in files) == 2 * sum(len(row) // 2 for row in tokens)


def test_live_losses_are_the_models_own(tokens: Tokens) -> None:
    load = Loads()
    live = make_reference(
        frozen(Path("unused"), load, losses="live"), make_rows(tokens), None, 40, nullcontext
    )
    assert isinstance(live, LiveReference)
    rows = make_rows(tokens, left=True)
    found = look_up(live, rows, [1, 4])
    for place, row in enumerate([1, 4]):
        torch.testing.assert_close(found[place][found[place] != 0], alone(load.model, tokens[row]))


def test_a_cache_is_made_once_and_shared(tmp_path: Path, tokens: Tokens) -> None:
    first, second = Loads(), Loads()
    one, other = cached(tmp_path, first, tokens), cached(tmp_path, second, tokens, batch_tokens=7)
    assert (first.times, second.times) == (1, 0)
    rows = make_rows(tokens)
    assert torch.equal(look_up(one, rows, [1, 2]), look_up(other, rows, [1, 2]))
    assert len(list((tmp_path / "reference_losses").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "another model"},
        {"cache": "elsewhere"},
        {"data": "labels"},
        {"tokens": "another row"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_losses_of_anything_else_are_not_mistaken(
    tmp_path: Path, tokens: Tokens, change: dict[str, Any]
) -> None:
    cached(tmp_path, Loads(), tokens)
    load, rows = Loads(), [list(row) for row in tokens]
    if "tokens" in change:
        change, rows[1][3] = {}, 1 + rows[1][3] % 50
    if "data" in change:
        # As many supervised tokens in each row, but others.
        data = dataset(rows).map(lambda row: {"labels": row["labels"][:1] + row["labels"][:0:-1]})
        change = {"data": data}
    if "cache" in change:
        change = {"cache": str(tmp_path / "elsewhere")}
    cached(tmp_path, load, rows, **change)
    assert load.times == 1


def test_a_pass_that_was_killed_goes_on_with_what_is_missing(
    tmp_path: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_cache, "_PART_TOKENS", 3)
    whole = cached(tmp_path, Loads(), tokens)
    rows, every = make_rows(tokens), list(range(len(tokens)))
    expected = look_up(whole, rows, every)
    files = sorted(tmp_path.rglob("part-*.npy"))
    kept = {file: file.stat().st_mtime_ns for file in files[2:]}
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-2])
    files[1].with_name("part-00000.99.tmp.npy").write_bytes(b"cut off")
    seen: list[int] = []
    counting = Rows(rows.lengths, rows.supervised, lambda ids: (seen.extend(ids), rows.batch(ids))[1])
    again = cached(tmp_path, Loads(), tokens, counting)
    assert torch.equal(look_up(again, rows, every), expected)
    assert {file: file.stat().st_mtime_ns for file in files[2:]} == kept
    assert 0 < len(seen) < len(tokens)


def test_the_first_rank_shows_how_far_it_is(
    tmp_path: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    # An earlier test may have made the console that is shared, when there was no terminal.
    monkeypatch.setattr(rich, "_console", None)
    monkeypatch.setattr(reference_cache, "_PART_TOKENS", 3)
    for rank in range(2):
        monkeypatch.setattr(reference_cache, "world", lambda rank=rank: (rank, 2))
        # The first rank does not find the parts that the other has not written yet.
        with pytest.raises(FileNotFoundError) if rank == 0 else nullcontext():
            cached(tmp_path, Loads(), tokens)
        assert ("Measuring the reference model's losses" in capsys.readouterr().out) == (rank == 0)


def test_other_supervised_tokens_than_when_they_were_computed(tmp_path: Path, tokens: Tokens) -> None:
    reference = cached(tmp_path, Loads(), tokens)
    batch = make_rows(tokens).batch([1, 2])
    labels = batch.pop("labels")
    labels[0, -1] = -100
    with pytest.raises(RuntimeError, match="other supervised tokens"):
        reference.losses(torch.tensor([1, 2]), batch, labels)


def test_a_diverged_reference_is_refused(tmp_path: Path, tokens: Tokens) -> None:
    model = tiny_model()
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    with pytest.raises(UserError, match="not finite"):
        cached(tmp_path, Loads(model), tokens)
    assert not list(tmp_path.rglob("part-*.npy"))


def test_a_folder_that_cannot_be_written(tmp_path: Path, tokens: Tokens) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"reference_cache: .*name another folder"):
        cached(tmp_path, Loads(), tokens, cache=str(tmp_path / "file" / "below"))


def test_losses_that_cannot_be_written(tmp_path: Path, tokens: Tokens) -> None:
    """A full disk, or a folder in the way; the other ranks wait to be told."""
    whole = cached(tmp_path, Loads(), tokens)
    del whole
    (file,) = tmp_path.rglob("part-*.npy")
    file.unlink()
    (file / "below").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"reference_cache: .*can't be written .*name a folder on another disk"
    ):
        cached(tmp_path, Loads(), tokens)


def test_rows_without_any_supervised_token(tmp_path: Path) -> None:
    rows = [[4], [7], [9, 3, 8]]
    reference = cached(tmp_path, Loads(), rows)
    assert look_up(reference, make_rows(rows), [0, 1]).abs().sum() == 0
    assert (look_up(reference, make_rows(rows), [1, 2]) != 0).sum() == 1


def test_excess_by_hand() -> None:
    losses = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.0, 0.0]], requires_grad=True)
    reference = torch.tensor([[1.0, 2.5, 0.0], [0.25, 0.0, 0.0]])
    found = excess_losses(losses, reference)
    assert found.tolist() == [[-0.5, 1.0], [0.25, 0.25]]
    assert not found.requires_grad


def test_a_digest_tells_rows_and_labels_apart(tokens: Tokens) -> None:
    digests = {
        rows_digest(dataset(tokens)),
        rows_digest(dataset(tokens[::-1])),
        rows_digest(dataset(tokens, lambda size: size)),
        rows_digest(dataset(tokens).remove_columns("labels")),
    }
    assert len(digests) == 4
    assert rows_digest(dataset(tokens)) in digests
