import itertools

import numpy as np
import pytest

from dataflex.corpus.chains import LEAK, Chain, random_chain, related_chain, stationary, uniform_chain

TWO = Chain(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0.8, 0.2]))


def rng(seed=0):
    return np.random.default_rng(seed)


def entropy(p):
    p = np.asarray(p)
    return float(-(p * np.log(p)).sum())


def test_the_stationary_distribution_by_hand():
    """Of two states it is (b, a) / (a + b) for the probabilities a, b of leaving them."""
    assert stationary(TWO.transition) == pytest.approx([0.8, 0.2], abs=1e-15)


@pytest.mark.parametrize("concentration", [0.01, 0.1, 5.0])
def test_the_stationary_distribution_is_the_limit(concentration):
    chain = random_chain(12, concentration, rng())
    assert chain.transition.sum(axis=1) == pytest.approx(np.ones(12))
    assert chain.transition.min() >= LEAK / 12
    limit = np.linalg.matrix_power(chain.transition, 10_000)
    assert np.allclose(limit, chain.stationary, atol=1e-10)


def test_the_entropy_of_a_document_by_enumeration():
    """Minus the sum of p log p over all documents of a length, for chains in and out of symmetry."""
    for chain in (TWO, random_chain(3, 0.3, rng(1))):
        size = len(chain.stationary)
        for symbols in (1, 2, 5):
            documents = np.array(list(itertools.product(range(size), repeat=symbols)))
            logs = chain.log_likelihood(documents)
            assert np.exp(logs).sum() == pytest.approx(1)
            assert chain.entropy(symbols) * symbols == pytest.approx(-(np.exp(logs) * logs).sum())


def test_entropies_by_hand():
    assert TWO.entropy_rate == pytest.approx(0.8 * entropy([0.9, 0.1]) + 0.2 * entropy([0.4, 0.6]))
    noise = uniform_chain(32)
    assert noise.entropy_rate == pytest.approx(np.log(32))
    assert noise.entropy(62) == pytest.approx(np.log(32))


def test_the_text_has_the_entropy():
    """The chain's own loss on its text converges to the entropy, within four standard errors."""
    chain = random_chain(8, 0.2, rng(2))
    losses = -chain.log_likelihood(chain.draw(4000, 30, rng(3))) / 30
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    assert error < 0.01
    assert abs(losses.mean() - chain.entropy(30)) < 4 * error


def test_the_text_has_the_transitions():
    """So does a bigram model that is counted from it; its entropy is estimated without the chain."""
    chain = random_chain(6, 0.5, rng(4))
    documents = chain.draw(4000, 50, rng(5))
    counts = np.zeros((6, 6))
    np.add.at(counts, (documents[:, :-1], documents[:, 1:]), 1)
    visits = counts.sum(axis=1, keepdims=True)
    estimated = counts / visits
    error = np.sqrt(chain.transition * (1 - chain.transition) / visits)
    assert error.max() < 0.02
    assert (np.abs(estimated - chain.transition) < 5 * error).all()
    starts = np.bincount(documents[:, 0], minlength=6) / len(documents)
    assert np.abs(starts - chain.stationary).max() < 0.03
    shares = counts.sum(axis=1) / counts.sum()
    rate = sum(share * entropy(row[row > 0]) for share, row in zip(shares, estimated, strict=True))
    assert rate == pytest.approx(chain.entropy_rate, abs=0.01)


def test_a_related_chain_keeps_all_rows_but_a_share():
    parent, own = random_chain(16, 0.1, rng(6)), random_chain(16, 0.1, rng(7))
    child = related_chain(parent, own, 0.25, rng(8))
    kept = (child.transition == parent.transition).all(axis=1)
    assert kept.sum() == 12
    assert (child.transition[~kept] == own.transition[~kept]).all()
    assert child.stationary @ child.transition == pytest.approx(child.stationary)


def test_a_draw_is_repeatable_and_never_leaves_the_alphabet():
    chain = random_chain(5, 0.05, rng(9))
    first = chain.draw(300, 20, rng(1))
    assert (first == chain.draw(300, 20, rng(1))).all()
    assert (first != chain.draw(300, 20, rng(2))).any()
    assert first.min() == 0
    assert first.max() == 4
    # Rounding may leave a sum of probabilities short of one: the last symbol takes what is missing.
    short = Chain(np.full((2, 2), 0.4), np.full(2, 0.4))
    assert set(short.draw(50, 10, rng(0)).ravel()) == {0, 1}
