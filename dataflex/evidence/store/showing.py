"""Comparisons as a reader sees them: tables, and what each line is a statement about."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from dataflex.evidence.statistics.estimate import Estimate, Interval
from dataflex.evidence.store.answering import Pairing
from dataflex.evidence.store.comparing import Row

LOG_WIDTH = 160
"""Columns where the output goes to a file."""
QUESTION_COLUMNS = (
    "", "seed", "first", "second", "difference", "95 % interval", "detectable", "p",
    "only first", "only second", "McNemar p", "contested", "effective",
)  # fmt: skip


def console_or_log() -> Console:
    """The terminal as wide as it is, or a file that is wide enough for a table."""
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)


def detectable(estimate: Estimate) -> float | None:
    """The smallest effect that would have been seen; None where all seeds agree, which measures no error."""
    return estimate.detectable() if estimate.error > 0 else None


def metrics_table(title: str, rows: Sequence[Row]) -> Table:
    """Every number of both sides, with its difference over the seeds."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for head in ("first", "second", "difference", "95 % interval", "detectable", "p (Holm)"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            row.metric,
            f"{row.ours:.5g}",
            f"{row.theirs:.5g}",
            f"{row.difference.value:+.4f}",
            _interval(row.difference.interval(), "one seed"),
            _detectable(row.difference),
            f"{row.p_value:.3f}" if row.difference.known else "",
        )
    return table


def questions_table(title: str, pairings: Sequence[Pairing]) -> Table:
    """Accuracies on the same questions, numbered as in ``statements``."""
    table = Table(title=title, title_justify="left")
    for head in QUESTION_COLUMNS:
        table.add_column(head, justify="right", no_wrap=head == "95 % interval")
    for number, pairing in _numbered(pairings):
        test = pairing.mcnemar
        table.add_row(
            str(number),
            "all" if pairing.seed is None else str(pairing.seed),
            f"{pairing.ours:.4f}",
            f"{pairing.theirs:.4f}",
            f"{pairing.difference.value:+.4f}",
            _interval(pairing.difference.interval(), "unknown" if pairing.contested else "none contested"),
            _detectable(pairing.difference),
            f"{pairing.difference.p_value():.3f}" if pairing.difference.known else "",
            *((str(test.ours), str(test.theirs), f"{test.exact:.3f}") if test else ("", "", "")),
            f"{pairing.contested:.1%}",
            f"{pairing.effective:.0f}" if math.isfinite(pairing.effective) else "all alike",
        )
    return table


def statements(pairings: Sequence[Pairing]) -> list[str]:
    """What the lines of ``questions_table`` are statements about, and what its columns mean."""
    about = {number: pairing.about for number, pairing in _numbered(pairings)}
    return [
        *(f"{number}: about {words}" for number, words in about.items()),
        "Errors are clustered by subject. Contested: questions that exactly one side got right. Effective: "
        "questions that an unpaired comparison would need to be as sure.",
    ]


def _numbered(pairings: Sequence[Pairing]) -> list[tuple[int, Pairing]]:
    """Pairings with the number of their statement: one for all that are about the same."""
    numbers = {
        about: number for number, about in enumerate(dict.fromkeys(p.about for p in pairings), start=1)
    }
    return [(numbers[pairing.about], pairing) for pairing in pairings]


def _detectable(estimate: Estimate) -> str:
    least = detectable(estimate)
    return "" if least is None else f"{least:.4f}"


def _interval(interval: Interval | None, unknown: str) -> str:
    return unknown if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
