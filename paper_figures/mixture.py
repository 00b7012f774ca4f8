"""The paper's table of mixtures: questions and perplexity, then what each method changes, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataflex.evidence.results import CellResult, by_seed
from dataflex.evidence.statistics.estimate import LEVEL, Estimate
from dataflex.evidence.statistics.seeds import paired
from paper_figures.layout import METHODS, label, ordered
from paper_figures.models import (
    DATA_HEADER,
    accuracies,
    at_chance,
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

BASELINES = ("natural", "baseline")
"""The method that the others are compared with: the first of these that was run."""
CLEAR = "*"
"""Marks an interval that does not hold zero."""


def mixture(
    results: Sequence[CellResult],
    name: str = "mixture",
    caption: str = "Mixtures of domains: MMLU-format questions and held-out perplexity",
) -> Table:
    """Make the table of one experiment's runs.

    Args:
        results: the runs.
        name: file name of the table.
        caption: one sentence.
    """
    domains = domain_columns(results)
    groups = groups_of(results)
    levels, changes, everything = [], [], []
    sources: dict[str, list[tuple[str, ...]]] = {"levels": [], "changes": []}
    for group, methods in groups.items():
        base = baseline(methods)
        for method in ordered(methods, METHODS):
            runs = methods[method]
            everything.append(runs)
            shown = title(label(method), group, len(groups))
            levels.append([f"{shown}: PPL", *_levels(runs, domains)])
            sources["levels"].append(ids(runs))
            if base and method != base:
                changes.append([f"{shown}: change", *_changes(runs, methods[base], domains)])
                sources["changes"].append(ids(runs, methods[base]))
    notes = [
        chance_note(everything),
        "PPL is byte perplexity, 2 to the power of bits per byte: it does not depend on the tokenizer. "
        "ALL pools the bytes of all held-out documents. Token and word perplexities are in the CSV.",
        seeds_note(everything),
    ]
    if changes:
        notes.insert(2, _changes_note(everything))
    return Table(
        name=name,
        caption=caption,
        header=["Method", "MMLU acc (%) ↑", "Answer loss ↓", *(f"{head(domain)} ↓" for domain in domains)],
        rows=levels + changes,
        notes=notes,
        data_header=DATA_HEADER,
        data=data_rows(results, _numbers),
        results=sources["levels"] + sources["changes"],
    )


def baseline(methods: Mapping[str, object]) -> str | None:
    """The baseline among the methods that were run."""
    return next((name for name in BASELINES if name in methods), None)


def _levels(runs: Sequence[CellResult], domains: Sequence[str]) -> list[str]:
    loss = [float(run.metrics["mmlu"]["answer_nll"]) for run in runs]
    perplexities = [[float(run.metrics["perplexity"][d]["byte"]) for run in runs] for d in domains]
    return [
        spread(accuracies(runs), 1, 100) + (" ≈" if at_chance(runs) else ""),
        spread(loss, 3),
        *(spread(values, 3) for values in perplexities),
    ]


def _changes(runs: Sequence[CellResult], base: Sequence[CellResult], domains: Sequence[str]) -> list[str]:
    metrics = ["mmlu.acc", "mmlu.answer_nll", *(f"bits_per_byte.{domain}" for domain in domains)]
    found = [paired(by_seed(runs, metric), by_seed(base, metric)) for metric in metrics]
    return [shown(found[0], 1, 100), *(shown(difference, 3) for difference in found[1:])]


def shown(difference: Estimate, digits: int, factor: float = 1.0) -> str:
    """A difference with its sign and, over several seeds, its interval."""
    text = f"{difference.value * factor:+.{digits}f}"
    interval = difference.interval()
    if interval is None:
        return text
    low, high = (f"{end * factor:+.{digits}f}" for end in interval)
    return f"{text} [{low}, {high}]{CLEAR if difference.sign else ''}"


def _changes_note(groups: Sequence[Sequence[CellResult]]) -> str:
    what = (
        "Change: from the baseline, paired by seed; in points of accuracy, nats and bits per byte (not PPL)"
    )
    if max(len(runs) for runs in groups) < 2:
        return f"{what}."
    return (
        f"{what}, with its {LEVEL:.0%} interval; {CLEAR}: it does not hold zero. Each interval stands for "
        "itself: with so many, some miss by chance."
    )


def _numbers(run: CellResult) -> dict[str, float]:
    numbers = run.numbers()
    for domain, values in run.metrics["perplexity"].items():
        for unit in ("token", "word", "byte"):
            numbers[f"{unit}_perplexity.{domain}"] = float(values[unit])
    return numbers
