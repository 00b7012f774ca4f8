"""Random subsets: an exact number of tokens, in the asked proportions, of whole documents but one a domain."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.quotas import SLIMPAJAMA, quotas, read_budget, read_proportions
from dataflex.corpus.packed.rows import TokenStream
from dataflex.corpus.packed.subset import subset
from dataflex.errors import UserError

from .packing import bytes_below, documents, texts, tokens_of, write

PARTS = {"unit_bytes": 20_000, "quiet": True, "processes": 2}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    every = texts(900)
    # Equal documents, of which a cut may go through the middle.
    every[100:700:7] = [every[100]] * len(every[100:700:7])
    return write(tmp_path_factory.mktemp("text") / "a.jsonl", every)


@pytest.fixture(scope="module")
def whole(text: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "corpus"
    build([str(text)], output, tokenizer=str(tiny / "model"), held_out=0.1, **PARTS)
    return output


def entries(folder: Path, domain: str) -> list[tuple[int, int, tuple[int, ...]]]:
    """(order, place, tokens) of every document."""
    stream = TokenStream(folder, domain)
    orders = np.concatenate([shard.documents()["order"] for shard in stream._shards]).tolist()
    return [
        (order, place, tuple(ids))
        for place, (order, ids) in enumerate(zip(orders, documents(folder, domain), strict=True))
    ]


@pytest.mark.parametrize("tokens", [40, 3_001, 20_000])
def test_a_subset_is_the_head_of_the_random_order(whole, tmp_path, tokens):
    """Against sorting all documents of a domain."""
    subset(whole, tmp_path / "part", tokens=tokens, quiet=True, processes=2)
    counts = tokens_of(tmp_path / "part")
    assert sum(counts.values()) == tokens
    natural = tokens_of(whole)
    for domain, count in counts.items():
        assert abs(count - tokens * natural[domain] / sum(natural.values())) < 1
        expected, left = [], count
        for _, place, ids in sorted(entries(whole, domain)):
            if left:
                took = min(left, len(ids) + 1)
                expected.append((place, ids[: took - 1]))
                left -= took
        assert documents(tmp_path / "part", domain) == [list(ids) for _, ids in sorted(expected)]
    assert tokens_of(tmp_path / "part", "held_out") == tokens_of(whole, "held_out")


def test_everything_is_a_subset_too(whole, tmp_path):
    every = sum(tokens_of(whole).values())
    subset(whole, tmp_path / "part", tokens=every, quiet=True, processes=1)
    for domain in tokens_of(whole):
        assert documents(tmp_path / "part", domain) == documents(whole, domain)
    with pytest.raises(UserError, match=f"at most {every} fit"):
        subset(whole, tmp_path / "more", tokens=every + 1, quiet=True, processes=1)


def test_small_subsets_lie_inside_large_ones(whole, tmp_path):
    for tokens in (2_000, 10_000):
        subset(whole, tmp_path / str(tokens), tokens=tokens, quiet=True, processes=1)
    for domain in tokens_of(whole):
        small, large = (
            {order for order, _, _ in entries(tmp_path / str(n), domain)} for n in (2_000, 10_000)
        )
        assert small < large


def test_a_build_with_a_budget_is_a_build_and_its_subset(text, whole, tiny, tmp_path):
    build([str(text)], tmp_path / "one", tokenizer=str(tiny / "model"), held_out=0.1, **PARTS, tokens=4_000)
    subset(whole, tmp_path / "two", tokens=4_000, quiet=True, processes=1)
    one, two = (bytes_below(tmp_path / name) for name in ("one", "two"))
    different = {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}
    assert different == {"build.json", "card.json"}


def test_proportions_by_name(whole, tmp_path):
    shares = {"RedPajamaC4": "1", "RedPajamaBook": "0.25"}
    subset(whole, tmp_path / "part", tokens=1_001, proportions=shares, quiet=True, processes=1)
    assert tokens_of(tmp_path / "part") == {"RedPajamaC4": 801, "RedPajamaBook": 200}
    assert set(tokens_of(tmp_path / "part", "held_out")) <= set(shares)
    with pytest.raises(UserError, match="names 'RedPajamaArXiv', which the corpus lacks"):
        subset(whole, tmp_path / "x", tokens=9, proportions=SLIMPAJAMA, quiet=True, processes=1)


def test_another_corpus_or_budget_is_refused(whole, tmp_path):
    subset(whole, tmp_path / "part", tokens=100, quiet=True, processes=1)
    before = bytes_below(tmp_path / "part")
    subset(whole, tmp_path / "part", tokens=100, quiet=True, processes=1)
    assert bytes_below(tmp_path / "part") == before
    with pytest.raises(UserError, match="begun with tokens 100, not 101"):
        subset(whole, tmp_path / "part", tokens=101, quiet=True, processes=1)
    with pytest.raises(UserError, match="not a built corpus"):
        subset(tmp_path, tmp_path / "x", tokens=1, quiet=True, processes=1)


@given(
    st.lists(st.integers(0, 10**13), min_size=1, max_size=8).filter(any),
    st.integers(1, 10**12),
    st.booleans(),
    st.data(),
)
def test_quotas_are_exact(available, budget, natural, data):
    names = [f"d{number}" for number in range(len(available))]
    tokens = dict(zip(names, available, strict=True))
    shares = None
    if not natural:
        numbers = st.decimals(min_value="0.001", max_value=100, places=3)
        shares = {name: str(data.draw(numbers)) for name in names}
    weights = {name: Fraction(tokens[name] if shares is None else shares[name]) for name in names}
    exact = {name: budget * weight / sum(weights.values()) for name, weight in weights.items()}
    try:
        counts = quotas(budget, tokens, shares)
    except UserError:
        assert any(exact[name] + 1 > tokens[name] for name in names)
        return
    assert sum(counts.values()) == budget
    for name in names:
        assert abs(counts.get(name, 0) - exact[name]) < 1
        assert counts.get(name, 0) <= tokens[name]


def test_published_shares():
    assert sum(map(Fraction, SLIMPAJAMA.values())) == 100
    published = {name.removeprefix("RedPajama"): share for name, share in SLIMPAJAMA.items()}
    assert published["CommonCrawl"] == "54.1"
    assert published["StackExchange"] == "2.8"
    natural = dict.fromkeys(SLIMPAJAMA, 10**12)
    assert quotas(6 * 10**9, natural, SLIMPAJAMA)["RedPajamaC4"] == 1_722_000_000


@pytest.mark.parametrize(
    ("text", "tokens"), [("6B", 6 * 10**9), ("1.5m", 1_500_000), ("200000", 200_000), ("2_000K", 2_000_000)]
)
def test_budgets(text, tokens):
    assert read_budget(text) == tokens


@pytest.mark.parametrize("text", ["", "B", "0", "-1", "1.5", "6 billion", "0.0001K"])
def test_no_budgets(text):
    with pytest.raises(UserError, match="--tokens"):
        read_budget(text)


def test_reading_proportions():
    assert read_proportions("natural") is None
    assert read_proportions("slimpajama") == SLIMPAJAMA
    assert read_proportions("a=0.5, b=2") == {"a": "0.5", "b": "2"}
    for wrong in ("a", "a=", "=1", "a=0", "a=-1", "a=x", "a=1,a=2", "a=1/0"):
        with pytest.raises(UserError, match="--proportions"):
            read_proportions(wrong)
