"""A corpus of which the truth is known: every domain is a Markov chain, so that its entropy is a number.

A document is the domain's tag, a capital letter, and then symbols of one alphabet that all domains share:

    Sq3kq3m1a...

The tag comes first and is never predicted: a model can tell the domain from the first symbol on, and what the
best model pays is the chain's entropy. With its end of text a document is one row of 64 tokens.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.arrays import IntArray
from dataflex.corpus.chains import Chain, random_chain, related_chain, uniform_chain
from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.layout import CARD, read_card, require_new
from dataflex.errors import UserError

SCHEMA = 1
MADE_BY = "markov"
CHAINS = "chains.json"
ALPHABET = string.ascii_lowercase + "012345"
SYMBOLS = 62
"""Of a document, after its tag."""
HELD_OUT = 160
"""Documents of each domain's test split."""
SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Domain:
    """One chain, and how much text there is of it."""

    name: str
    documents: int
    """In the train split."""
    concentration: float | None
    """See ``random_chain``; None: uniform."""
    why: str
    parent: str | None = None
    """The domain whose rows it has, except for a share of its own."""
    own: float = 1.0
    """That share."""

    @property
    def tag(self) -> str:
        """The first symbol of its documents."""
        return self.name[0].upper()


DOMAINS = (
    Domain("noise", 1600, None, "nothing can be learned: every symbol is as likely as any other"),
    Domain("easy", 80, 0.01, "little text of low entropy, learned within a few steps"),
    Domain("middle", 800, 0.12, "an ordinary domain, which takes most of a run to learn"),
    Domain("source", 800, 0.08, "as ordinary, and what is learned here serves for kin"),
    Domain("kin", 8, 0.08, "too little text to learn it from; most rows are the source's", "source", 0.125),
)
TARGET = tuple(domain.name for domain in DOMAINS if domain.concentration is not None)
"""Domains that a model can be better or worse at."""
TAGS = "".join(domain.tag for domain in DOMAINS)

Documents = Mapping[str, Mapping[str, IntArray]]
"""By domain and split: numbers of symbols, shape ``(documents, SYMBOLS)``."""


def make_chains(seed: int) -> dict[str, Chain]:
    """Draw the chain of every domain."""
    size = len(ALPHABET)
    chains: dict[str, Chain] = {}
    for number, domain in enumerate(DOMAINS):
        rng = np.random.default_rng([seed, number])
        if domain.concentration is None:
            chains[domain.name] = uniform_chain(size)
            continue
        chain = random_chain(size, domain.concentration, rng)
        if domain.parent is not None:
            chain = related_chain(chains[domain.parent], chain, domain.own, rng)
        chains[domain.name] = chain
    return chains


def draw_documents(seed: int, chains: Mapping[str, Chain]) -> Documents:
    """Draw the text of every domain from its chain."""
    drawn = {}
    for number, domain in enumerate(DOMAINS):
        rng = np.random.default_rng([seed, number, 1])
        counts = zip(SPLITS, (domain.documents, HELD_OUT), strict=True)
        drawn[domain.name] = {split: chains[domain.name].draw(count, SYMBOLS, rng) for split, count in counts}
    return drawn


def make_markov(output: Path, *, seed: int) -> dict[str, Any]:
    """Make the folder of a corpus: train and test split of each domain, chains.json, dataset_info.json.

    Args:
        output: a folder that is absent or empty.
        seed: of the chains and of the text.

    Returns:
        The card, also written to card.json as the last file. Entropies are in nats a symbol.

    Raises:
        UserError: the folder is in use.
    """
    require_new(output)
    chains = make_chains(seed)
    drawn = draw_documents(seed, chains)
    entries: dict[str, dict[str, Any]] = {}
    for domain in DOMAINS:
        chain = chains[domain.name]
        entries[domain.name] = {
            **asdict(domain),
            "tag": domain.tag,
            "entropy_rate": chain.entropy_rate,
            "entropy": chain.entropy(SYMBOLS),
            **{split: _write(output, split, domain, rows) for split, rows in drawn[domain.name].items()},
        }
    write_json(
        output / "dataset_info.json",
        {name: {"file_name": f"train/{name}.jsonl", "columns": {"prompt": "text"}} for name in entries},
    )
    tables = {
        name: {"stationary": chain.stationary.tolist(), "transition": chain.transition.tolist()}
        for name, chain in chains.items()
    }
    write_json(output / CHAINS, {"schema": SCHEMA, "alphabet": ALPHABET, "chains": tables})
    card = {
        "schema": SCHEMA,
        "made_by": MADE_BY,
        "seed": seed,
        "alphabet": ALPHABET,
        "symbols": SYMBOLS,
        # A row's first token is not predicted, its end of text is.
        "row_tokens": SYMBOLS + 1,
        "target": list(TARGET),
        "domains": entries,
        "family": _family(),
    }
    write_json(output / CARD, card)
    return card


def _write(output: Path, split: str, domain: Domain, documents: IntArray) -> dict[str, Any]:
    letters = np.array(list(ALPHABET))[documents]
    rows = ({"text": domain.tag + "".join(row)} for row in letters)
    digest = write_jsonl(output / split / f"{domain.name}.jsonl", rows)
    return {"documents": len(documents), "sha256": digest}


def _family() -> str:
    """Digest that all seeds share: says that chains and text were drawn in the same way."""
    digest = hashlib.sha256(json.dumps([asdict(domain) for domain in DOMAINS]).encode())
    for splits in draw_documents(0, make_chains(0)).values():
        for documents in splits.values():
            digest.update(documents.astype("<i8").tobytes())
    return digest.hexdigest()


def read_chains(corpus: Path) -> dict[str, Chain]:
    """The chain of every domain of a corpus.

    Raises:
        UserError: the folder holds no corpus of Markov chains.
    """
    if read_card(corpus).get("made_by") != MADE_BY:
        raise UserError(f"{corpus} is no corpus of Markov chains; make one with: dataflex-cli corpus markov")
    tables = json.loads((corpus / CHAINS).read_text(encoding="utf-8"))["chains"]
    return {
        name: Chain(np.array(table["transition"]), np.array(table["stationary"]))
        for name, table in tables.items()
    }


def as_numbers(texts: list[str]) -> IntArray:
    """The documents of some texts as ``Chain`` takes them, without their tags.

    Raises:
        UserError: a text holds a symbol beside the alphabet, or they differ in length.
    """
    number = {letter: index for index, letter in enumerate(ALPHABET)}
    try:
        return np.array([[number[letter] for letter in text[1:]] for text in texts], np.int64)
    except (KeyError, ValueError):
        raise UserError("a document was not written by a chain: make the corpus again") from None
