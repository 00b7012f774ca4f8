"""Documents of local files in SlimPajama's schema, streamed: never more than a block of a file in memory."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataflex.corpus.schema import SET_NAME, document_of, parse_line
from dataflex.errors import UserError, one_line

COMPRESSIONS = {".jsonl.gz": "gzip", ".json.gz": "gzip", ".jsonl.zst": "zstd", ".json.zst": "zstd"}
LINES = (".jsonl", ".json")
PARQUET = ".parquet"
SUFFIXES = (*LINES, *COMPRESSIONS, PARQUET)

_BLOCK = 2**20
_PARQUET_ROWS = 64

Documents = Iterator[tuple[str, str]]
"""(domain, text) of one document after the other."""


def compression_of(path: Path) -> str | None:
    """Name of a JSON-lines file's compression, by its suffix."""
    return next((codec for suffix, codec in COMPRESSIONS.items() if path.name.endswith(suffix)), None)


def read_lines(path: Path, start: int, stop: int) -> Documents:
    """Documents of the lines of a plain file that begin at a byte in ``range(start, stop)``.

    Raises:
        UserError: a line is not of the schema, or the file can't be read; names file and line.
    """
    try:
        with path.open("rb") as file:
            if start:
                file.seek(start - 1)
                file.readline()
            position = first = file.tell()
            for number in itertools.count():
                line = file.readline() if position < stop else b""
                if not line:
                    return
                position += len(line)
                if line.isspace():
                    continue
                try:
                    yield parse_line(line, "")
                except UserError as error:
                    place = _newlines(path, first) + number + 1
                    raise UserError(f"{path}:{place}{error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _newlines(path: Path, before: int) -> int:
    count = 0
    with path.open("rb") as file:
        while before > 0 and (block := file.read(min(_BLOCK, before))):
            count += block.count(b"\n")
            before -= len(block)
    return count


def read_compressed(path: Path, codec: str) -> Documents:
    """Documents of a compressed file of JSON lines; of several frames or members too.

    Raises:
        UserError: a line is not of the schema, or the file is damaged or cut off.
    """
    import pyarrow as pa

    number = 0
    try:
        with pa.input_stream(str(path), compression=codec) as stream:
            for number, line in enumerate(io.BufferedReader(stream, _BLOCK), start=1):
                if not line.isspace():
                    yield parse_line(line, f"{path}:{number}")
    except OSError as error:
        raise UserError(
            f"{path}, after line {number}: {one_line(error)}; the file is damaged or cut off: get it again"
        ) from None


def read_parquet(path: Path, groups: range) -> Documents:
    """Documents of some row groups of a parquet file.

    Raises:
        UserError: a row is not of the schema, or the file is damaged.
    """
    import pyarrow as pa

    file = open_parquet(path)
    missing = sorted({"text", "meta"} - set(file.schema_arrow.names))
    if missing:
        raise UserError(
            f'{path}: no column "{missing[0]}"; expected "text", and "meta" with the field "{SET_NAME}"'
        )
    row = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    try:
        for batch in file.iter_batches(
            _PARQUET_ROWS, row_groups=list(groups), columns=["text", "meta"], use_threads=False
        ):
            for text, meta in zip(
                *(batch.column(name).to_pylist() for name in ("text", "meta")), strict=True
            ):
                row += 1
                yield document_of({"text": text, "meta": meta}, f"{path}, row {row}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}, after row {row}: {one_line(error)}; the file is damaged: get it again"
        ) from None


def open_parquet(path: Path) -> Any:
    """Open a parquet file, reading its footer alone.

    Raises:
        UserError: it is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} can't be read as parquet: {one_line(error)}; get it again") from None
