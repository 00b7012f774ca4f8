"""Units of work, which depend on nothing but the sources that they are cut from.

A unit is a run of consecutive pieces: slices of plain JSON-lines files, whole compressed ones, row groups of
parquet files, or shards of a data set on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex.corpus.packed import hub, reading
from dataflex.corpus.packed.sources import Source

SMALLEST_UNIT = 16 * 2**20
UNITS = 2048
"""About so many at the most; up to twice as many where files that are read whole don't fill them."""
_EXPANSION = 3
"""Text of a compressed file, by its bytes; only the size of units depends on it."""


@dataclass(frozen=True)
class Piece:
    """A part of a source that can be read by itself."""

    source: Source
    start: int
    stop: int
    """Bytes of plain lines, row groups, shards on the hub; compressed files are read whole."""
    weight: int
    """About as many bytes of text."""

    def documents(self) -> reading.Documents:
        """Read the documents, one after the other."""
        if self.source.kind == "hub":
            return hub.read_shard(self.source.name, self.source.revision, self.start)
        path = Path(self.source.name)
        if self.source.kind == "lines":
            return reading.read_lines(path, self.start, self.stop)
        if self.source.kind == "parquet":
            return reading.read_parquet(path, range(self.start, self.stop))
        codec = reading.compression_of(path)
        assert codec is not None
        return reading.read_compressed(path, codec)


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time, and what a kill can lose."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def weight(self) -> int:
        """About as many bytes of text."""
        return sum(piece.weight for piece in self.pieces)

    def documents(self) -> reading.Documents:
        """Read the documents of all pieces."""
        for piece in self.pieces:
            yield from piece.documents()


def _pieces(source: Source, unit_bytes: int) -> Iterator[Piece]:
    if source.kind == "hub":
        for shard in range(hub.shards(source.name, source.revision)):
            yield Piece(source, shard, shard + 1, unit_bytes)
        return
    path = Path(source.name)
    size = path.stat().st_size
    if source.kind == "lines":
        for start in range(0, size, unit_bytes):
            stop = min(start + unit_bytes, size)
            yield Piece(source, start, stop, stop - start)
    elif source.kind == "compressed":
        yield Piece(source, 0, size, _EXPANSION * size)
    else:
        metadata = reading.open_parquet(path).metadata
        for group in range(metadata.num_row_groups):
            yield Piece(source, group, group + 1, metadata.row_group(group).total_byte_size)


def _text_bytes(source: Source) -> int:
    """About as many bytes of text as the pieces of a source weigh together; 0 for one on the hub."""
    if source.kind == "hub":
        return 0
    path = Path(source.name)
    if source.kind == "parquet":
        metadata = reading.open_parquet(path).metadata
        return sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return path.stat().st_size * (_EXPANSION if source.kind == "compressed" else 1)


def unit_size(sources: Sequence[Source]) -> int:
    """About as much text as is one unit by default: 16 MiB, or a 2,048th of all where that is more.

    So the largest corpus still is few enough files. Each shard of a data set on the hub is a unit of its own.
    """
    return max(SMALLEST_UNIT, sum(_text_bytes(source) for source in sources) // UNITS)


def cut_units(sources: Sequence[Source], unit_bytes: int | None = None) -> list[Unit]:
    """Cut sources into units.

    Args:
        sources: in the order of the corpus.
        unit_bytes: about as much text a unit; None takes `unit_size`.
    """
    if unit_bytes is None:
        unit_bytes = unit_size(sources)
    units: list[Unit] = []
    pieces: list[Piece] = []
    for source in sources:
        for piece in _pieces(source, unit_bytes):
            if pieces and sum(one.weight for one in pieces) + piece.weight > unit_bytes:
                units.append(Unit(len(units), tuple(pieces)))
                pieces = []
            pieces.append(piece)
    if pieces:
        units.append(Unit(len(units), tuple(pieces)))
    return units
