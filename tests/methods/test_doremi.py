"""DoReMi's weights against the authors' update, closed forms and a game with a known solution."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts, FloatArray, Mixture, StepLosses
from dataflex.engine.factors import loss_factors
from dataflex.errors import UserError
from dataflex.mixers.doremi import DoReMiMixer

At = Callable[..., Context]
TWO: dict[str, Any] = {"domains": ("a", "b"), "proportions": np.array([0.9, 0.1])}


def doremi(**params: Any) -> DoReMiMixer:
    return DoReMiMixer(reference_model_path="reference", **params)


def seen(excess: Any, tokens: Any, positive: Any = None) -> StepLosses:
    """A step whose domains had these sums of excess losses, and of their positive parts."""
    sums = np.asarray(excess, float)
    clipped = np.maximum(sums, 0) if positive is None else np.asarray(positive, float)
    counts = np.asarray(tokens, np.int64)
    share = np.full(len(sums), 1 / len(sums))
    return StepLosses(2 * sums, counts, counts, share, excess=np.column_stack([sums, clipped]))


def alpha_of(context: Context) -> FloatArray:
    return np.array(list(context.notes["alpha"].values()))


def decided(mixer: DoReMiMixer, context: Context) -> FloatArray:
    mixer.update(context)
    return alpha_of(context)


@pytest.mark.parametrize("variant", ["default", "released"])
def test_a_hundred_steps_equal_the_authors_update(at: At, variant: str) -> None:
    """Domains are missing at random; the first two steps show two of five only."""
    rng = np.random.default_rng(5)
    names = {"domains": tuple("abcde"), "proportions": np.full(5, 0.2), "vocabulary": 50_000}
    mixer, eta, c = doremi(variant=variant), 1.0, 1e-3
    assert decided(mixer, at(0, **names)) == pytest.approx(np.full(5, 0.2))
    # The authors keep scores in a buffer that begins at the logarithm of the tokenizer's length.
    alpha, scores = np.full(5, 0.2), np.full(5, np.log(50_000.0))
    known = np.zeros(5, bool)
    every = [alpha]
    for step in range(1, 101):
        tokens = rng.integers(1, 400, 5) * (rng.random(5) < 0.6)
        tokens = np.array([9, 4, 0, 0, 0]) if step <= 2 else tokens
        if not tokens.any():
            tokens[0] = 7
        positive = tokens * rng.gamma(1.0, 0.3, 5)
        mixer.observe(seen(positive - 0.2 * tokens, tokens, positive), step - 1)
        present = tokens > 0
        scores = np.where(present, positive / np.maximum(tokens, 1), scores)
        known |= present
        raised = alpha * np.exp(eta * scores)
        if variant == "default":
            # Those that were seen share what the others leave.
            raised[known] *= alpha[known].sum() / raised[known].sum()
            raised[~known] = alpha[~known]
        alpha = (1 - c) * raised / raised.sum() + c / 5
        every.append(alpha)
        context = at(step, **names)
        assert decided(mixer, context) == pytest.approx(alpha, abs=1e-6)
        assert list(context.notes["average"].values()) == pytest.approx(np.mean(every, 0), abs=1e-6)
    learned = mixer.learned()
    assert learned == pytest.approx(np.mean(every, 0), abs=1e-6)


def test_one_update_by_hand(at: At) -> None:
    mixer = doremi()
    mixer.update(at(0, **TWO))
    mixer.observe(seen([3.0, 0.8], [10, 4]), 0)
    assert decided(mixer, at(1, **TWO)) == pytest.approx([0.52495421, 0.47504579], abs=1e-8)
    assert mixer.learned() == pytest.approx([0.5124771, 0.4875229], abs=1e-6)


def test_constant_scores_without_smoothing_follow_a_logistic_curve(at: At) -> None:
    mixer, fall = doremi(eps=0.0, eta=0.5), 0.04
    for step in range(200):
        alpha = decided(mixer, at(step, **TWO))
        assert alpha[0] == pytest.approx(1 / (1 + np.exp(-0.5 * fall * step)), rel=1e-9)
        mixer.observe(seen([0.34, 0.30], [1, 1]), step)


def test_weights_of_thousands_of_nats_do_not_overflow(at: At) -> None:
    mixer = doremi(eps=0.0, eta=1000.0)
    for step in range(5):
        alpha = decided(mixer, at(step, **TWO))
        mixer.observe(seen([9.0, 0.0], [1, 1]), step)
    assert alpha.tolist() == [1.0, 0.0]
    for step in range(5, 20):
        mixer.observe(seen([0.0, 9.0], [1, 1]), step)
        alpha = decided(mixer, at(step, **TWO))
    assert alpha.tolist() == [0.0, 1.0]


def test_the_loser_of_a_smoothed_game_keeps_its_share(at: At) -> None:
    """The fixed point solves x = (1 - c) x / (x + (1 - x) e^d) + c / 2."""
    mixer, c, d = doremi(eps=0.01), 0.01, 0.5
    for step in range(300):
        mixer.update(at(step, **TWO))
        mixer.observe(seen([d, 0.0], [1, 1]), step)
    share = decided(mixer, at(300, **TWO))[1]
    assert share == pytest.approx((1 - c) * share / (share + (1 - share) * np.exp(d)) + c / 2, abs=1e-9)
    assert share == pytest.approx((c / 2) / (1 - (1 - c) * np.exp(-d)), rel=0.02)


@pytest.mark.parametrize(("clip", "score"), [("token", 0.5), ("domain", 0.0), ("none", -0.25)])
def test_where_the_excess_is_clipped(at: At, clip: str, score: float) -> None:
    """Two tokens of the first domain are 1 above and 1.5 below the reference."""
    mixer = doremi(score_clip=clip)
    mixer.update(at(0, **TWO))
    mixer.observe(seen([-0.5, 0.6], [2, 2], [1.0, 0.6]), 0)
    context = at(1, **TWO)
    mixer.update(context)
    assert list(context.notes["scores"].values()) == pytest.approx([score, 0.3])


def test_an_absent_domain_keeps_its_score_and_one_never_seen_its_weight(at: At) -> None:
    mixer = doremi(eps=0.0)
    mixer.update(at(0))
    mixer.observe(seen([2.0, 0.0, 0.0], [4, 0, 0]), 0)
    first = at(1)
    mixer.update(first)
    assert first.notes["scores"] == {"a": 0.5, "b": None, "c": None}
    # Alone it has nobody to win from.
    assert alpha_of(first) == pytest.approx(np.full(3, 1 / 3))
    mixer.observe(seen([0.0, 0.0, 1.0], [0, 0, 10]), 1)
    second = at(2)
    mixer.update(second)
    assert second.notes["scores"] == {"a": 0.5, "b": None, "c": pytest.approx(0.1)}
    alpha = alpha_of(second)
    assert alpha[1] == pytest.approx(1 / 3)
    assert alpha[0] / alpha[2] == pytest.approx(np.exp(0.4))


def test_a_domain_never_seen_takes_all_in_the_authors_program(at: At) -> None:
    mixer = doremi(variant="released")
    mixer.update(at(0, vocabulary=50_000))
    mixer.observe(seen([2.0, 1.0, 0.0], [4, 4, 0]), 0)
    assert decided(mixer, at(1, vocabulary=50_000))[2] > 0.99


def test_several_steps_between_updates_are_one_score(at: At) -> None:
    """Sums over tokens, not means of means: what counts is the token, whichever step it came in."""
    once, parts = doremi(), doremi()
    for mixer in (once, parts):
        mixer.update(at(0, **TWO))
    once.observe(seen([5.0, 3.0], [30, 12]), 0)
    for step, (excess, tokens) in enumerate((([4.0, 0.0], [10, 0]), ([1.0, 3.0], [20, 12]))):
        parts.observe(seen(excess, tokens), step)
    assert decided(parts, at(2, **TWO)) == pytest.approx(decided(once, at(2, **TWO)), rel=1e-12)


def test_an_update_without_evidence_changes_nothing(at: At) -> None:
    mixer = doremi()
    mixer.update(at(0))
    mixer.observe(seen([3.0, 1.0, 1.0], [4, 4, 4]), 0)
    before, average = decided(mixer, at(1)), mixer.learned()
    assert np.array_equal(decided(mixer, at(2)), before)
    assert np.array_equal(mixer.learned(), average)  # type: ignore[arg-type]


@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.3, 1.0])
def test_weights_stay_on_the_simplex_above_their_least_share(at: At, eps: float) -> None:
    rng, mixer = np.random.default_rng(2), doremi(eps=eps, eta=3.0)
    for step in range(60):
        alpha = decided(mixer, at(step))
        assert alpha.sum() == pytest.approx(1, abs=1e-12)
        assert alpha.min() >= eps / 3 * (1 - 1e-12)
        mixer.observe(seen(rng.normal(size=3) * 20, rng.integers(0, 9, 3)), step)


def test_the_game_of_two_parabolas_is_solved(at: At) -> None:
    """min over x, max over weights of a x^2 / 2 + b 2 (x - 1)^2: x = 2/3 with weights (2/3, 1/3)."""
    mixer, x = doremi(eps=0.0, eta=0.05), 0.0
    for step in range(6000):
        alpha = decided(mixer, at(step, **TWO))
        losses = np.array([x**2 / 2, 2 * (x - 1) ** 2])
        mixer.observe(seen(losses, [1, 1]), step)
        x -= 0.1 * float(alpha @ [x, 4 * (x - 1)])
    assert x == pytest.approx(2 / 3, abs=1e-3)
    assert alpha == pytest.approx([2 / 3, 1 / 3], abs=2e-3)
    assert mixer.learned() == pytest.approx([2 / 3, 1 / 3], abs=1e-2)


TOKENS, SUMS = np.array([40.0, 10.0, 0.0]), np.array([80.0, 30.0, 0.0])


def loss(mixture: Mixture) -> float:
    """Loss of a step of these token counts and loss sums."""
    assert mixture.loss_weights is not None
    factors = loss_factors(mixture.loss_weights, TOKENS, of_means=mixture.mass == "domain")
    return float((factors * SUMS).sum() / TOKENS.sum())


def test_equal_weights_and_proportions_give_the_plain_loss(at: At) -> None:
    assert loss(doremi().update(at(0))) == pytest.approx(110 / 50, rel=1e-12)
    assert loss(doremi(normaliser="domain").update(at(0))) == pytest.approx((2 + 3) / 2, rel=1e-12)


@pytest.mark.parametrize("normaliser", ["token", "domain"])
def test_the_whole_weight_on_a_domain_gives_its_loss(at: At, normaliser: str) -> None:
    mixer = doremi(eps=0.0, eta=1e5, normaliser=normaliser)
    mixer.update(at(0))
    mixer.observe(seen([0.0, 1.0, 0.0], [1, 1, 1]), 0)
    assert loss(mixer.update(at(1))) == pytest.approx(3.0, rel=1e-12)


def test_tokens_are_corrected_for_how_often_they_are_drawn(at: At, facts: Facts) -> None:
    uniform = doremi().update(at(0))
    assert uniform.proportions == pytest.approx(np.full(3, 1 / 3))
    given = doremi(sampling="initial").update(at(0))
    assert given.proportions.tolist() == [0.4, 0.3, 0.3]
    assert given.loss_weights == pytest.approx(np.array([1, 4 / 3, 4 / 3]) / 1.2)
    never = Facts(**{**vars(facts), "proportions": np.array([0.5, 0.0, 0.5])})
    with pytest.raises(UserError, match="never draws 'b'"):
        doremi(sampling="initial").check(never)


def test_a_restored_copy_goes_on_alike_from_between_updates(at: At) -> None:
    mixer, copy = doremi(), doremi()
    mixer.update(at(0))
    mixer.observe(seen([3.0, 1.0, 0.0], [4, 4, 0]), 0)
    mixer.update(at(1))
    mixer.observe(seen([1.0, 1.0, 0.0], [2, 4, 0]), 1)
    copy.load_state_dict(json.loads(json.dumps(mixer.state_dict(), allow_nan=False)))
    for one in (mixer, copy):
        one.observe(seen([1.0, 2.0, 0.0], [2, 4, 0]), 2)
    assert np.array_equal(copy.learned(), mixer.learned())  # type: ignore[arg-type]
    contexts = at(3), at(3)
    for one, context in zip((mixer, copy), contexts, strict=True):
        one.update(context)
    assert contexts[0].notes == contexts[1].notes
    assert copy.state_dict() == mixer.state_dict()
