"""Which benchmarks kept the limits that were set for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dataflex.report.benchmarks import Benchmarks
from dataflex.report.findings.finding import Finding, table
from dataflex.report.quantities import plural

VERDICTS = ("met", "met in time")
"""Columns of the tables that say whether a limit was kept."""
KEPT = "yes"
WORDS = {KEPT: "kept", "no": "not kept", "open": "open (the interval holds the limit)"}


def findings(benchmarks: Benchmarks) -> Iterator[Finding]:
    """One for each table that has limits."""
    for made in benchmarks.tables:
        column = next((place for place, head in enumerate(made.header) if head in VERDICTS), None)
        if column is None:
            continue
        told = Counter(row[column] for row in made.rows if row[column] in WORDS)
        if told:
            others = [f"{told[word]} {WORDS[word]}" for word in WORDS if told[word] and word != KEPT]
            yield Finding(
                f"{told[KEPT]} of {plural(sum(told.values()), 'limit')} of cost kept"
                f"{''.join(f', {other}' for other in others)}.",
                f"{made.caption}.",
                table(benchmarks.name, made.name),
            )
