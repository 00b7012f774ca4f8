"""Seeds and questions at once: both are samples, and every seed's model answers the same questions.

The outcome of seed s and question q is taken as mean + seed + question + rest. Two questions can be asked of
the mean, and they are different ones:

- ``questions="fixed"``: would these questions be answered so after training again? Only the seeds are a
  sample. The seeds' means are compared by Student's t, with seeds - 1 degrees of freedom; it is exact where
  those means are normally distributed, and contains the rest with the seeds.
- ``questions="random"``: would other questions of the kind be answered so after training again? The error of
  the questions (or of whole subjects) comes on top. It is that of the questions' means over the seeds less
  what the rest adds to it, since the rest is in the seeds' part already: the sum is the variance of a
  two-way crossed design (Cornfield and Tukey 1956), in clusters that of Cameron, Gelbach and Miller (2011).
  The degrees of freedom are those of ``freedom.combined``.

``bootstrap`` finds the same error by drawing seeds and questions again, with no formula for it, as a check.
Percentiles of such draws (the "pigeonhole" bootstrap: Owen 2007; Owen and Eckles 2012) hold the rest three
times and the seeds (S - 1)/S times, which is right for thousands of each; with 3 to 6 seeds they covered 86
to 98 % (``docs/statistics.md``).

With one seed nothing is known of what training again would give, and the error is infinite: what one trained
model is worth on other questions is asked of ``questions.accuracy`` and ``paired.difference``.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from dataflex.evidence.statistics.clusters import Clusters, FloatArray, mean_of, numbered, weighted_squares
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.freedom import combined
from dataflex.evidence.statistics.paired import DRAWS, SEED
from dataflex.evidence.statistics.resampling import units

Questions = Literal["random", "fixed"]


def mean(
    outcomes: npt.ArrayLike, subjects: Clusters | None = None, questions: Questions = "random"
) -> Estimate:
    """The mean over seeds and questions.

    Args:
        outcomes: shape (seeds, questions); 0 and 1, or any numbers.
        subjects: of each question; None: each question was drawn by itself. Makes no difference to
            ``questions="fixed"``.
        questions: whether the statement is about questions of this kind or about these.

    Raises:
        ValueError: another shape, or not one subject for each question.
    """
    found = _table(outcomes)
    seeds = len(found)
    if seeds < 2:
        return Estimate(float(found.mean()), math.inf, 0)
    by_seed = float(found.mean(axis=1).var(ddof=1)) / seeds
    if questions == "fixed":
        return Estimate(float(found.mean()), math.sqrt(by_seed), seeds - 1)
    across = of_questions(found, subjects)
    if not across.known:
        return across
    freedom = combined((by_seed, seeds - 1), (across.error**2, across.freedom))
    return Estimate(across.value, math.hypot(math.sqrt(by_seed), across.error), freedom)


def of_questions(outcomes: npt.ArrayLike, subjects: Clusters | None = None) -> Estimate:
    """The mean with the error that having drawn these questions adds to that of the seeds.

    It is what ``prediction.further_run`` needs where the further run is asked other questions.

    Args:
        outcomes: shape (seeds, questions), two seeds or more; 0 and 1, or any numbers.
        subjects: of each question; None: each question was drawn by itself.

    Returns:
        Infinite error with fewer than two seeds: question and rest can't be told apart.

    Raises:
        ValueError: another shape, or not one subject for each question.
    """
    found = _table(outcomes)
    if len(found) < 2:
        return Estimate(float(found.mean()), math.inf, 0)
    across = mean_of(found.mean(axis=0), subjects)
    if not across.known:
        return across
    variance = max(0.0, across.error**2 - _rest(found, subjects))
    return Estimate(across.value, math.sqrt(variance), across.freedom)


def difference(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    subjects: Clusters | None = None,
    questions: Questions = "random",
) -> Estimate:
    """The mean of ours less theirs, paired by seed and question: row and column are the same in both."""
    one, other = _table(ours), _table(theirs)
    if one.shape != other.shape:
        raise ValueError(f"the same seeds and questions are needed, not {one.shape} and {other.shape}")
    return mean(one - other, subjects, questions)


def bootstrap(
    outcomes: npt.ArrayLike,
    subjects: Clusters | None = None,
    questions: Questions = "random",
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Estimate:
    """The mean, its error from drawing seeds, and questions or subjects, again.

    Of S seeds S - 1 are drawn, and likewise of the questions: then the draws scatter as the mean does, not
    (S - 1)/S times as much (Rao and Wu 1988). Drawn alone, seeds carry the rest once and so do questions;
    what a draw of both shows beyond the two carries it once more. So the variances of the first two, less
    that of this remainder, have it once. Degrees of freedom are those of ``mean``: of these the draws know
    nothing.

    Args:
        outcomes: shape (seeds, questions); 0 and 1, or any numbers.
        subjects: of each question, to be drawn whole; None: each question is drawn by itself.
        questions: whether questions are drawn too.
        draws: how often; the error's own error is about 1 / sqrt(2 draws) of it.
        seed: of the draws; the same seed gives the same estimate.

    Raises:
        ValueError: another shape, or not one subject for each question.
    """
    found = _table(outcomes)
    expected = mean(found, subjects, questions)
    if not expected.known:
        return expected
    rng = np.random.default_rng(seed)
    seeds = len(found)
    times = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=draws) / (seeds - 1)
    of_seeds = times @ found.mean(axis=1)
    if questions == "fixed":
        return Estimate(expected.value, float(of_seeds.std()), expected.freedom)
    drawn = np.concatenate(list(units(found, subjects).means(draws, rng, fewer=1)))
    asked = drawn.mean(axis=1)
    remainder = (times * drawn).sum(axis=1) - of_seeds - asked
    by_question = max(0.0, float(asked.var() - remainder.var()))
    return Estimate(expected.value, math.sqrt(of_seeds.var() + by_question), expected.freedom)


def _table(outcomes: npt.ArrayLike) -> FloatArray:
    found = np.asarray(outcomes, dtype=float)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"outcomes by seed and question are needed, not the shape {found.shape}")
    return found


def _rest(found: FloatArray, subjects: Clusters | None) -> float:
    """What is left after seeds and questions, as a variance of the mean; clustered where questions are."""
    seeds, n = found.shape
    rest = found - found.mean(axis=1, keepdims=True) - found.mean(axis=0) + found.mean()
    label = numbered(subjects, n)
    sizes = np.bincount(label).astype(float)
    sums = np.stack([np.bincount(label, row) for row in rest]).astype(float)
    return float(weighted_squares(sums, sizes).sum()) / ((seeds - 1) * seeds * n**2)
