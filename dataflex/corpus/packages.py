"""Installed distributions as sources of text: their files, versions and descriptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from dataflex.corpus.documents import seeded_order
from dataflex.errors import UserError

_DESCRIPTION_LICENCE = re.compile(r"^#+ *licen[cs]e.*", re.IGNORECASE | re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of an installed distribution; `name` is "distribution/path", alike on every machine."""

    distribution: str
    name: str
    path: Path

    def read(self) -> str:
        """Its text; "" if it is unreadable or not UTF-8."""
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""


def version_of(distribution: str) -> str | None:
    """Installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=512)
def distribution_root(distribution: str) -> Path:
    """Folder into which a distribution was installed.

    Raises:
        UserError: it is not installed.
    """
    try:
        return Path(str(metadata.distribution(distribution).locate_file("")))
    except metadata.PackageNotFoundError:
        raise UserError(
            f"{distribution} is not installed; install the suite with: pip install 'dataflex[suite]'"
        ) from None


@lru_cache(maxsize=512)
def _recorded(distribution: str) -> tuple[str, ...]:
    """Paths that a distribution's installer recorded, sorted; empty if it is not installed."""
    try:
        return tuple(sorted(map(str, metadata.distribution(distribution).files or [])))
    except metadata.PackageNotFoundError:
        return ()


def files_of(distribution: str, wanted: Callable[[str], bool]) -> Iterator[SourceFile]:
    """Files of a distribution whose recorded path is wanted, sorted; none if it is not installed."""
    for name in filter(wanted, _recorded(distribution)):
        yield SourceFile(distribution, f"{distribution}/{name}", distribution_root(distribution) / name)


def shuffled(distributions: tuple[str, ...], wanted: Callable[[str], bool], seed: int) -> list[SourceFile]:
    """Wanted files of several distributions in an order that depends on the seed and their names only."""
    found = [file for distribution in distributions for file in files_of(distribution, wanted)]
    return sorted(found, key=lambda file: seeded_order(seed, file.name))


def description_of(distribution: str) -> str:
    """The long description (usually the readme) in a distribution's metadata, without a licence section."""
    text = metadata.metadata(distribution).json.get("description", "")
    return _DESCRIPTION_LICENCE.sub("", text) if isinstance(text, str) else ""
