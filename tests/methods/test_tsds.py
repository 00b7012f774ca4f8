"""Oracles of TSDS' draws: inclusion frequencies, scores made beforehand, what is told of a solution."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts
from dataflex.errors import UserError
from dataflex.registry import build
from dataflex.signals.embeddings import Embeddings
from dataflex.signals.scores import write_scores

from .test_near import unit

At = Callable[..., Context]
KEYS = [f"{row:016x}" for row in range(100)]


def test_draws_follow_the_probabilities(at: At) -> None:
    """Frequencies of 400 draws of 50 rows with replacement, within five standard errors."""
    given = Embeddings(unit(100, 0), unit(9, 1))
    selector = build("select", "tsds", {"sampling": "multinomial"})
    chances = selector.score(given, {})  # type: ignore[attr-defined]
    assert chances.sum() == pytest.approx(1)
    drawn = np.concatenate([selector.select(at(step, embeddings=given), 50) for step in range(400)])  # type: ignore[attr-defined]
    share = np.bincount(drawn, minlength=100) / len(drawn)
    assert (np.abs(share - chances) <= 5 * np.sqrt(chances * (1 - chances) / len(drawn))).all()
    assert selector.repeats_rows()  # type: ignore[attr-defined]


def test_without_replacement_rows_differ_and_follow_the_odds(at: At) -> None:
    """The first row of a Gumbel draw has the distribution of the probabilities themselves."""
    given = Embeddings(unit(100, 0), unit(9, 1))
    selector = build("select", "tsds", {})
    chances = selector.score(given, {})  # type: ignore[attr-defined]
    draws = [selector.select(at(step, embeddings=given), 5) for step in range(1500)]  # type: ignore[attr-defined]
    assert all(len(set(draw.tolist())) == 5 for draw in draws)
    share = np.bincount([draw[0] for draw in draws], minlength=100) / len(draws)
    assert (np.abs(share - chances) <= 5 * np.sqrt(chances * (1 - chances) / len(draws))).all()


def test_only_rows_with_a_probability_are_returned(at: At) -> None:
    given = Embeddings(unit(100, 0), unit(3, 1))
    context = at(embeddings=given)
    ids = build("select", "tsds", {"alpha": 1.0}).select(context, 50)  # type: ignore[attr-defined]
    assert sorted(ids.tolist()) == np.flatnonzero(context.notes["scores"]).tolist()
    assert context.notes["rows_with_probability"] == len(ids) <= 3
    assert context.notes["effective_rows"] == pytest.approx(len(ids))
    assert context.notes["truncated"] is False


def test_alpha_one_takes_what_near_takes_first(at: At) -> None:
    given = Embeddings(unit(100, 0), unit(9, 1))
    nearest = build("select", "near", {"max_neighbours": 1}).select(at(embeddings=given), 100)  # type: ignore[attr-defined]
    drawn = build("select", "tsds", {"alpha": 1.0}).select(at(embeddings=given), 100)  # type: ignore[attr-defined]
    assert sorted(drawn.tolist()) == sorted(nearest.tolist())


@pytest.mark.parametrize(("params", "anew"), [({"embedding_model": "a-model"}, False), ({}, True)])
def test_only_vectors_of_the_model_in_training_are_scored_anew(
    at: At, params: dict[str, str], anew: bool
) -> None:
    first, second = (at(step, embeddings=Embeddings(unit(100, step), unit(9, 1))) for step in (5, 9))
    selector = build("select", "tsds", params)
    selector.select(first, 20)  # type: ignore[attr-defined]
    selector.select(second, 20)  # type: ignore[attr-defined]
    assert np.array_equal(first.notes["scores"], second.notes["scores"]) != anew
    assert first.notes.keys() == second.notes.keys()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    scores = np.where(np.arange(100) % 2, 0.02, np.nan)
    write_scores(tmp_path / "scores.parquet", scores, KEYS, ["a"] * 100, {"method": "tsds"})
    return tmp_path / "scores.parquet"


def test_stored_scores_need_no_embedding_and_must_be_of_these_rows(
    at: At, facts: Facts, stored: Path
) -> None:
    selector = build("select", "tsds", {"scores": str(stored)})
    assert not selector.requirements()
    context = at(row_keys=lambda: KEYS)
    ids = selector.select(context, 80)  # type: ignore[attr-defined]
    assert sorted(ids.tolist()) == list(range(1, 100, 2))
    assert context.notes["made"] == {"method": "tsds"}
    for keys, message in (
        (KEYS[:50], "scores 100 rows, the run has 50"),
        ([*KEYS[:7], "other", *KEYS[8:]], "row 7 of"),
    ):
        changed = Facts(**vars(facts) | {"row_keys": lambda keys=keys: keys})
        with pytest.raises(UserError, match=message):
            selector.check(changed)


def test_scores_of_another_method_or_none_are_refused(facts: Facts, stored: Path) -> None:
    with pytest.raises(UserError, match="of 'tsds', not of 'near'"):
        build("select", "near", {"scores": str(stored)}).check(facts)
    with pytest.raises(UserError, match="dataflex-cli score tsds"):
        build("select", "tsds", {"scores": "nowhere.parquet"}).check(facts)
    stored.write_text("text")
    with pytest.raises(UserError, match="can't be read"):
        build("select", "tsds", {"scores": str(stored)}).check(facts)
