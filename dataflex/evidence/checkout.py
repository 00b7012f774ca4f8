"""The checkout that the suite runs from: its commit, and what of it no commit holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHERE_AND_BY_WHOM = ("workflow/profiles", "slurm")
"""Files that say on which cluster jobs run, on whose account and how much they may take; the link to them.

Everybody edits them, and no number depends on them: what a run did stands in its config and manifest.
"""
LOCKS = ".lock.yaml"
"""Files that a first run writes and later ones add to.

An entry that is new says what was taken, by the revision that the grid asks for, and hinders nothing. One
that was replaced lets in other weights or rows than the commit says, and of weights no manifest has a digest.
"""


def commit(folder: Path = HERE) -> str | None:
    """The commit of the checkout that a folder is in, with a mark when it was changed; None without one."""
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head.strip()}-dirty" if changes(folder) else head.strip()


def changes(folder: Path = HERE) -> list[str]:
    """Tracked files that no longer are as in the commit and may decide about results."""
    excluded = (f":(top,exclude){path}" for path in WHERE_AND_BY_WHOM)
    words = ("diff", "--numstat", "--minimal", "--no-renames", "-z", "HEAD", "--", ":(top)", *excluded)
    lines = (line.split("\t", 2) for line in (_git(folder, *words) or "").split("\0") if line)
    return sorted(path for _, removed, path in lines if not (path.endswith(LOCKS) and removed == "0"))


def _git(folder: Path, *words: str) -> str | None:
    # Many jobs look at once: none may hold the index's lock.
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
