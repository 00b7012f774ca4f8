"""The paper's table of LESS's time, row by row, with what was measured here beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paper_figures.efficiency.job_tables import cell, less_than
from paper_figures.efficiency.projectors import judged, notes
from paper_figures.efficiency.results import Record, Results
from paper_figures.published import ORIGINAL, THEIRS, less, less_cases, less_seconds, own_less
from paper_figures.table import Table

NOT_RUN = "not run"
HERE = (("authors", "authors"), ("upstream", "upstream"), ("library", "exact"))
"""What the columns of our measurements hold: side and variant."""


def paper_table(every: Sequence[Results]) -> Table | None:
    """The table: five rows of the paper for each of our models; None where LESS was not measured at all."""
    measured = [results for results in every if results.benchmark == "less"]
    rows, sources = [], []
    for results in measured:
        for share, gpus in less_cases():
            case = _case(results, share, gpus)
            found = [results.seconds(*side, case) if case else None for side in HERE]
            alone = _case(results, share, 1)
            saved = less_than(results.seconds(*HERE[0], alone) if alone else None, found[-1])
            saved = judged(results, alone, saved) if alone else saved
            rows.append(
                [
                    f"{results.about['model']}, {_device(results)}",
                    f"{share:.2f}",
                    str(gpus),
                    *_paper(share, gpus),
                    *(NOT_RUN if spread is None else cell(spread) for spread in found),
                    NOT_RUN if saved == "-" else saved,
                ]
            )
            sources.append(results.ids if case else ())
    if not rows:
        return None
    return Table(
        "efficiency_less",
        "LESS in the layout of the paper's table: seconds by sample ratio, published and measured here",
        (
            *("measured here with", "ratio", "GPUs", f"paper: {ORIGINAL}", "accuracy", f"paper: {THEIRS}"),
            *("accuracy", "saved", "here: LESS (original)", "here: DataFlex 1.1.0", "here: this library"),
            "saved",
        ),
        rows,
        (
            "The paper: one run each, seconds on GPUs; its model, its data and what a ratio is a part of "
            "are not published. Here another model and pool: compare the savings, not the seconds. Accuracy "
            "in %; none was measured here.",
            "Saved: by how much the library's time is below the original's on one GPU. The original code "
            "needs a GPU; DataFlex 1.1.0 projects in fp16, which processors multiply slowly. "
            "The sides may run with torch of different versions; the table of the jobs divides each by plain "
            "passes of its own.",
            *notes(rows),
            "Here: median [least to largest] of n passes, in the paper's case of one GPU by one process.",
        ),
        results=sources,
    )


def _case(results: Results, share: float, gpus: int) -> Record | None:
    """The case of ours that stands for one of the paper's; runs that are no jobs had one process."""
    wanted: dict[str, Any] = {"share": share, "gpus": gpus}
    return next((case for case in results.cases() if {"gpus": 1, **case} == wanted), None)


def _device(results: Results) -> str:
    return str(next((found["gpu"] for found in results.environments.values() if found["gpu"]), "CPU"))


def _paper(share: float, gpus: int) -> list[str]:
    """The published cells: the original's seconds and accuracy, the paper's, and what it saved."""
    original, theirs = less_seconds(share, gpus)
    own = own_less(gpus)

    def shown(method: str, metric: str, form: str) -> str:
        value = less(share, method, metric)
        return "-" if value is None else form.format(value)

    return [
        "-" if original is None else f"{original:,.0f}",
        shown(ORIGINAL, "Acc (%)", "{:.2f}"),
        "-" if theirs is None else f"{theirs:,.0f}",
        shown(own, "Acc (%)", "{:.2f}"),
        shown(own, "Time reduction (%)", "{:.2f} %"),
    ]
