"""What the runs of a rung took, and what of its grid was not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex.report.costs import hardware, total
from dataflex.report.findings.finding import Finding
from dataflex.report.gaps import Part
from dataflex.report.quantities import plural, seconds
from dataflex.report.rungs import Rung


def findings(rung: Rung, parts: Sequence[Part]) -> Iterator[Finding]:
    """The cost where it is known, and the gaps where a grid says what there could be."""
    cost = total(rung)
    if cost.wall is not None:
        timed = "" if cost.timed == cost.runs else f" ({cost.timed} of them)"
        on = "; ".join(words for words, _ in hardware([rung]))
        said = f"{plural(cost.runs, 'run')} took {seconds(cost.wall)} of training{timed}."
        yield Finding(said, f"{on}.", "costs", "costs")
    asked, missing = sum(part.asked for part in parts), sum(len(part.missing) for part in parts)
    if missing:
        lacking = [f"{part.experiment} ({part.there} there)" for part in parts if part.missing]
        said = f"{missing} of the {plural(asked, 'cell')} that the grid evaluates have no result."
        begun = f" Begun and not finished: {plural(len(rung.unfinished), 'cell')}." if rung.unfinished else ""
        yield Finding(said, f"Incomplete: {', '.join(lacking)}.{begun}", "gaps", "not run")
