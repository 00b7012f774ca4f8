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
"""About so many at the most."""
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


def cut_units(sources: Sequence[Source], unit_bytes: int | None = None) -> list[Unit]:
    """Cut sources into units.

    Args:
        sources: in the order of the corpus.
        unit_bytes: about as much text a unit; None takes 16 MiB, or a 2,048th of all where that is more, so
            that the largest corpus still is few enough files.
    """
    if unit_bytes is None:
        local = sum(Path(source.name).stat().st_size for source in sources if source.kind != "hub")
        unit_bytes = max(SMALLEST_UNIT, local // UNITS)
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
