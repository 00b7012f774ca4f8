"""How golden runs are shown."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from dataflex.golden.comparing import Finding
from dataflex.golden.golden_file import Golden

MOST = 40
"""Lines of a table; what is wrong in one place is so in many."""


def findings(console: Console, found: list[Finding]) -> None:
    """Show what is not as recorded: a line a quantity."""
    if not found:
        return
    table = Table(title="Golden runs that are not as recorded", title_justify="left")
    for name in ("component", "quantity"):
        table.add_column(name, overflow="fold")
    for name in ("value", "expected", "tolerance"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for one in _of_all(found):
        table.add_row(
            one.label,
            one.quantity,
            _text(one.value),
            _text(one.expected),
            f"{one.tolerance:.3g}" if one.tolerance else "none",
            one.verdict,
            style="red",
        )
    console.print(table)
    if len(found) > MOST:
        console.print(f"and {len(found) - MOST} more", highlight=False)


def _of_all(found: list[Finding]) -> list[Finding]:
    """Return ``MOST`` findings at the most, of every component some."""
    by_label: dict[str, list[Finding]] = {}
    for one in found:
        by_label.setdefault(one.label, []).append(one)
    each = max(1, MOST // len(by_label))
    return [one for of_one in by_label.values() for one in of_one[:each]]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def errors(console: Console, failed: dict[str, str]) -> None:
    """Show runs that came to no end."""
    for label, text in failed.items():
        console.print(f"{label} failed:\n{text.rstrip()}", style="red", markup=False, highlight=False)


def platform(console: Console, apart: list[str]) -> None:
    """Tell in what this platform is another than the recorded one."""
    if apart:
        text = "not the recorded platform, so tolerances apply: " + "; ".join(apart)
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def recorded(console: Console, golden: Golden, changed: list[Finding] | None) -> None:
    """Tell what was recorded and what has changed with it."""
    varying = sum(tolerance.varies for tolerance in golden.tolerances.values())
    size = f"{len(golden.entries)} quantities, {varying} of them varied among the repeated runs"
    if changed is None:
        console.print(f"{golden.label}: recorded for the first time, {size}", highlight=False)
    elif changed:
        console.print(f"{golden.label}: {len(changed)} quantities have changed, {size}", highlight=False)
        findings(console, changed)
    else:
        console.print(f"{golden.label}: nothing has changed beyond its tolerance, {size}", highlight=False)
