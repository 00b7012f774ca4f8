"""Selections from a planted pool: what each method picked, beside what it should pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflex.evidence.picks import read_outcomes
from dataflex.evidence.results import PICKS, CellResult
from dataflex.evidence.statistics.estimate import Interval
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.picking import random_picking
from dataflex.evidence.statistics.questions import wilson
from dataflex.evidence.statistics.seeds import mean, of_mean
from paper_figures.layout import METHODS, label, ordered
from paper_figures.models import CONFIDENCE, DATA_HEADER, data_rows
from paper_figures.sources import ids
from paper_figures.table import Table

CLASSES = ("relevant", "duplicated", "corrupted", "learned", "irrelevant")
"""Order of the classes: the target, what looks like it, what lies elsewhere."""
RANDOM = "random"
SIGNIFICANT = 0.01
"""Level of the test against random picking, over all methods together."""


@dataclass(frozen=True)
class Marked:
    """What the seeds of one method picked.

    Attributes:
        name: model and scale are named where there are several.
        runs: one a seed.
        interval: of the precision, 95 %.
        by_rows: whether the interval is over picked rows, because the seeds give none.
        p_value: of random picking, as it is, for this method alone.
    """

    name: str
    runs: tuple[CellResult, ...]
    interval: Interval
    by_rows: bool
    p_value: float

    @property
    def target(self) -> tuple[str, ...]:
        """Classes that the method should pick."""
        return tuple(ordered(self.runs[0].metrics["target"], CLASSES))

    @property
    def precision(self) -> float:
        """Mean over the seeds."""
        return mean([float(run.metrics["precision"]) for run in self.runs])

    @property
    def base_rate(self) -> float:
        """Share of the target in the pool: the precision of random picking."""
        return float(self.runs[0].metrics["base_rate"])

    def share(self, planted: str) -> float:
        """Mean share of a class among the picks."""
        return mean([float(run.metrics["shares"][planted]) for run in self.runs])


def marked(results: Sequence[CellResult]) -> list[Marked]:
    """The methods of the experiment, in the paper's order, by model and scale."""
    groups = sorted({result.key[2:] for result in results})
    found = []
    for group in groups:
        own = [result for result in results if result.key[2:] == group]
        for method in ordered((result.key[1] for result in own), METHODS):
            runs = tuple(result for result in own if result.key[1] == method)
            name = label(method) if len(groups) == 1 else f"{label(method)}, {', '.join(group)}"
            interval, by_rows = _interval(runs)
            found.append(Marked(name, runs, interval, by_rows, _p_value(runs)))
    return found


def classes_of(results: Sequence[CellResult]) -> list[str]:
    """The classes of the pools, in the order they are shown."""
    return ordered((name for result in results for name in result.metrics["pool"]), CLASSES)


def _interval(runs: Sequence[CellResult]) -> tuple[Interval, bool]:
    values = [float(run.metrics["precision"]) for run in runs]
    over_seeds = of_mean(values).interval()
    if over_seeds is not None and len(set(values)) > 1:
        return (max(0.0, over_seeds[0]), min(1.0, over_seeds[1])), False
    picks = sum(int(run.metrics["n"]) for run in runs)
    return wilson(round(mean(values) * picks), picks), True


def _p_value(runs: Sequence[CellResult]) -> float:
    """Against random picking, by the distinct rows that were picked for the target."""
    pool = runs[0].metrics["pool"]
    target = set(runs[0].metrics["target"])
    distinct = [dict(read_outcomes(run.folder / PICKS)[int(run.metrics["step"])]) for run in runs]
    return random_picking(
        hits=[sum(planted in target for planted in rows.values()) for rows in distinct],
        picks=[len(rows) for rows in distinct],
        target=sum(pool[name] for name in target),
        pool=sum(pool.values()),
    )


def _differs(p_value: float) -> str:
    shown = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return f"{'yes' if p_value < SIGNIFICANT else 'no'} ({shown})"


def planted(results: Sequence[CellResult]) -> Table:
    """The table: precision at n, what random picking gives, the target, and the shares of the classes."""
    methods = marked(results)
    classes = classes_of(results)
    tested = [index for index, method in enumerate(methods) if method.runs[0].key[1] != RANDOM]
    adjusted = dict(zip(tested, holm([methods[index].p_value for index in tested]), strict=True))
    rows = []
    for index, method in enumerate(methods):
        low, high = method.interval
        rows.append(
            [
                method.name,
                ", ".join(method.target),
                f"{method.precision:.2f} [{low:.2f}, {high:.2f}]{' †' if method.by_rows else ''}",
                f"{method.base_rate:.2f}",
                _differs(adjusted[index]) if index in adjusted else "the control",
                *(f"{method.share(name):.2f}" for name in classes),
                str(len(method.runs)),
            ]
        )
    counts = sorted({int(run.metrics["n"]) for run in results})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    silent = [methods[index].name for index, p in adjusted.items() if p >= SIGNIFICANT]
    equal = (
        f"Not told from random picking: {', '.join(silent)}."
        if silent
        else "Every method differs from random picking."
    )
    pool = results[0].metrics["pool"]
    return Table(
        name="planted",
        caption="Planted truth: precision of selections from a pool whose classes are known",
        header=[
            *("Method", "Should pick", f"Precision at n [{CONFIDENCE} interval] ↑", "Random", "Differs?"),
            *classes,
            "Seeds",
        ],
        rows=rows,
        notes=[
            f"Precision at n: share of the n = {n} picked rows that are of the classes in the second column. "
            "Random: their share of the pool, which random picking gets. The classes' columns: their shares "
            "of the picks.",
            f"The pool has {sum(pool.values())} rows: "
            f"{', '.join(f'{pool[name]} {name}' for name in classes)}.",
            "Intervals are Student's over the seeds; †: Wilson's over the picked rows, where there is one "
            "seed or all agree.",
            "Differs?: two-sided exact test against random picking (hypergeometric, the hits of all seeds "
            f"together), p adjusted for the number of methods by Holm, at the level {SIGNIFICANT}. {equal}",
        ],
        data_header=DATA_HEADER,
        data=data_rows(results, lambda run: {**run.numbers(), "base_rate": run.metrics["base_rate"]}),
        results=[ids(method.runs) for method in methods],
    )
