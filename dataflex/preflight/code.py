"""The check of the code: whether a commit holds what the runs will be made by."""

from __future__ import annotations

from pathlib import Path

from dataflex.evidence.checkout import HERE, changes, commit
from dataflex.preflight.report import Finding

MOST_NAMED = 5


def checkout(folder: Path = HERE) -> Finding:
    """Whether results of this code can be reviewed.

    Changes are told and are no failure: who develops a method trains with them.
    """
    found = commit(folder)
    if found is None:
        return Finding("code", "skipped", "it is in no git checkout: no result will name the commit it is of")
    if changed := changes(folder):
        more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        return Finding(
            "code",
            "warned",
            f"{', '.join(changed[:MOST_NAMED])}{more} changed since commit {found[:12]}: what is trained so "
            "is refused by `dataflex-cli results add` and `check`; commit it first if it is to be reviewed",
        )
    return Finding("code", "passed", f"as in commit {found[:12]}")
