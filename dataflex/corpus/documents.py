"""A document, and how long texts become documents."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

MIN_CHARS = 300
MAX_CHARS = 4000

_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a domain.

    Attributes:
        text: what a model reads.
        domain: name of its domain.
        source: where it comes from, as "distribution/path".
        group: fingerprint of the whole text that this document was cut from. Documents of one group
            always lie in the same split, so that the halves of a file do not meet across splits.
    """

    text: str
    domain: str
    source: str
    group: str


def words(text: str) -> list[str]:
    """Lower-cased runs of letters, digits and underscores."""
    return _WORD.findall(text.lower())


def normalise(text: str) -> str:
    """Text without case and with single spaces: two texts that agree in it are the same text."""
    return _SPACE.sub(" ", text).strip().lower()


def fingerprint(text: str) -> str:
    """Hexadecimal sha256 of the normalised text."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def seeded_order(seed: int, name: str) -> str:
    """Sort key that shuffles names by a seed, independently of the order and number of the others."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def is_text(text: str) -> bool:
    """False for text with control characters or undecodable bytes, which is data and not text."""
    return "\x00" not in text and "\ufffd" not in text


def _oversized(block: str, limit: int) -> Iterator[str]:
    """Cut one block that is longer than the limit, at line ends where there are any."""
    piece = ""
    for line in block.splitlines(keepends=True):
        while len(line) > limit:
            if piece:
                yield piece
                piece = ""
            yield line[:limit]
            line = line[limit:]
        if len(piece) + len(line) > limit:
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece


def pieces(text: str, *, minimum: int = MIN_CHARS, maximum: int = MAX_CHARS) -> Iterator[str]:
    """Cut a text into pieces of `minimum` to `maximum` characters at blank lines.

    Paragraphs are joined until the next one would not fit; one that is too long by itself is cut at
    line ends, and at `maximum` characters where a line is longer. Pieces below `minimum` are left out.
    """
    piece = ""
    blocks = re.split(r"\n[ \t]*\n", text.strip("\n"))
    parts = (
        part
        for block in blocks
        for part in ([block] if len(block) <= maximum else _oversized(block, maximum))
    )
    for part in parts:
        if piece and len(piece) + len(part) + 2 > maximum:
            if len(piece) >= minimum:
                yield piece
            piece = ""
        piece = f"{piece}\n\n{part}" if piece else part
    if len(piece) >= minimum:
        yield piece


def cut(text: str, *, domain: str, source: str, at_most: int, group: str | None = None) -> Iterator[Document]:
    """The first `at_most` pieces of a text as documents of one group, by default the text's fingerprint."""
    if not is_text(text):
        return
    group = group or fingerprint(text)
    for number, piece in enumerate(pieces(text)):
        if number == at_most:
            return
        yield Document(text=piece.strip("\n") + "\n", domain=domain, source=source, group=group)
