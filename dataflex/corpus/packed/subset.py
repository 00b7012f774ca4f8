"""A random subset of a built corpus as a corpus of its own, of an exact number of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex.corpus.packed.card import CARD, SCHEMA, count_dropped, read_card, write_card
from dataflex.corpus.packed.claim import claimed
from dataflex.corpus.packed.cut import CutUnit, find_cut
from dataflex.corpus.packed.durable import write_text
from dataflex.corpus.packed.finishing import finish_units
from dataflex.corpus.packed.quotas import quotas
from dataflex.corpus.packed.shards import Shard, read_records, shards_of
from dataflex.corpus.packed.vocabulary import TOKENIZER, Vocabulary


def subset(
    whole: Path,
    output: Path,
    *,
    tokens: int,
    proportions: Mapping[str, str] | None = None,
    processes: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Take a random subset of an exact number of tokens out of a built corpus, into a folder of its own.

    Args:
        whole: a built corpus; its held-out documents are kept as they are.
        output: a new folder, or that of the same subset.
        tokens: of the train split.
        proportions: by domain; None keeps those of `whole`.
        processes: None takes one a processor.
        quiet: no progress bar.

    Returns:
        The card of the subset.

    Raises:
        UserError: there is no such corpus, or it has too few tokens.
    """
    card = read_card(whole)
    options = {
        "schema": SCHEMA,
        "whole": card["options"],
        "tokens": tokens,
        "proportions": None if proportions is None else dict(proportions),
    }
    vocabulary = Vocabulary.from_dict(card["vocabulary"])
    with claimed(output, options):
        if (output / CARD).is_file():
            return read_card(output)
        write_text(output / TOKENIZER, (whole / TOKENIZER).read_text(encoding="utf-8"))
        records = [record for _, record in sorted(read_records(whole).items())]
        return take(whole, records, output, vocabulary, tokens, proportions, options, processes, quiet)


def take(
    whole: Path,
    records: Sequence[dict[str, Any]],
    output: Path,
    vocabulary: Vocabulary,
    tokens: int,
    proportions: Mapping[str, str] | None,
    options: Mapping[str, Any],
    processes: int | None,
    quiet: bool,
) -> dict[str, Any]:
    """Copy the subset out of a corpus that is whole, and write its card.

    Args:
        whole: folder of the corpus.
        records: of its units, in their order.
        output: folder of the subset, claimed by the caller.
        vocabulary: of the tokens.
        tokens: see `subset`.
        proportions: see `subset`.
        options: what the subset was made with; JSON types.
        processes: see `subset`.
        quiet: no progress bar.

    Raises:
        UserError: a domain has too few tokens.
    """
    shards = list(shards_of(whole, records))
    train: dict[str, list[Shard]] = {}
    for shard in shards:
        if shard.split == "train":
            train.setdefault(shard.domain, []).append(shard)
    available = {name: sum(shard.record["tokens"] for shard in own) for name, own in sorted(train.items())}
    asked = quotas(tokens, available, proportions)
    cuts = {name: find_cut(train[name], quota) for name, quota in asked.items()}
    units: dict[int, tuple[list[Shard], int]] = {}
    for shard in shards:
        own, weight = units.get(shard.unit, ([], 0))
        units[shard.unit] = [*own, shard], weight + shard.record["bytes"]
    taken = finish_units(output, units, CutUnit(output, vocabulary, cuts), "taking", processes, quiet)
    return write_card(output, taken, vocabulary, options, count_dropped(records))
