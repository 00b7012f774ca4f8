"""Oracles of online data mixing: closed forms, the bandit's regret, what one batch of many domains shows."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts, StepLosses
from dataflex.errors import UserError
from dataflex.mixers.odm import OdmMixer
from dataflex.registry import build

At = Callable[..., Context]


def step(losses: list[float], proportions: list[float] | None = None, tokens: float = 100) -> StepLosses:
    """The ledger of a step with these mean losses; NaN: the domain was not drawn."""
    mean = np.array(losses)
    count = np.where(np.isnan(mean), 0, tokens).astype(np.int64)
    shares = np.full(len(mean), 1 / len(mean)) if proportions is None else np.array(proportions)
    return StepLosses(np.nan_to_num(mean) * count, count, count, shares)


def begun(at: At, **params: object) -> OdmMixer:
    mixer = build("mix", "odm", params)
    assert isinstance(mixer, OdmMixer)
    mixer.update(at(0))
    return mixer


def test_the_released_closed_form(at: At) -> None:
    mixer = begun(at)
    mixer.observe(step([2, 2.5, 3]), 2000)
    shares = mixer.update(at(2001)).proportions
    assert mixer._exploration(2001) == pytest.approx(0.0135281, abs=1e-7)
    assert shares == pytest.approx([0.19229, 0.30826, 0.49945], abs=5e-6)
    odds = np.exp([2, 2.5, 3])
    assert shares == pytest.approx((1 - 3 * 0.01352807) * odds / odds.sum() + 0.01352807, abs=1e-7)


@pytest.mark.parametrize("estimator", ["released", "paper", "exp3"])
def test_the_estimators_against_their_loops(at: At, estimator: str) -> None:
    """A random trace with absent domains, the sums written out a domain and a step at a time."""
    rng = np.random.default_rng(5)
    mixer = begun(at, estimator=estimator, smoothing=0.7)
    rewards = [0.0] * 3
    for t in range(1, 60):
        losses = np.where(rng.random(3) < 0.3, np.nan, rng.uniform(1, 4, 3))
        drawn = rng.dirichlet(np.full(3, 20.0))
        mixer.observe(step(losses.tolist(), drawn.tolist()), t - 1)
        for domain in range(3):
            if np.isnan(losses[domain]):
                continue
            if estimator == "released":
                rewards[domain] = 0.7 * rewards[domain] + 0.3 * np.exp(losses[domain])
            elif estimator == "paper":
                rewards[domain] = 0.7 * rewards[domain] + 0.3 * losses[domain] / drawn[domain]
            else:
                rewards[domain] += losses[domain] / 10 / drawn[domain]
        if not any(rewards):
            continue
        now, before = (min(1 / 3, np.sqrt(np.log(3) / (3 * s))) if s else 1 / 3 for s in (t, t - 1))
        odds = np.array(rewards) if estimator == "released" else np.exp(before * np.array(rewards))
        expected = (1 - 3 * now) * odds / odds.sum() + now
        assert mixer.update(at(t)).proportions == pytest.approx(expected, rel=1e-12)


def test_shares_are_uniform_until_the_exploration_falls(at: At) -> None:
    """eps_t is 1 / K until t reaches K ln K, which is 3.3 for three domains."""
    mixer = begun(at)
    mixer.observe(step([1, 2, 9]), 0)
    assert mixer.update(at(3)).proportions == pytest.approx(np.full(3, 1 / 3))
    assert mixer.update(at(4)).proportions[2] > 0.34


@pytest.mark.parametrize("estimator", ["released", "paper", "exp3"])
def test_shares_keep_their_floor_and_follow_their_domains(at: At, estimator: str) -> None:
    mixer, turned = (begun(at, estimator=estimator, min_exploration=0.05) for _ in range(2))
    mixer.observe(step([2, 5, 1], [0.2, 0.5, 0.3]), 0)
    turned.observe(step([5, 1, 2], [0.5, 0.3, 0.2]), 0)
    shares = mixer.update(at(10**6)).proportions
    assert shares.min() >= 0.05 - 1e-12
    assert shares.sum() == pytest.approx(1)
    assert turned.update(at(10**6)).proportions == pytest.approx(shares[[1, 2, 0]])


def test_exponential_shares_ignore_a_common_shift_linear_ones_a_common_scale(at: At) -> None:
    def shares(estimator: str, losses: list[float]) -> np.ndarray:
        mixer = begun(at, estimator=estimator, importance=False)
        mixer.observe(step(losses), 0)
        return mixer.update(at(400)).proportions

    assert shares("paper", [2, 3, 4]) == pytest.approx(shares("paper", [5, 6, 7]))
    # A shift of the losses is a scale of their exponentials.
    assert shares("released", [2, 3, 4]) == pytest.approx(shares("released", [5, 6, 7]))


def test_every_domain_of_a_mixed_batch_gets_its_own_loss(at: At) -> None:
    """However few of its tokens a step has; the estimate of a constant loss is that loss."""
    mixer = begun(at, estimator="paper", importance=False, smoothing=0.5)
    for at_step in range(60):
        sums = np.array([2.0 * 300, 3.0 * 2, 2.5 * 40])
        mixer.observe(
            StepLosses(sums, np.array([300, 2, 40]), np.array([3, 1, 1]), np.full(3, 1 / 3)), at_step
        )
    assert mixer.state_dict()["rewards"] == pytest.approx([2.0, 3.0, 2.5])


def test_what_the_warm_up_showed_is_not_learned(at: At, facts: Facts) -> None:
    mixer = build("mix", "odm", {})
    assert isinstance(mixer, OdmMixer)
    mixer.observe(step([9, 1, 1]), 3)
    assert np.array_equal(mixer.update(at(5)).proportions, facts.proportions)
    assert mixer.state_dict() == {"rewards": [0, 0, 0], "began": 5}


def test_the_clock_may_start_after_the_warm_up(at: At) -> None:
    shares = []
    for clock, now in (("global", 50), ("since_warmup", 2050)):
        mixer = build("mix", "odm", {"clock": clock})
        assert isinstance(mixer, OdmMixer)
        mixer.update(at(2000))
        mixer.observe(step([1, 2, 3]), 2000)
        shares.append(mixer.update(at(now)).proportions)
    assert np.array_equal(*shares)


def test_exp3_has_the_regret_of_exp3(at: At) -> None:
    """Bernoulli arms, one drawn a step: mean regret within the bound of Auer et al. (2002), and sub-linear."""

    def regret(steps: int, seed: int) -> float:
        rng = np.random.default_rng(seed)
        mixer = begun(at, estimator="exp3", reward_scale=1.0)
        chances, shares, gained = np.array([0.4, 0.5, 0.8]), np.full(3, 1 / 3), 0.0
        for t in range(1, steps + 1):
            arm = rng.choice(3, p=shares)
            reward = float(rng.random() < chances[arm])
            gained += reward
            seen = [np.nan] * 3
            seen[arm] = reward
            mixer.observe(step(seen, shares.tolist()), t - 1)
            shares = mixer.shares(t)
        return 0.8 * steps - gained

    short, long = (np.mean([regret(steps, seed) for seed in range(12)]) for steps in (150, 1200))
    assert long <= 2.63 * np.sqrt(1200 * 3 * np.log(3))
    assert long / 1200 < 0.75 * short / 150


def test_a_running_mean_forgets_a_sum_does_not(at: At) -> None:
    """The best arm changes in mid-run: the smoothed estimate follows at once."""
    leaders = {}
    for estimator in ("paper", "exp3"):
        mixer = begun(at, estimator=estimator, importance=False)
        for at_step in range(400):
            mixer.observe(step([4, 1, 1] if at_step < 300 else [1, 4, 1]), at_step)
        leaders[estimator] = int(mixer.update(at(400)).proportions.argmax())
    assert leaders == {"paper": 1, "exp3": 0}


def test_a_floor_that_leaves_nothing_is_refused(facts: Facts) -> None:
    with pytest.raises(UserError, match=r"min_exploration is 0.34.*less than 0.3333"):
        build("mix", "odm", {"min_exploration": 0.34}).check(facts)


def test_rewards_survive_a_restart(at: At) -> None:
    mixer, copy = begun(at), OdmMixer()
    mixer.observe(step([2, 2.5, 3]), 0)
    copy.load_state_dict(mixer.state_dict())
    for one in (mixer, copy):
        one.observe(step([2, 2, 2]), 1)
    assert np.array_equal(mixer.update(at(500)).proportions, copy.update(at(500)).proportions)
