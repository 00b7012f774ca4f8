"""The paper's table of mixtures: questions and perplexity, then what each method changes, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataflex.evaluation.perplexity import ALL, NATURAL
from dataflex.evidence.results import CellResult, by_seed
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.seeds import paired
from paper_figures.layout import METHODS, label, ordered
from paper_figures.models import (
    CONFIDENCE,
    DATA_HEADER,
    accuracy,
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
TOTAL = {
    NATURAL: "ALL weighs a token of each domain by the domain's share in the corpus. ",
    ALL: "ALL pools the bytes of all held-out documents. ",
}
CLEAR = "*"
"""Marks a change that is told from none."""
DIGITS = 2
"""Of an accuracy in percent: the paper's differences are tenths of a point."""
ALPHA = 0.05
"""Level of the tests of all changes of a table together."""
Changes = Sequence[Estimate]
"""Of accuracy, of answer loss, and of bits per byte of each domain."""


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
    levels, everything = [], []
    changes: list[tuple[str, Changes]] = []
    sources: dict[str, list[tuple[str, ...]]] = {"levels": [], "changes": []}
    for group, methods in groups.items():
        base = baseline(methods)
        for method in ordered(methods, METHODS):
            runs = methods[method]
            everything.append(runs)
            name_of_row = title(label(method), group, len(groups))
            levels.append([f"{name_of_row}: PPL", *_levels(runs, domains)])
            sources["levels"].append(ids(runs))
            if base and method != base:
                changes.append((f"{name_of_row}: change", _changes(runs, methods[base], domains)))
                sources["changes"].append(ids(runs, methods[base]))
    notes = [
        chance_note(everything),
        "PPL is byte perplexity, 2 to the power of bits per byte: it does not depend on the tokenizer. "
        f"{TOTAL[domains[0]] if domains else ''}Token and word perplexities are in the CSV.",
        seeds_note(everything),
    ]
    if changes:
        notes.insert(2, _changes_note(everything, sum(len(own) for _, own in changes)))
    return Table(
        name=name,
        caption=caption,
        header=["Method", "MMLU acc (%) ↑", "Answer loss ↓", *(f"{head(domain)} ↓" for domain in domains)],
        rows=levels + _rows(changes),
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
        accuracy(runs, DIGITS),
        spread(loss, 3),
        *(spread(values, 3) for values in perplexities),
    ]


def _changes(runs: Sequence[CellResult], base: Sequence[CellResult], domains: Sequence[str]) -> Changes:
    metrics = ["mmlu.acc", "mmlu.answer_nll", *(f"bits_per_byte.{domain}" for domain in domains)]
    return [paired(by_seed(runs, metric), by_seed(base, metric)) for metric in metrics]


def _rows(changes: Sequence[tuple[str, Changes]]) -> list[list[str]]:
    """The rows of changes; those that Holm's adjustment over all of them leaves are marked."""
    adjusted = iter(holm([change.p_value() for _, own in changes for change in own]))
    rows = []
    for name, own in changes:
        clear = [next(adjusted) < ALPHA for _ in own]
        points, *others = zip(own, clear, strict=True)
        rows.append([name, shown(*points, DIGITS, 100), *(shown(*change, 3) for change in others)])
    return rows


def shown(difference: Estimate, clear: bool, digits: int, factor: float = 1.0) -> str:
    """A difference with its sign and, over several seeds, its interval, marked if it is clear."""
    text = f"{difference.value * factor:+.{digits}f}"
    interval = difference.interval()
    if interval is None:
        return text
    low, high = (f"{end * factor:+.{digits}f}" for end in interval)
    return f"{text} [{low}, {high}]{CLEAR if clear else ''}"


def _changes_note(groups: Sequence[Sequence[CellResult]], tests: int) -> str:
    what = (
        "Change: from the baseline, paired by seed; in points of accuracy, nats and bits per byte (not PPL)"
    )
    if max(len(runs) for runs in groups) < 2:
        return f"{what}."
    return (
        f"{what}, with its {CONFIDENCE} interval, which stands for itself. {CLEAR}: told from none at the "
        f"level {ALPHA}, adjusted by Holm for the {tests} changes of the table."
    )


def _numbers(run: CellResult) -> dict[str, float]:
    numbers = run.numbers()
    for domain, values in run.metrics["perplexity"].items():
        for unit in ("token", "word", "byte"):
            numbers[f"{unit}_perplexity.{domain}"] = float(values[unit])
    return numbers
