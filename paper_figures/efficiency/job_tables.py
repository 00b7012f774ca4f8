"""Tables of a grid's jobs: the sides beside one another, and beside what the paper published."""

from __future__ import annotations

from collections.abc import Sequence

from paper_figures.efficiency.projectors import judged, notes, projector
from paper_figures.efficiency.results import Results, Spread, short
from paper_figures.published import less_seconds, tsds_reduction
from paper_figures.table import Table

LESS = (("library", "exact"), ("library", "projected"), ("upstream", "upstream"), ("authors", "authors"))
OTHERS = ("upstream", "authors")
SIDES = ("ours", "ours, projected", "upstream", "authors")
TSDS = (("library", "library tsds"), ("upstream", "upstream tsds"), ("upstream", "authors tsds"))


def put_together(every: Sequence[Results]) -> list[Results]:
    """Return the results with those of jobs that belong to one table as one."""
    groups: dict[tuple[str, ...], list[Results]] = {}
    for results in every:
        job = "job" in results.about
        key = (results.benchmark, str(results.about.get("model"))) if job else (results.name,)
        groups.setdefault(key, []).append(results)
    return [parts[0] if "job" not in parts[0].about else Results.joined(parts) for parts in groups.values()]


def less_jobs(results: Results) -> Table:
    """Seconds of LESS by ratio and number of GPUs."""
    cases = sorted(results.cases(), key=lambda case: (case["gpus"], case["share"]))
    rows = []
    for case in cases:
        found = [results.seconds(*side, case) for side in LESS]
        ratios = [results.ratio(*side, case) for side in LESS]
        original, theirs = less_seconds(case["share"], case["gpus"])
        one = {**case, "gpus": 1}
        alone = results.seconds("authors", "authors", one)
        cells = [f"{case['share']:g}", str(case["gpus"])]
        cells += [f"{max(1, round(case['share'] * results.about['rows'])):,}"]
        for seconds, ratio in zip(found, ratios, strict=True):
            cells += [cell(seconds), short(ratio.median) if ratio else "-"]
        cells += [
            ", ".join(f"{side}: {name}" for side in OTHERS if (name := projector(results, side, case)))
            or "-",
            judged(results, one, less_than(alone, found[0])),
            judged(results, one, less_than(ratios[-1], ratios[0])),
            _number(original),
            _number(theirs),
        ]
        cells.append(f"{100 * (1 - theirs / original):.1f} %" if original and theirs else "-")
        rows.append(cells)
    about = results.about
    return Table(
        f"less-jobs-{about['model']}",
        f"LESS, seconds to score a pool by ratio and GPUs ({about['model']}), beside the paper's",
        (
            *("ratio", "GPUs", "rows"),
            *(word for name in SIDES for word in (name, "÷ plain")),
            *("projectors", "ours below authors", "in plain passes"),
            *("paper: original", "paper: DataFlex", "paper: below original"),
        ),
        rows,
        (
            f"Here: {about['validation']} validation rows included, at most {about['cutoff']} tokens a row, "
            f"LoRA of rank {about['lora_rank']}, {about['precision']}, projections to {about['projection']} "
            "dimensions.",
            f"{versions(results)} ÷ plain: over plain passes of the same side on as many GPUs, in batches as "
            "ours. Where versions differ compare these, not the seconds.",
            "Without GPUs a process stands for each. Times are those of the first process, waiting included.",
            *notes(rows),
            "The original code has one GPU: what several save is counted from its time on one, as the "
            "paper's 57.13 % is. The paper's model and data, and what its ratio is a part of, are not "
            "published: compare the savings, not the seconds.",
        ),
        results=[results.ids] * len(rows),
    )


def tsds_jobs(results: Results) -> Table:
    """Seconds of TSDS by rows of the pool and number of queries."""
    cases = sorted(results.cases(), key=lambda case: (case["rows"], case["queries"]))
    rows = []
    for case in cases:
        found = [results.seconds(*side, case) for side in TSDS]
        cells = [f"{case['rows']:,}", f"{case['queries']:,}", *map(cell, found)]
        failed = results.fact("upstream", "authors tsds", case, "failed")
        cells[-1] += " *" if failed else ""
        rows.append([*cells, less_than(found[2], found[0])])
    least, most = tsds_reduction()
    return Table(
        "tsds-jobs",
        "TSDS, seconds from vectors to probabilities by rows of the pool, beside the paper's saving",
        ("pool", "queries", "ours", "upstream", "authors", "ours below authors"),
        rows,
        (
            f"The paper: {least:g} to {most:g} % below the authors' at pools of 5,000 to 100,000 rows and 50 "
            "to 1,000 queries; its seconds are not known.",
            versions(results),
            untimed(results),
            "*: stopped at the draw, since its probabilities added up to more than one.",
        ),
        results=[results.ids] * len(rows),
    )


def untimed(results: Results) -> str:
    """Return a sentence on what lies outside the clock of TSDS."""
    if what := results.about.get("untimed"):
        return f"No side is timed with its {what}."
    return (
        "Each process's first pass is timed, the others' with what they import and the files that they write."
    )


def versions(results: Results) -> str:
    """Return a sentence with the torch that each side ran with."""
    found: dict[str, None] = {}
    for side, environment in results.environments.items():
        torch = environment["packages"].get("torch", "of unknown version")
        cuda = f" for CUDA {environment['cuda']}" if environment.get("cuda") else ""
        found[f"{side.partition(',')[0]} torch {torch}{cuda}"] = None
    return f"Ran with: {'; '.join(found)}."


def cell(spread: Spread | None) -> str:
    """Return what a table shows of some passes."""
    return "-" if spread is None else str(spread)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def less_than(theirs: Spread | None, ours: Spread | None) -> str:
    """Return by how many percent our median is below theirs."""
    return f"{100 * (1 - ours.median / theirs.median):.1f} %" if theirs and ours else "-"
