"""The files of a built corpus, and how one unit's are written.

<split>/<domain>/<unit>.tokens      tokens of its documents, end token behind each; little-endian
<split>/<domain>/<unit>.documents   one entry a document: DOCUMENT
units/<unit>.json                   the unit's record, written last: without it the files count for nothing
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from dataflex.corpus.packed.durable import read_json, sync_folder, write_json
from dataflex.corpus.packed.vocabulary import TokenArray, Vocabulary

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)
HELD_OUT: Split = "held_out"
"""A split, and its name in a run's ``eval_dataset``."""

DOCUMENT = np.dtype([("order", "<u8"), ("end", "<u8"), ("bytes", "<u8")])
"""A document's place in the random order, the end of its tokens in the shard, and the bytes of its text."""

RECORDS = "units"
WORK = ".work"


def file_of(folder: Path, split: str, domain: str, unit: int, kind: str) -> Path:
    """Path of a unit's tokens or documents."""
    return folder / split / domain / f"{unit:06d}.{kind}"


def record_of(folder: Path, unit: int) -> Path:
    """Path of a unit's record."""
    return folder / RECORDS / f"{unit:06d}.json"


class _HashedFile:
    """A file being written, with its digest."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._file, self._digest = path, path.open("wb"), hashlib.sha256()

    def write(self, data: npt.NDArray[Any]) -> None:
        content = data.tobytes()
        self._file.write(content)
        self._digest.update(content)

    def finish(self) -> str:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


class _ShardWriter:
    """One domain and split of a unit, being written."""

    def __init__(self, folder: Path, split: str, domain: str, unit: int) -> None:
        self.tokens_file, self.documents_file = (
            _HashedFile(file_of(folder, split, domain, unit, kind)) for kind in ("tokens", "documents")
        )
        self.documents = self.tokens = self.bytes = 0
        self.special: dict[int, int] = {}

    def add(
        self, tokens: Sequence[TokenArray], order: Sequence[int], sizes: Sequence[int], special: Sequence[int]
    ) -> None:
        entries = np.empty(len(tokens), DOCUMENT)
        entries["order"], entries["bytes"] = order, sizes
        entries["end"] = self.tokens + np.cumsum([len(one) for one in tokens])
        joined = np.concatenate(tokens)
        self.tokens_file.write(joined)
        self.documents_file.write(entries)
        found, counts = np.unique(joined[np.isin(joined, special)], return_counts=True)
        for token, count in zip(found.tolist(), counts.tolist(), strict=True):
            self.special[token] = self.special.get(token, 0) + count
        self.documents += len(tokens)
        self.tokens += len(joined)
        self.bytes += sum(sizes)

    def finish(self) -> dict[str, Any]:
        digests = {"tokens": self.tokens_file.finish(), "documents": self.documents_file.finish()}
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "special": {str(token): count for token, count in sorted(self.special.items())},
            "sha256": digests,
        }


class UnitWriter:
    """Writes one unit's shards, at first aside.

    Args:
        folder: of the corpus.
        unit: number of the unit.
        vocabulary: of the tokens.
    """

    def __init__(self, folder: Path, unit: int, vocabulary: Vocabulary) -> None:
        self._folder, self._unit, self._special = folder, unit, list(vocabulary.special)
        self._aside = folder / WORK / f"{unit:06d}-{os.getpid()}"
        self._shards: dict[tuple[str, str], _ShardWriter] = {}

    def add(
        self,
        split: str,
        domain: str,
        tokens: Sequence[TokenArray],
        order: Sequence[int],
        sizes: Sequence[int],
    ) -> None:
        """Append documents: their tokens, places in the random order and bytes."""
        if not tokens:
            return
        shard = self._shards.get((split, domain))
        if shard is None:
            shard = self._shards[split, domain] = _ShardWriter(self._aside, split, domain, self._unit)
        shard.add(tokens, order, sizes, self._special)

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Move the files into place, then write the record.

        Args:
            about: more of the unit; JSON types.
        """
        entries: dict[str, dict[str, Any]] = {}
        for (split, domain), shard in sorted(self._shards.items()):
            entries.setdefault(split, {})[domain] = shard.finish()
            target = file_of(self._folder, split, domain, self._unit, "tokens").parent
            target.mkdir(parents=True, exist_ok=True)
            for file in (shard.tokens_file, shard.documents_file):
                os.replace(file.path, target / file.path.name)
            sync_folder(target)
        record = {"unit": self._unit, "shards": entries} | about
        write_json(record_of(self._folder, self._unit), record)
        return record


@dataclass(frozen=True)
class Shard:
    """A finished shard of a domain and split."""

    folder: Path
    split: str
    domain: str
    unit: int
    record: dict[str, Any]

    def documents(self) -> npt.NDArray[Any]:
        """The documents' entries, memory-mapped."""
        return np.memmap(
            file_of(self.folder, self.split, self.domain, self.unit, "documents"), DOCUMENT, mode="r"
        )

    def tokens(self, dtype: str) -> npt.NDArray[Any]:
        """The tokens, memory-mapped."""
        return np.memmap(file_of(self.folder, self.split, self.domain, self.unit, "tokens"), dtype, mode="r")


def shards_of(folder: Path, records: Sequence[dict[str, Any]]) -> Iterator[Shard]:
    """All shards of some units, in the order of the units."""
    for record in records:
        for split, domains in record["shards"].items():
            for domain, entry in domains.items():
                yield Shard(folder, split, domain, record["unit"], entry)


def read_records(folder: Path) -> dict[int, dict[str, Any]]:
    """The records of the units that are finished, by number."""
    records = (read_json(path) for path in sorted((folder / RECORDS).glob("[0-9]*.json")))
    return {record["unit"]: record for record in records}
