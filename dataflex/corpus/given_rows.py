"""Rows of a data set as it is published: JSON, JSON lines (also compressed) and Parquet files of a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataflex.errors import UserError, one_line

LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
SUFFIXES = (*LINES, ".json", ".parquet")
ABOUT = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")
"""Files that tell of a data set and hold no row of it."""


def files_of(folder: Path) -> list[Path]:
    """The data files below a folder, sorted by path; links count as files.

    Raises:
        UserError: there is none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(SUFFIXES) and path.name not in ABOUT and ".cache" not in path.parts
    )
    if not found:
        raise UserError(f"{folder} holds no file that ends in {', '.join(SUFFIXES)}")
    return found


def rows_of(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows of a file, each with its place for messages.

    Raises:
        UserError: the file can't be read, or holds something else than objects.
    """
    import pyarrow as pa

    try:
        if path.name.endswith(".parquet"):
            found: Iterator[Any] = _parquet(path)
        elif path.name.endswith(LINES):
            found = _lines(path)
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, list):
                raise UserError(f"{path}: not a list of objects")
            found = iter(content)
        for number, row in enumerate(found, start=1):
            if not isinstance(row, dict):
                raise UserError(f"{path}, row {number}: not an object")
            yield row, f"{path}, row {number}"
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} can't be read: {one_line(error)}; get it again") from None


def _lines(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.input_stream(str(path), compression=codec) as stream:
        for line in io.BufferedReader(stream, 2**20):
            if not line.isspace():
                yield json.loads(line)


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(1024):
        yield from batch.to_pylist()
