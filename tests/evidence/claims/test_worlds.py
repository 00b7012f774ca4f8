"""Experiments of which the truth is known, judged as the judge judges them: how often each verdict is given."""

from collections import Counter

import numpy as np
import pytest

from dataflex.evidence.claims.verdicts import Effect, of_difference, of_ordering, of_value
from dataflex.evidence.statistics import hierarchical
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.prediction import further_run
from dataflex.evidence.statistics.seeds import of_mean
from tests.statistics.simulate import SUBJECTS, Answers

SEEDS, METHODS = 6, 4
CHANCE_OF_MORE = 0.01
"""More than three standard deviations of a rate of 5 % in ``WORLDS`` experiments."""
WORLDS = 4000


def table(rng, truth, published, *, scatter=1.0, sizes=True, least=1.0):
    """The effects of one table: a family of ``METHODS`` differences, six pairs of runs each."""
    runs = [list(truth + rng.normal(0, scatter, SEEDS)) for _ in range(METHODS)]
    estimates = [of_mean(own) for own in runs]
    adjusted = holm([estimate.p_value() for estimate in estimates])
    return [
        Effect(estimate, further_run(own), size, p, abs(size) if sizes else least, sizes, family=METHODS)
        for own, estimate, size, p in zip(runs, estimates, published, adjusted, strict=True)
    ]


@pytest.mark.parametrize("scatter", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("sizes", [True, False])
def test_where_nothing_is_true_a_table_is_seldom_green_anywhere(scatter, sizes):
    """Whatever was published, of one claim of the table or of all: the family is what Holm holds to 5 %."""
    rng = np.random.default_rng(1)
    green = 0
    for _ in range(WORLDS):
        effects = table(rng, 0.0, rng.choice([-1.0, 1.0], METHODS), scatter=scatter, sizes=sizes)
        told = [of_difference(one, 0.9)[0] for one in effects] + [of_ordering(effects)[0]]
        green += "reproduced" in told
    assert green / WORLDS <= 0.05 + CHANCE_OF_MORE


def test_a_sign_that_is_not_true_is_seen_as_often_as_holm_allows():
    """The bound is not kept by never being green: with power, 2.5 % of the signs come out right by luck."""
    rng = np.random.default_rng(2)
    green = sum(
        "reproduced" in [of_difference(one, 0.9)[0] for one in table(rng, 0.0, [1.0] * METHODS, scatter=0.1,
                                                                     sizes=False)]
        for _ in range(WORLDS)
    )  # fmt: skip
    assert green / WORLDS == pytest.approx(0.025, abs=0.01)


def test_what_was_published_truly_is_mostly_reproduced():
    rng = np.random.default_rng(3)
    told = Counter()
    for _ in range(1000):
        # Published is one pair of runs, too; the effect is 12 times what pairs scatter by.
        published = 1.2 + rng.normal(0, 0.1, METHODS)
        told.update(of_difference(one, 0.6)[0] for one in table(rng, 1.2, published, scatter=0.1))
    assert told["reproduced"] / told.total() > 0.95
    assert told["contradicted"] / told.total() < 0.01


@pytest.mark.parametrize("scatter", [0.1, 0.5, 2.0])
def test_one_more_pair_of_our_runs_is_seldom_contradicted(scatter):
    rng = np.random.default_rng(4)
    told = Counter()
    for _ in range(WORLDS):
        (one, *_) = table(rng, 1.0, 1.0 + rng.normal(0, scatter, METHODS), scatter=scatter)
        # A margin of nothing: all that keeps it from being contradicted is that it is one run.
        told[of_difference(one, 0.0)[0]] += 1
    assert told["contradicted"] / WORLDS <= 0.05 + CHANCE_OF_MORE
    assert told["reproduced"] == 0


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_one_more_run_is_seldom_contradicted_and_another_world_mostly(shift):
    rng = np.random.default_rng(5)
    told = Counter()
    for _ in range(WORLDS):
        runs = list(rng.normal(40.0, 0.5, SEEDS))
        told[of_value(of_mean(runs), further_run(runs), 40.0 + shift + rng.normal(0, 0.5), 0.0)[0]] += 1
    if shift:
        assert told["contradicted"] / WORLDS > 0.95
    else:
        assert told["contradicted"] / WORLDS <= 0.05 + CHANCE_OF_MORE
        assert told["contradicted"] / WORLDS > 0.03


@pytest.mark.parametrize("n", [165, 285])
def test_other_questions_of_the_kind_are_no_contradiction(n):
    """The published model is one more of ours; it answered as many other questions, in the same subjects."""
    rng = np.random.default_rng(6)
    answers, trials = Answers(0.4, seed=0.05, subject=0.3), 1500
    told = Counter()
    for _ in range(trials):
        right = 100.0 * answers.draw(answers.ease(n, rng), rng.normal(size=SEEDS), rng)
        theirs = 100.0 * answers.draw(answers.ease(n, rng), rng.normal(size=1), rng).mean()
        drawn = hierarchical.of_questions(right, SUBJECTS[n])
        by_seed = list(right.mean(axis=1))
        for how, prediction in (
            ("random", further_run(by_seed, [drawn.error] * 2, drawn.freedom)),
            ("fixed", further_run(by_seed)),
        ):
            estimate = hierarchical.mean(right, SUBJECTS[n], how)
            told[how, of_value(estimate, prediction, theirs, 0.0)[0]] += 1
    assert told["random", "contradicted"] / trials <= 0.05 + 0.017
    # Taking them for the same questions is what this is about.
    assert told["fixed", "contradicted"] / trials > 0.09
