"""What a rung's results say, in few sentences that are computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflex.evidence.claims.judgement import Judgement
from dataflex.report.benchmarks import Benchmarks
from dataflex.report.findings import judged, limits, planted, planted_mixture, spent, trained
from dataflex.report.findings.finding import Finding
from dataflex.report.forest import Forest
from dataflex.report.gaps import Part
from dataflex.report.rungs import Rung
from dataflex.report.subjects import Subject, subject


@dataclass(frozen=True)
class Summary:
    """What opens the page for one rung: what it is of, what was found, and the two drawings of it."""

    name: str
    subject: Subject | None
    findings: tuple[Finding, ...]
    forests: tuple[Forest, ...]


def summary(rung: Rung, judgements: Sequence[Judgement], parts: Sequence[Part]) -> Summary:
    """The summary of a rung.

    Args:
        rung: with its results.
        judgements: of all rungs.
        parts: of the grids of all rungs.
    """
    own = [judgement for judgement in judgements if judgement.rung == rung.name]
    picked = [run for run in rung.results if run.kind == "selection"]
    mixed = [run for run in rung.results if run.kind == "mixture"]
    models = [run for run in rung.results if run.kind == "model"]
    found = [
        *judged.findings(own),
        *planted.findings(rung.name, picked),
        *planted_mixture.findings(rung.name, mixed),
        *trained.findings(rung.name, models),
        *spent.findings(rung, [part for part in parts if part.rung == rung.name]),
    ]
    drawn = [planted.drawing(rung.name, picked), planted_mixture.drawing(rung.name, mixed)]
    forests = tuple(one for one in drawn if one is not None)
    return Summary(rung.name, subject(rung, own), tuple(found), forests)


def of_benchmarks(found: Sequence[Benchmarks]) -> list[Summary]:
    """A summary for every folder of benchmarks whose passes have limits."""
    told = [(one.name, tuple(limits.findings(one))) for one in found]
    return [Summary(name, None, findings, ()) for name, findings in told if findings]
