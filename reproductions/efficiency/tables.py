"""Tables, one CSV file and a figure of what was measured, made from the JSON files alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efficiency.data_tables import corpus_table, order_table
from efficiency.figure import draw
from efficiency.job_tables import less_jobs, put_together, tsds_jobs
from efficiency.results import STEPS, Record, Results, Spread, short
from efficiency.step_tables import draw_steps, steps_table
from paper_figures.style import save
from paper_figures.table import Table

TARGETS = {"exact": 1.1, "projected": 1.3, "losses": 0.9, "library": 1.0}
CHUNK = 16
"""Rows that upstream projects together."""


def write(folder: Path, notes: Sequence[str] = ()) -> str:
    """Write ``tables.md``, ``measurements.csv`` and ``efficiency.svg`` into the folder; return the tables.

    ``notes`` stand below the tables.
    """
    every = put_together([Results(path) for path in sorted(folder.glob("*.json"))])
    if not every:
        raise SystemExit(f"{folder} holds no results: run a benchmark first")
    stepwise = [results for results in every if results.benchmark == STEPS]
    tables = [_targets([results for results in every if results not in stepwise])]
    tables += [steps_table(results) for results in stepwise]
    for results in every:
        job = "job" in results.about
        if results.benchmark == "less":
            tables += [less_jobs(results) if job else _less(results)]
        if results.benchmark == "tsds":
            tables += [tsds_jobs(results) if job else _tsds(results)]
        if results.benchmark == "neighbours":
            tables += [_neighbours(results)]
        if results.benchmark == "corpus":
            tables += [corpus_table(results)]
        if results.benchmark == "order":
            tables += [order_table(results)]
    tables.append(_memory(every))
    text = "\n".join(table.markdown() for table in tables) + "\n" + _environments(every)
    text += "".join(f"- {note}\n" for note in notes)
    (folder / "tables.md").write_text(text)
    _csv(every, folder / "measurements.csv")
    for name, figure in (("efficiency", draw(every)), ("steps", draw_steps(stepwise))):
        if figure is not None:
            save(figure, folder, name)
            # One picture is enough to look at.
            (folder / f"{name}.png").unlink()
    return text


def _table(name: str, caption: str, header: Sequence[str], rows: Any, notes: Sequence[str]) -> Table:
    return Table(name, caption, header, rows, notes, (), ())


def _title(results: Results) -> str:
    model = results.about.get("model")
    return f"{results.benchmark}, {model}" if model else str(results.benchmark)


def _case(case: Record) -> str:
    return ", ".join(f"{key} {value}" for key, value in case.items()) or "-"


def _targets(every: list[Results]) -> Table:
    rows = []
    for results in every:
        for case in results.cases():
            for side, variant in results.variants(case):
                ratio = results.ratio(side, variant, case)
                if ratio is None:
                    continue
                target = TARGETS.get(variant) if side == "library" else None
                met = "-" if target is None else ("yes" if ratio.median <= target else "no")
                worked = results.ratio(side, variant, case, "cpu_seconds")
                rows.append(
                    [
                        f"{_title(results)}: {variant}",
                        _case(case),
                        str(ratio),
                        short(worked.median) if worked else "-",
                        "-" if target is None else f"{target}",
                        met,
                    ]
                )
    return _table(
        "targets",
        "Cost as a multiple of the plain pass over the same rows in the same process",
        ("what", "case", "ratio of time", "of processor time", "at most", "met"),
        rows,
        (
            "A ratio is median [least to largest] over rounds; both sides of it took turns.",
            "n=1 without a range: one pass in a process of its own, divided by the median plain pass.",
        ),
    )


def _less(results: Results) -> Table:
    cases = sorted((case for case in results.cases()), key=lambda case: case["share"])
    shipped = next((c for c in cases if results.seconds("upstream", "upstream", c)), None)
    rows = []
    for case in cases:
        cells = [str(case["share"]), str(max(1, round(case["share"] * results.about["rows"])))]
        cells += [_cell(results.seconds("library", kind, case)) for kind in ("plain", "exact", "projected")]
        cells.append(_cell(results.seconds("upstream", "upstream, gradients", case)))
        for kind in ("upstream", "upstream, fp32"):
            measured = results.seconds("upstream", kind, case)
            cells.append(_cell(measured) if measured else _extrapolated(results, kind, shipped, case))
        rows.append(cells)
    return _table(
        f"less-{results.about['model']}",
        f"LESS, seconds to score a pool ({results.about['model']}, {results.about['validation']} validation "
        "rows included), in the shape of the paper's table",
        (
            "ratio",
            "rows",
            "plain",
            "ours",
            "ours, projected",
            "upstream, no projection",
            "upstream",
            "in fp32",
        ),
        rows,
        (
            "plain: forward and backward passes in batches, in pool order, in this library's process.",
            "upstream: its fp16 projection on this device; in fp32: the same with one type changed.",
            "≈: not run; its gradients as measured, plus the measured time of a projection for every "
            f"{CHUNK} rows.",
            "The paper's seconds are on GPUs, with another model and data; only the shape is comparable.",
        ),
    )


def _extrapolated(results: Results, kind: str, shipped: Record | None, case: Record) -> str:
    gradients = results.seconds("upstream", "upstream, gradients", case)
    chunks = results.fact("upstream", kind, shipped, "projection_seconds") if shipped else None
    if gradients is None or not chunks:
        return "-"
    rows = max(1, round(case["share"] * results.about["rows"]))
    measured = max(1, round(shipped["share"] * results.about["rows"])) if shipped else 0
    sizes = [
        min(CHUNK, count - start)
        for count in (measured, results.about["validation"])
        for start in range(0, count, CHUNK)
    ]
    per_row = sum(chunks) / sum(sizes)
    return f"≈ {short(gradients.median + per_row * (rows + results.about['validation']))}"


def _cell(spread: Spread | None) -> str:
    return "-" if spread is None else str(spread)


def _tsds(results: Results) -> Table:
    rows = []
    for case in results.cases():
        cells = [f"{case['rows']:,}", str(case["queries"])]
        for kind in ("library tsds", "library tsds, own defaults"):
            cells.append(_cell(results.seconds("library", kind, case)))
        for kind in ("upstream tsds", "authors tsds"):
            failed = results.fact("upstream", kind, case, "failed")
            cells.append(_cell(results.seconds("upstream", kind, case)) + (" *" if failed else ""))
            for clock in ("seconds", "cpu_seconds"):
                ours = results.seconds("library", "library tsds", case, clock)
                theirs = results.seconds("upstream", kind, case, clock)
                cells.append(short(theirs.median / ours.median) if theirs and ours else "-")
        rows.append(cells)
    about = results.about
    return _table(
        "tsds",
        "TSDS, seconds from vectors to probabilities, in the shape of the paper's comparison",
        (
            *("pool", "queries", "ours", "ours, own defaults"),
            *("upstream", "/ ours", "processor time", "authors", "/ ours", "processor time"),
        ),
        rows,
        (
            f"Same vectors ({about['kind']}, {about['dimension']} dimensions) and parameters for all: alpha "
            f"{about['alpha']}, C {about['C']}, sigma {about['sigma']}, {about['max_K']} neighbours; the "
            "authors' code cuts neighbours to a tenth of the pool. Own defaults: alpha 0.5, C 1.",
            "Ours is exact, densities count the whole pool; upstream's neighbours are approximate.",
            "The sides ran one after the other: on a busy machine the ratio of processor time says more.",
            "*: stopped at the draw, since its probabilities added up to more than one.",
        ),
    )


def _neighbours(results: Results) -> Table:
    rows = []
    for case in results.cases():
        cells = [case["kind"], f"{case['rows']:,}", str(case["queries"])]
        for side, kind in (
            ("library", "blocked product"),
            ("library", "library"),
            ("upstream", "upstream near"),
        ):
            cells.append(_cell(results.seconds(side, kind, case)))
            recall = results.fact(side, kind, case, "recall")
            cells.append("-" if recall is None else f"{math.floor(recall * 1e4) / 1e4:.4f}")
        cells.append(_cell(results.ratio("library", "library", case)))
        rows.append(cells)
    return _table(
        "neighbours",
        f"{results.about['neighbours']} nearest neighbours of every query: seconds and recall",
        (
            "vectors",
            "pool",
            "queries",
            "blocked product",
            "recall",
            "ours",
            "recall",
            "upstream NEAR",
            "recall",
            "ours / blocked",
        ),
        rows,
        (
            "Recall of up to 64 queries against distances in fp64, rounded down.",
            "upstream NEAR: building its inverted file, searching, and writing the result.",
        ),
    )


def _memory(every: list[Results]) -> Table:
    rows = []
    for results in every:
        for case in results.cases():
            for side, variant in results.variants(case):
                peak = results.peak(side, variant, case)
                if peak is None:
                    continue
                before, most = peak["before_mib"], peak["peak_mib"]
                numbers = [f"{most:.0f}", f"{before:.0f}", f"{most - before:.0f}"]
                rows.append([f"{_title(results)}: {side}, {variant}", _case(case), *numbers])
    return _table(
        "memory",
        "Peak memory in MiB, each in a process of its own",
        ("what", "case", "peak", "before", "more"),
        rows,
        ("Before: with model and data loaded. On a GPU the memory of the GPU, else of the process.",),
    )


def _environments(every: list[Results]) -> str:
    lines = ["**Where it was measured**", ""]
    seen = []
    for results in every:
        for side, found in results.environments.items():
            packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
            line = (
                f"- {side}: {found['processor']}, {found['cores']} cores, {found['threads']} threads, "
                f"{found['memory_gib']} GiB, GPU: {found['gpu'] or 'none'}; "
                f"Python {found['python']}, {packages}"
            )
            if line not in seen:
                seen.append(line)
        for failure in results.failures:
            seen.append(
                f"- failed: {results.name}, {failure['variants']} {failure['case']}: {failure['error']}"
            )
        agreement = results.about.get("rank_correlations", {})
        for what, value in agreement.items():
            seen.append(f"- {_title(results)}: rank correlation of scores, {what}: {value:.4f}")
        if "largest_difference" in results.about:
            difference = results.about["largest_difference"]
            seen.append(f"- {_title(results)}: largest difference from upstream's losses: {difference:.1e}")
    return "\n".join(lines + seen) + "\n"


def _csv(every: list[Results], path: Path) -> None:
    header = ["benchmark", "case", "side", "variant", "n"]
    header += [f"seconds_{kind}" for kind in ("median", "min", "max")]
    header += [f"ratio_{kind}" for kind in ("median", "min", "max")]
    header += ["cpu_ratio_median", "before_mib", "peak_mib", "recall"]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for results in every:
            for case in results.cases():
                for side, variant in results.variants(case):
                    writer.writerow(_line(results, case, side, variant))


def _line(results: Results, case: Record, side: str, variant: str) -> list[object]:
    seconds = results.seconds(side, variant, case)
    assert seconds is not None
    ratio, worked = results.ratio(side, variant, case), results.ratio(side, variant, case, "cpu_seconds")
    peak = results.peak(side, variant, case)
    line: list[object] = [results.name, _case(case), side, variant, seconds.n]
    line += [f"{value:.4f}" for value in (seconds.median, seconds.least, seconds.most)]
    line += [f"{v:.4f}" for v in (ratio.median, ratio.least, ratio.most)] if ratio else ["", "", ""]
    line.append(f"{worked.median:.4f}" if worked else "")
    line += [f"{peak['before_mib']:.0f}", f"{peak['peak_mib']:.0f}"] if peak else ["", ""]
    line.append(results.fact(side, variant, case, "recall") or "")
    return line
