"""From text to shards: the whole build, which goes on where an earlier one was killed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex.corpus.packed.card import CARD, SCHEMA, count_dropped, read_card, write_card
from dataflex.corpus.packed.claim import claimed
from dataflex.corpus.packed.durable import read_json, write_json, write_text
from dataflex.corpus.packed.finishing import finish_units
from dataflex.corpus.packed.shards import RECORDS, read_records
from dataflex.corpus.packed.sources import find_sources
from dataflex.corpus.packed.subset import take
from dataflex.corpus.packed.tokenizing import TokenizeUnit
from dataflex.corpus.packed.units import SMALLEST_UNIT, cut_units, unit_size
from dataflex.corpus.packed.vocabulary import TOKENIZER, load_tokenizer
from dataflex.errors import UserError

WHOLE = "whole"
"""Folder of what a subset is taken from, until it is taken."""
_SIZE = "size.json"
"""Beside the records: what units were cut by, where it is not the smallest size."""


def build(
    names: Sequence[str],
    output: Path,
    *,
    tokenizer: str,
    tokens: int | None = None,
    proportions: Mapping[str, str] | None = None,
    held_out: float = 0.001,
    held_out_of: Mapping[str, float] | None = None,
    sample: float = 1.0,
    processes: int | None = None,
    seed: int = 0,
    unit_bytes: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Tokenise a corpus to memory-mapped shards of each domain; run it again to go on after a kill.

    The files depend on sources, tokenizer and options alone: not on the number of processes, nor on how
    often the build was interrupted. Each process holds a batch of about 1 MiB of text with its tokens, or
    one document where that is longer; of parquet files one row group.

    Args:
        names: files, folders of files, or data sets on the hub, in SlimPajama's schema.
        output: a new folder, or that of the same build.
        tokenizer: folder or name of a fast tokenizer.
        tokens: size of a random subset of the train split; None keeps everything.
        proportions: of the subset, by domain; None keeps those of the sources.
        held_out: share of the documents that lies in the held-out split.
        held_out_of: the same of single domains, of which there are few documents.
        sample: share of the documents, by their hash, that is tokenised at all.
        processes: None takes one a processor.
        seed: of split, sample and subset.
        unit_bytes: about as much text is one unit of work; see `cut_units`.
        quiet: no progress bar.

    Returns:
        The card, also written to card.json as the last file.

    Raises:
        UserError: a source, the tokenizer or an option is not as it should be.
    """
    for share in (held_out, *(held_out_of or {}).values()):
        if not 0 <= share < 1:
            raise UserError(f"--held-out {share} must be at least 0 and less than 1")
    if not 0 < sample <= 1:
        raise UserError(f"--sample {sample} must be more than 0 and at most 1")
    sources = find_sources(names)
    content, vocabulary = load_tokenizer(tokenizer)
    options: dict[str, Any] = {
        "schema": SCHEMA,
        "sources": [source.identity() for source in sources],
        "vocabulary": vocabulary.as_dict(),
        "seed": seed,
        "held_out": held_out,
        "sample": sample,
        "unit_bytes": unit_bytes,
        "tokens": tokens,
        "proportions": None if proportions is None else dict(proportions),
        **({"held_out_of": dict(held_out_of)} if held_out_of else {}),
    }
    with claimed(output, options):
        if (output / CARD).is_file():
            shutil.rmtree(output / WHOLE, ignore_errors=True)
            return read_card(output)
        folder = output if tokens is None else output / WHOLE
        write_text(output / TOKENIZER, content)
        if unit_bytes is None:
            unit_bytes = unit_size(sources)
            _hold_to(folder, unit_bytes)
        units = cut_units(sources, unit_bytes)
        job = TokenizeUnit(folder, content, vocabulary, seed, held_out, sample, held_out_of or {})
        records = finish_units(
            folder, {unit.number: (unit, unit.weight) for unit in units}, job, "tokenising", processes, quiet
        )
        if tokens is None:
            return write_card(output, records, vocabulary, options, count_dropped(records))
        card = take(folder, records, output, vocabulary, tokens, proportions, options, processes, quiet)
        shutil.rmtree(folder)
        return card


def _hold_to(folder: Path, unit_bytes: int) -> None:
    """Refuse to go on with units of another size: their numbers stand for other documents.

    Units of the smallest size are cut alike by all versions.

    Raises:
        UserError: the folder has records of units that another version has cut.
    """
    if unit_bytes == SMALLEST_UNIT:
        return
    path = folder / RECORDS / _SIZE
    theirs = read_json(path)["unit_bytes"] if path.is_file() else None
    if theirs == unit_bytes:
        return
    if theirs is not None or read_records(folder):
        raise UserError(
            f"{folder} was begun by another version of dataflex, which cut the sources into other units of "
            "work: remove it and build again, or finish it with that version"
        )
    write_json(path, {"unit_bytes": unit_bytes})
