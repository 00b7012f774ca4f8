"""Oracle of NEAR: the sweep, written out."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context
from dataflex.errors import UserError
from dataflex.registry import build
from dataflex.signals.embeddings import Embeddings

At = Callable[..., Context]


def unit(rows: int, seed: int, dimension: int = 6) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sweep(pool: np.ndarray, queries: np.ndarray, n: int) -> list[int]:
    distances = np.sqrt(((queries[:, None].astype(float) - pool[None]) ** 2).sum(2))
    order = np.argsort(distances, axis=1, kind="stable")
    taken: list[int] = []
    for column in order.T.tolist():
        for row in column:
            if row not in taken and len(taken) < n:
                taken.append(row)
    return taken


@pytest.mark.parametrize("n", [1, 8, 40, 100])
@pytest.mark.parametrize("queries", [1, 3, 60])
def test_the_rank_major_sweep(at: At, n: int, queries: int) -> None:
    pool = unit(100, 0)
    pool[50:60] = pool[:10]
    given = Embeddings(pool, unit(queries, 1))
    ids = build("select", "near", {}).select(at(embeddings=given), n)  # type: ignore[attr-defined]
    assert ids.tolist() == sweep(given.pool, given.validation, n)


def test_few_neighbours_give_few_rows_and_notes_say_how_many(at: At) -> None:
    given = Embeddings(unit(100, 0), unit(5, 1))
    context = at(embeddings=given)
    ids = build("select", "near", {"max_neighbours": 2}).select(context, 50)  # type: ignore[attr-defined]
    assert ids.tolist() == sweep(given.pool, given.validation, 100)[: len(ids)]
    assert context.notes["retrieved"] == len(ids) <= 10
    assert context.notes["neighbours"] == 2


def test_scores_rank_the_rows_as_the_sweep_does() -> None:
    given = Embeddings(unit(100, 0), unit(5, 1))
    scores = build("select", "near", {}).score(given, {})  # type: ignore[attr-defined]
    assert np.argsort(-scores).tolist() == sweep(given.pool, given.validation, 100)


@pytest.mark.parametrize(("params", "again"), [({"embedding_model": "a/model"}, False), ({}, True)])
def test_vectors_are_asked_for_anew_where_the_model_in_training_makes_them(
    at: At, params: dict[str, str], again: bool
) -> None:
    first, other = (Embeddings(unit(100, seed), unit(5, seed + 1)) for seed in (0, 7))
    selector = build("select", "near", params)
    before, after = (
        selector.select(at(embeddings=given), 20).tolist()  # type: ignore[attr-defined]
        for given in (first, other)
    )
    expected = other if again else first
    assert before == sweep(first.pool, first.validation, 20)
    assert after == sweep(expected.pool, expected.validation, 20)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"vectors": "a.npy"}, "go together"),
        ({"scores": "a.parquet", "embedding_model": "m"}, "remove embedding_model"),
        ({"index": "hnsw"}, "'exact' or 'approximate'"),
    ],
)
def test_contradicting_sources_are_refused(params: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build("select", "near", params)
