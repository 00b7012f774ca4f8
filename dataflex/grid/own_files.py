"""The user's own files in place of a grid's text: which corpora take some, and what was given to none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflex.grid.cells import GridError

Files = Sequence[str] | Mapping[str, Sequence[str]] | None

TRAIN, VALIDATION, TEST = "corpus_files", "corpus_validation_files", "corpus_test_files"
"""Keys of the workflow's config; the files of each are a list for all corpora, or a mapping by corpus."""
SOURCES = {
    TRAIN: ("harvest", "files", "packed"),
    # A packed corpus is split by its own options.
    VALIDATION: ("harvest", "files"),
    TEST: ("harvest", "files"),
}
"""Sources of the corpora that take files of a key."""


def own_files(grid: Mapping[str, Any], key: str, given: Files, corpus: str) -> list[str]:
    """The user's files of a key for one corpus; none for a corpus that takes none.

    Args:
        grid: see ``load``.
        key: of ``SOURCES``.
        given: what the config has there, see ``check_own_files``.
        corpus: of the grid.
    """
    if corpus not in takers(grid, key):
        return []
    return list((given.get(corpus) if isinstance(given, Mapping) else given) or [])


def takers(grid: Mapping[str, Any], key: str) -> list[str]:
    """The corpora of a grid that take files of a key."""
    return [name for name, spec in grid["corpora"].items() if spec["source"] in SOURCES[key]]


def check_own_files(grid: Mapping[str, Any], given: Mapping[str, Files]) -> None:
    """Check that no file was given in vain.

    Args:
        grid: see ``load``.
        given: the config's files by key; keys may be missing.

    Raises:
        GridError: naming the key, and the corpora that can take files.
    """
    for key in SOURCES:
        files, able = given.get(key) or [], takers(grid, key)
        can = f"those that take some are {', '.join(able)}" if able else "none of this grid takes any"
        if isinstance(files, Mapping):
            for name in files:
                if name not in grid["corpora"]:
                    raise GridError(f"{key} names {name!r}, which is no corpus of the grid: {can}")
                if files[name] and name not in able:
                    source = grid["corpora"][name]["source"]
                    raise GridError(
                        f"{key} has files for {name}, which as a corpus of source {source} takes none: "
                        f"remove them; {can}"
                    )
        elif files and not able:
            raise GridError(f"{key} has files for all corpora: remove them; {can}")
        if key != TRAIN:
            _check_split(grid, key, given)


def _check_split(grid: Mapping[str, Any], key: str, given: Mapping[str, Files]) -> None:
    """Files beside those to train on are of use only where there are some of these."""
    files = given.get(key)
    trained = [name for name in takers(grid, TRAIN) if own_files(grid, TRAIN, given.get(TRAIN), name)]
    for name in takers(grid, key):
        if own_files(grid, key, files, name) and name not in trained:
            raise GridError(
                f"{key} has files for {name}, and {TRAIN} has none, without which they are not read: add "
                f"{TRAIN}, or remove them"
            )
    left = [name for name in trained if name not in takers(grid, key)]
    if files and left and not isinstance(files, Mapping):
        raise GridError(
            f"{key} is a list, for all corpora, and {', '.join(left)} takes none: write a mapping, with "
            f"files for {', '.join(takers(grid, key))}"
        )
