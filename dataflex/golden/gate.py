"""The gate of the golden runs: compare them with what is recorded, or record them anew."""

from __future__ import annotations

from rich.console import Console

from dataflex.errors import UserError
from dataflex.golden import recording, show
from dataflex.golden.cases import Case, every_case
from dataflex.golden.comparing import Finding, compare
from dataflex.golden.golden_file import FOLDER, Golden, labels, read_golden
from dataflex.golden.platforms import RECORDED, VARIANTS, differences, fingerprint
from dataflex.golden.starting import Workplace
from dataflex.golden.watching import Bar


def chosen_cases(components: str | None) -> list[Case]:
    """Return the golden runs of the components named, or all.

    Raises:
        UserError: there is none of this name.
    """
    every = every_case()
    if components is None:
        return every
    names = components.split(",")
    unknown = sorted(set(names) - {case.name for case in every} - {case.label for case in every})
    if unknown:
        raise UserError(f"no component is called {unknown[0]!r}: see dataflex-cli components")
    return [case for case in every if {case.name, case.label} & set(names)]


def check_golden(console: Console, cases: list[Case], *, whole: bool) -> bool:
    """Run the golden runs and compare them; True if anything is not as recorded.

    Args:
        console: shows what is wrong.
        cases: to run.
        whole: whether these are all, so that there must be no recorded run besides.

    Raises:
        UserError: there is no record of one of them, or a record of a component that there is not.
    """
    recorded = recorded_of(cases, whole=whole)
    with Bar(len(cases)) as bar, Workplace() as workplace:
        runs, errors = workplace.run(cases, VARIANTS[RECORDED], bar.watch("golden runs"))
    here = fingerprint()
    findings: list[Finding] = []
    compared = {"bit by bit": 0, "within tolerances": 0}
    apart: set[str] = set()
    for case in cases:
        if case.label not in runs:
            continue
        golden = recorded[case.label]
        unlike = differences(golden.platform, here)
        apart.update(unlike)
        compared["within tolerances" if unlike else "bit by bit"] += 1
        findings += compare(golden, runs[case.label], bitwise=not unlike)
    show.findings(console, findings)
    show.errors(console, errors)
    show.platform(console, sorted(apart))
    bad = {finding.label for finding in findings} | errors.keys()
    how = ", ".join(f"{count} {way}" for way, count in compared.items() if count)
    console.print(
        f"golden runs: {len(cases)} components compared ({how}); {len(bad)} not as recorded", highlight=False
    )
    return bool(bad)


def recorded_of(cases: list[Case], *, whole: bool) -> dict[str, Golden]:
    """Read what is recorded of golden runs.

    Raises:
        UserError: see ``check_golden``; or other parameters were recorded.
    """
    if not FOLDER.is_dir():
        raise UserError(
            f"there is no folder {FOLDER} here: run this at the root of the repository, or give --no-golden"
        )
    recorded = {}
    for case in cases:
        golden = read_golden(FOLDER, case.label)
        if golden is None:
            raise UserError(
                f"no golden run of {case.label} is recorded: dataflex-cli check --record-golden "
                f"--components {case.name}"
            )
        if golden.params != case.params():
            raise UserError(
                f"the golden run of {case.label} was recorded with {golden.params}, its example is "
                f"{case.params()}: record it anew"
            )
        recorded[case.label] = golden
    left = sorted(set(labels(FOLDER)) - recorded.keys())
    if whole and left:
        raise UserError(f"{FOLDER}/{left[0]}.json is of no component that there is: remove it")
    return recorded


def record(console: Console, cases: list[Case]) -> None:
    """Record golden runs anew and show what has changed.

    Raises:
        UserError: a run failed, or is not the same when it is repeated.
    """
    with Bar(len(cases) * (len(VARIANTS) + 1)) as bar, Workplace() as workplace:
        measured = recording.measure(workplace, cases, bar)
    for golden in recording.goldens(cases, measured):
        changed = recording.changes(FOLDER, golden)
        golden.write(FOLDER)
        show.recorded(console, golden, changed)
