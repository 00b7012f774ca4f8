"""From text to shards: the whole build, which goes on where an earlier one was killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dataflex.corpus.packed import quotas, workers
from dataflex.corpus.packed.card import CARD, SCHEMA, read_card, write_card
from dataflex.corpus.packed.claim import claimed
from dataflex.corpus.packed.durable import write_text
from dataflex.corpus.packed.shards import WORK, Shard, read_records, shards_of
from dataflex.corpus.packed.sources import cut_units, find_sources
from dataflex.corpus.packed.subset import CutUnit, find_cut
from dataflex.corpus.packed.units import TokenizeUnit
from dataflex.corpus.packed.vocabulary import Vocabulary, load_tokenizer
from dataflex.errors import UserError

TOKENIZER = "tokenizer.json"
WHOLE = "whole"
"""Folder of what a subset is taken from, until it is taken."""


def build(
    names: Sequence[str],
    output: Path,
    *,
    tokenizer: str,
    tokens: int | None = None,
    proportions: Mapping[str, str] | None = None,
    held_out: float = 0.001,
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
    if not 0 <= held_out < 1:
        raise UserError(f"--held-out {held_out} must be at least 0 and less than 1")
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
    }
    with claimed(output, options):
        if (output / CARD).is_file():
            shutil.rmtree(output / WHOLE, ignore_errors=True)
            return read_card(output)
        folder = output if tokens is None else output / WHOLE
        write_text(output / TOKENIZER, content)
        units = cut_units(sources, unit_bytes)
        job = TokenizeUnit(folder, content, vocabulary, seed, held_out, sample)
        records = _finish_units(
            folder, {unit.number: (unit, unit.weight) for unit in units}, job, "tokenising", processes, quiet
        )
        if tokens is None:
            return write_card(output, records, vocabulary, options, _dropped(records))
        card = _take(folder, records, output, vocabulary, tokens, proportions, options, processes, quiet)
        shutil.rmtree(folder)
        return card


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
        return _take(whole, records, output, vocabulary, tokens, proportions, options, processes, quiet)


def _take(
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
    shards = list(shards_of(whole, records))
    train: dict[str, list[Shard]] = {}
    for shard in shards:
        if shard.split == "train":
            train.setdefault(shard.domain, []).append(shard)
    available = {name: sum(shard.record["tokens"] for shard in own) for name, own in sorted(train.items())}
    asked = quotas.quotas(tokens, available, proportions)
    cuts = {name: find_cut(train[name], quota) for name, quota in asked.items()}
    units: dict[int, tuple[list[Shard], int]] = {}
    for shard in shards:
        own, weight = units.get(shard.unit, ([], 0))
        units[shard.unit] = [*own, shard], weight + shard.record["bytes"]
    taken = _finish_units(output, units, CutUnit(output, vocabulary, cuts), "taking", processes, quiet)
    return write_card(output, taken, vocabulary, options, _dropped(records))


def _dropped(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {key: sum(record[key] for record in records) for key in ("empty", "not_sampled")}


def _finish_units(
    folder: Path,
    units: Mapping[int, tuple[Any, int]],
    job: Callable[[Any], dict[str, Any]],
    what: str,
    processes: int | None,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Do the units that have no record yet; return the records of all, in their order.

    Args:
        folder: of the corpus.
        units: what the job takes, and its weight in bytes, by number.
        job: writes a unit's shards and returns its record.
        what: shown beside the bar.
        processes: None takes one a processor.
        quiet: no progress bar.
    """
    shutil.rmtree(folder / WORK, ignore_errors=True)
    done = read_records(folder)
    left = {number: item for number, (item, _) in units.items() if number not in done}
    count = min(processes or os.cpu_count() or 1, max(1, len(left)))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=quiet) as progress:
        task = progress.add_task(what, total=sum(weight for _, weight in units.values()))
        progress.advance(task, sum(units[number][1] for number in done))
        for number, record in workers.run(job, left, count) if left else ():
            done[number] = record
            progress.advance(task, units[number][1])
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return [done[number] for number in sorted(units)]
