"""A built corpus as rows of equal length: memory-mapped, packed on reading, never held.

A domain's documents lie one behind the other, each with its end token; row ``i`` of length ``n`` is tokens
``i n .. (i + 1) n`` of that, and what is left behind the last whole row is not used. So one build serves
rows of any length.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.arrays import IntArray
from dataflex.corpus.packed.card import INDEX, read_card
from dataflex.corpus.packed.durable import read_json
from dataflex.corpus.packed.shards import Shard, Split, file_of, record_of
from dataflex.corpus.packed.vocabulary import Vocabulary
from dataflex.errors import UserError

_BLOCK = 2**22
_MOST_OPEN = 32
"""Files that are kept open of a domain and split. There are thousands, rows come from anywhere, and a process
may often have no more than 1,024, which several domains in two splits are to fit into."""


def domains_of(folder: Path, split: Split = "train") -> list[str]:
    """Names of the domains of a built corpus.

    Raises:
        UserError: the folder is none.
    """
    return list(read_card(folder)["statistics"][split])


def index_file(folder: Path, domain: str, split: Split = "train") -> Path:
    """The index of a domain: it names the digest of every shard."""
    return folder / split / domain / INDEX


class TokenStream:
    """All tokens of one domain and split, as if they were one array.

    Args:
        folder: of a built corpus.
        domain: its name.
        split: train or held_out.

    Raises:
        UserError: a shard is missing or has another size than the index says.
    """

    def __init__(self, folder: Path, domain: str, split: Split = "train") -> None:
        content = index_file(folder, domain, split).read_bytes()
        index = json.loads(content)
        self.folder, self.domain, self.split = folder, domain, split
        self.vocabulary = Vocabulary.from_dict(index["vocabulary"])
        self.documents: int = index["documents"]
        self.special = {int(token): int(count) for token, count in index["special"].items()}
        self.sha256 = hashlib.sha256(content).hexdigest()
        """Digest of the index, which holds those of the shards."""
        self._shards = [Shard(folder, split, domain, entry["unit"], entry) for entry in index["shards"]]
        self._ends = np.cumsum([0] + [entry["tokens"] for entry in index["shards"]])
        self._open: dict[int, npt.NDArray[Any]] = {}
        width = np.dtype(self.vocabulary.dtype).itemsize
        for shard in self._shards:
            path = file_of(folder, split, domain, shard.unit, "tokens")
            # One question a shard: there are thousands, often on a file system where each takes a while.
            try:
                size = path.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                size = None
            if size != width * shard.record["tokens"]:
                found = (
                    "is missing"
                    if size is None
                    else f"has {size} bytes, not {width * shard.record['tokens']}"
                )
                raise UserError(f"{path} {found}: the corpus is damaged; build it again")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        # A process that receives this maps the files itself instead of being sent their content.
        return self.__dict__ | {"_open": {}}

    def _mapped(self, shard: int) -> npt.NDArray[Any]:
        """The tokens of a shard; the one that was asked for longest ago is closed where too many are open."""
        tokens = self._open.pop(shard, None)
        if tokens is None:
            tokens = self._shards[shard].tokens(self.vocabulary.dtype)
            if len(self._open) >= _MOST_OPEN:
                del self._open[next(iter(self._open))]
        self._open[shard] = tokens
        return tokens

    def tokens(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Tokens ``start .. stop``; a view where they lie in one shard."""
        first = int(np.searchsorted(self._ends, start, side="right")) - 1
        parts = []
        for shard in range(first, len(self._shards)):
            begin, end = int(self._ends[shard]), int(self._ends[shard + 1])
            if begin >= stop:
                break
            parts.append(self._mapped(shard)[max(start, begin) - begin : min(stop, end) - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def occurs(self, token: int) -> bool:
        """Whether a token occurs, as far as that was counted; True where nobody has."""
        if token in self.vocabulary.special:
            return self.special.get(token, 0) > 0
        return token < self.vocabulary.size

    def places(self, token: int) -> Iterator[IntArray]:
        """Yield where a token occurs, reading as little as possible.

        Nothing is read for a special token that does not occur. The end token is where documents end, and
        shards whose documents hold further ones are the only ones that are searched for it; any other token
        is searched for where it occurs, or everywhere if its occurrences were not counted.
        """
        if not self.occurs(token):
            return
        counted, is_end = token in self.vocabulary.special, token == self.vocabulary.end
        ends_alone = counted and is_end and self.special[token] == self.documents
        for number, shard in enumerate(self._shards):
            begin, documents = int(self._ends[number]), shard.record["documents"]
            # Records are many small files: none is opened where the index tells enough.
            count = documents if ends_alone else self._count(shard, token) if counted else None
            if is_end and count == documents:
                yield shard.documents()["end"].astype(np.int64) + (begin - 1)
            elif count != 0:
                tokens = self._mapped(number)
                for start in range(0, len(tokens), _BLOCK):
                    yield begin + start + np.flatnonzero(tokens[start : start + _BLOCK] == token)

    def _count(self, shard: Shard, token: int) -> int | None:
        """How often a special token occurs in a shard; None where no record of the shard tells."""
        try:
            entry = read_json(record_of(self.folder, shard.unit))["shards"][self.split][self.domain]
        except (FileNotFoundError, KeyError):
            return None
        if entry["sha256"] != shard.record["sha256"]:
            return None
        return int(entry["special"].get(str(token), 0))


class PackedRows:
    """The rows of some domains, one domain behind the other; stands where a ``datasets.Dataset`` would.

    Args:
        streams: the domains.
        length: tokens of each row.
        first_token: put in place of the first token of each row; None leaves it.
    """

    column_names = ("input_ids", "attention_mask")

    def __init__(self, streams: Sequence[TokenStream], length: int, first_token: int | None = None) -> None:
        self.streams, self.length, self._first_token = list(streams), length, first_token
        self.counts: IntArray = np.array([len(stream) // length for stream in streams], np.int64)
        self._ends = np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def tokens(self, row: int) -> npt.NDArray[Any]:
        """Tokens of a row; shape ``(length,)``.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        domain = int(np.searchsorted(self._ends, row, side="right"))
        start = (row - int(self._ends[domain] - self.counts[domain])) * self.length
        tokens = self.streams[domain].tokens(start, start + self.length)
        if self._first_token is not None:
            tokens = tokens.copy()
            tokens[0] = self._first_token
        return tokens

    def __getitem__(self, row: int) -> dict[str, list[int]]:
        return {"input_ids": self.tokens(row).tolist(), "attention_mask": [1] * self.length}

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        return (self[row] for row in range(len(self)))

    def select_columns(self, columns: Sequence[str]) -> PackedRows:
        """Return the rows with all columns, whichever are asked for: they are made when they are read."""
        return self

    def iter(self, batch_size: int) -> Iterator[dict[str, list[list[int]]]]:
        """Yield the rows in batches of columns."""
        for start in range(0, len(self), batch_size):
            rows = [self[row] for row in range(start, min(start + batch_size, len(self)))]
            yield {name: [row[name] for row in rows] for name in self.column_names}

    def row_keys(self) -> list[str]:
        """Return a key of every row: made from its domain's digests and its place, not from its tokens."""
        keys: list[str] = []
        for stream, count in zip(self.streams, self.counts.tolist(), strict=True):
            about = f"{stream.sha256}:{self.length}:{self._first_token}"
            keys += [hashlib.sha256(f"{about}:{row}".encode()).hexdigest()[:16] for row in range(count)]
        return keys

    def lengths(self) -> IntArray:
        """Return the tokens of each row; takes no memory."""
        return np.broadcast_to(np.int64(self.length), (len(self),))

    def loss_tokens(self, ignored: int | None) -> IntArray:
        """Return the supervised tokens of each row: all but the first, and but a token that is ignored.

        Args:
            ignored: the padding token, which the loss leaves out wherever it stands.
        """
        if ignored is None or not any(stream.occurs(ignored) for stream in self.streams):
            return np.broadcast_to(np.int64(self.length - 1), (len(self),))
        found = np.full(len(self), self.length - 1, np.int64)
        for stream, count, end in zip(self.streams, self.counts.tolist(), self._ends.tolist(), strict=True):
            own = found[end - count : end]
            for places in stream.places(ignored):
                row, place = np.divmod(places, self.length)
                row = row[(place > 0) & (row < count)]
                if len(row):
                    # Places rise, so a shard's rows lie together; those of the domain may be very many more.
                    ignored_tokens = np.bincount(row - row[0])
                    own[row[0] : row[0] + len(ignored_tokens)] -= ignored_tokens
        return found
