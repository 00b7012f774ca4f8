"""Scores of rows in a file, bound to the rows by their content."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.arrays import FloatArray
from dataflex.errors import UserError, one_line

_NOTE = b"dataflex"


def row_keys(rows: Any) -> list[str]:
    """Return the key of every row of a dataset: 16 hexadecimal digits of its tokens' SHA-256.

    Rows with the same tokens have the same key. Tokens are read column-wise, as 64-bit integers. Rows that
    know their keys without being read, as those of a packed corpus do, are asked for them.
    """
    if hasattr(rows, "row_keys"):
        return list(rows.row_keys())
    keys: list[str] = []
    for batch in rows.with_format("arrow").select_columns(["input_ids"]).iter(batch_size=10_000):
        tokens = batch["input_ids"].combine_chunks()
        offsets = tokens.offsets.to_numpy() - tokens.offsets[0].as_py()
        values = np.ascontiguousarray(tokens.flatten().to_numpy(), "<i8")
        keys += [
            hashlib.sha256(values[start:stop].tobytes()).hexdigest()[:16] for start, stop in pairwise(offsets)
        ]
    return keys


def write_scores(
    path: Path, scores: FloatArray, keys: list[str], datasets: list[str], about: dict[str, Any]
) -> None:
    """Write a parquet file with the columns row, dataset, sample (the key) and score; null for no score.

    Args:
        path: replaced at once when all is written.
        scores: higher is better; NaN: none; shape ``(N,)``.
        keys: see ``row_keys``.
        datasets: name of each row's dataset.
        about: how the scores were made; JSON types, kept in the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "row": pa.array(np.arange(len(scores))),
            "dataset": pa.array(datasets).dictionary_encode(),
            "sample": pa.array(keys),
            "score": pa.array(scores, mask=np.isnan(scores)),
        }
    ).replace_schema_metadata({_NOTE: json.dumps(about, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, unfinished)
    os.replace(unfinished, path)


def read_scores(path: Path, method: str, keys: list[str] | None = None) -> tuple[FloatArray, dict[str, Any]]:
    """Return the scores of a file, shape ``(N,)``, NaN for none; and how they were made.

    Args:
        path: as ``write_scores`` made it.
        method: the component that reads; the file must hold its scores.
        keys: of the present rows, to be checked against the file's; None checks nothing.

    Raises:
        UserError: no such file, another method's, or other rows than the present ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"scores: no file {path}: make it with dataflex-cli score {method}")
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(_NOTE, b"{}"))
        scores = table["score"].to_numpy().astype(np.float64)
        theirs = table["sample"].to_pylist()
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise UserError(f"scores: {path} can't be read: {one_line(error)}") from None
    if about.get("method") != method:
        raise UserError(f"scores: {path} holds scores of {about.get('method')!r}, not of {method!r}")
    if keys is None:
        return scores, about
    if len(theirs) != len(keys):
        raise UserError(f"scores: {path} scores {len(theirs)} rows, the run has {len(keys)}: score it again")
    other = next((row for row, pair in enumerate(zip(theirs, keys, strict=True)) if pair[0] != pair[1]), None)
    if other is not None:
        raise UserError(
            f"scores: row {other} of {path} is not row {other} of the run: dataset, its order, template, "
            "tokenizer or cutoff_len differ; score it again"
        )
    return scores, about
