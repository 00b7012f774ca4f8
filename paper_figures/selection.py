"""The paper's table of selection and reweighting."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex.evidence.results import CellResult
from paper_figures.layout import METHODS, label, ordered
from paper_figures.models import (
    DATA_HEADER,
    accuracy,
    bits,
    chance_note,
    data_rows,
    domain_columns,
    groups_of,
    head,
    seeds_note,
    spread,
    title,
)
from paper_figures.sources import ids
from paper_figures.table import Table

COST_NOTE = "The domains' columns are bits per byte of held-out pretraining text: what tuning costs there."


def selection(results: Sequence[CellResult], starts: Sequence[CellResult]) -> Table:
    """Selection and reweighting in one table, as in the paper.

    ``results`` are the runs of both experiments; ``starts`` the runs that they started from, shown as the
    first row of their model and scale.
    """
    groups = groups_of(results)
    before = groups_of(starts)
    domains = domain_columns([*results, *starts])
    rows, everything = [], []
    for group, methods in groups.items():
        lines = [(label(method), methods[method]) for method in ordered(methods, METHODS)]
        if group in before:
            lines.insert(0, (label("start"), [run for runs in before[group].values() for run in runs]))
        for name, runs in lines:
            everything.append(runs)
            loss = spread([float(run.metrics["mmlu"]["answer_nll"]) for run in runs], 4)
            rows.append(
                [
                    title(name, group, len(groups)),
                    accuracy(runs),
                    loss,
                    *(spread(bits(runs, domain), 3) for domain in domains),
                    str(len(runs)),
                ]
            )
    return Table(
        name="selection",
        caption="Selection and reweighting: MMLU-format questions and held-out bits per byte",
        header=["Method", "MMLU acc (%) ↑", "Answer loss ↓", *(f"{head(d)} ↓" for d in domains), "Seeds"],
        rows=rows,
        notes=[
            chance_note(everything),
            *([COST_NOTE] if domains else []),
            seeds_note(everything),
        ],
        data_header=DATA_HEADER,
        data=data_rows(results, CellResult.numbers),
        results=[ids(runs) for runs in everything],
    )


def starts_of(tuned: Sequence[CellResult], results: Sequence[CellResult]) -> list[CellResult]:
    """The runs among ``results`` whose models the tuned runs started from.

    A run of the same place in the grid, but made by another version of the code, is another model.
    """
    places = {(*sorted(start.items()), _commit(run)) for run in tuned if (start := run.run.get("start"))}
    return [result for result in results if (*sorted(result.cell.items()), _commit(result)) in places]


def _commit(run: CellResult) -> str | None:
    return dict(run.run["manifest"]).get("commit")
