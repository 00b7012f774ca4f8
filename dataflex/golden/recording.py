"""Recording golden runs: once as others will be compared with, and again under what platforms differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dataflex.errors import UserError
from dataflex.golden.cases import Case
from dataflex.golden.comparing import Finding, compare
from dataflex.golden.golden_file import Golden, read_golden
from dataflex.golden.platforms import RECORDED, VARIANTS, fingerprint
from dataflex.golden.starting import Runs, Workplace
from dataflex.golden.tolerances import tolerances
from dataflex.golden.watching import Bar


def measure(workplace: Workplace, cases: Sequence[Case], bar: Bar) -> dict[str, Runs]:
    """Return the runs of every variant of ``VARIANTS``, and the recorded one a second time.

    Raises:
        UserError: a run failed, or two runs under equal conditions differed.
    """
    found: dict[str, Runs] = {}
    for name in (*VARIANTS, RECORDED):
        runs, errors = workplace.run(cases, VARIANTS[name], bar.watch(name))
        if errors:
            label, error = next(iter(errors.items()))
            raise UserError(f"the golden run of {label} failed ({name}):\n{error}")
        if name in found:
            refuse_chance(found[name], runs)
        found[name] = runs
    return found


def refuse_chance(first: Runs, second: Runs) -> None:
    """Refuse runs that are not the same bits when they are repeated.

    Raises:
        UserError: names what differed.
    """
    for label, run in first.items():
        differing = sorted(name for name, entry in run.items() if second[label].get(name) != entry)
        if differing or run.keys() != second[label].keys():
            raise UserError(
                f"{label} did not repeat bit by bit ({', '.join(differing[:3])}): "
                "a component has to draw from context.rng alone"
            )


def goldens(cases: Sequence[Case], measured: Mapping[str, Runs]) -> list[Golden]:
    """Return what is to be recorded.

    Args:
        cases: that were run.
        measured: by variant, see ``measure``.
    """
    others = [name for name in measured if name != RECORDED]
    platform = fingerprint()
    return [
        Golden(
            case.label,
            case.params(),
            platform,
            others,
            measured[RECORDED][case.label],
            tolerances(measured[RECORDED][case.label], [measured[name][case.label] for name in others]),
        )
        for case in cases
    ]


def changes(folder: Path, new: Golden) -> list[Finding] | None:
    """Return what differs from what was recorded before, beyond its tolerance; None if nothing was."""
    old = read_golden(folder, new.label)
    return None if old is None else compare(old, new.entries, bitwise=False)
