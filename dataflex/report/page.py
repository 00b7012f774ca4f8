"""The page: everything gathered, then filled into the templates beside this file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.store.identity import short
from dataflex.report import (
    benchmarks,
    cells,
    claims,
    costs,
    findings,
    gaps,
    numerals,
    quantities,
    subjects,
)
from dataflex.report.figures import InlineFigure, inline
from dataflex.report.provenance import provenance
from dataflex.report.rungs import GridFile, Rung
from paper_figures.drawings import Drawing
from paper_figures.drawings import build as draw
from paper_figures.style import svg
from paper_figures.table import Table
from paper_figures.tables import build

HERE = Path(__file__).parent
Tell = Callable[[str], None]


def render(
    rungs: Sequence[Rung],
    grids: Sequence[GridFile],
    judgements: Sequence[Judgement],
    timings: Sequence[Path] = (),
    seeds: Collection[int] = (),
    tell: Tell = lambda _: None,
) -> str:
    """The whole page as text: the same text from the same results, grids and judgements.

    Args:
        rungs: with their results.
        grids: that say what there could be and what was assumed.
        judgements: of the paper's claims, in the order in which they are to be shown.
        timings: folders that may hold benchmarks.
        seeds: that the grids' cells were asked for with; none where nobody said.
        tell: is called with the name of each part before it is made.
    """
    known = cells.anchors(rungs)
    tell("tables")
    timed = benchmarks.read(timings)
    tables: list[tuple[str, str, Sequence[Table]]] = [
        (f"Rung {rung.name}", rung.name, build(rung.results)) for rung in rungs
    ]
    tables += [("Benchmarks", one.name, one.tables) for one in timed]
    tell("figures")
    figures = [(f"Rung {rung.name}", _figures(rung.name, draw(rung.results))) for rung in rungs]
    figures += [("Benchmarks", _figures(one.name, one.drawings)) for one in timed]
    tell("cells")
    taken: set[str] = set()
    experiments = [(rung.name, cells.experiments(rung, taken)) for rung in rungs]
    tell("page")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {name: getattr(quantities, name) for name in ("seconds", "count", "plural")}
    environment.filters["parted"] = numerals.parted
    environment.tests["wordy"] = numerals.wordy
    parts = gaps.parts(rungs, grids, seeds)
    results = subjects.by_id(rungs)
    shown_as = {short(name): anchor for name, anchor in known.items()}
    return environment.get_template("page.html").render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        provenance=provenance(rungs),
        counts=claims.counts(judgements),
        claims=judgements,
        groups=claims.groups(judgements, known, results),
        matrix=claims.matrix(judgements),
        picked={rung.name for rung in rungs if any(run.kind == "selection" for run in rung.results)},
        summaries=[findings.summary(rung, judgements, parts) for rung in rungs],
        empty_rungs=claims.without_results(judgements, [rung.name for rung in rungs]),
        benchmarks=timed,
        benchmark_summaries=findings.of_benchmarks(timed),
        shown_as=shown_as,
        claim_tables=sorted({judgement.claim.table for judgement in judgements}),
        claim_rungs=sorted({judgement.rung for judgement in judgements}),
        tables=tables,
        figures=figures,
        experiments=experiments,
        costs=[(rung.name, costs.costs(rung), costs.total(rung)) for rung in rungs],
        hardware=costs.hardware(rungs),
        parts=parts,
        seeds=sorted(seeds),
        begun=[rung for rung in rungs if rung.unfinished],
        assumptions=gaps.assumptions(grids),
        grids=grids,
    )


def _figures(name: str, drawings: Sequence[Drawing]) -> list[InlineFigure]:
    return [
        inline(svg(picture.figure), f"{name}-{picture.name}-", picture.caption, picture.description)
        for picture in drawings
    ]
