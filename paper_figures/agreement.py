"""Do the signs of the paper's mixture table come out here? Its two scales beside our differences.

Only MMLU and perplexity over all domains are compared: the paper's domains are others than a small corpus's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataflex.evidence.results import CellResult, by_seed
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.seeds import paired
from paper_figures.layout import label
from paper_figures.mixture import baseline, shown
from paper_figures.models import groups_of, seeds_note, title
from paper_figures.published import published
from paper_figures.sources import ids
from paper_figures.table import COLUMN, Table

SCALES = ("SlimPajama-6B", "SlimPajama-30B")
METHODS: Mapping[str, str] = {"doremi": "DoReMi", "odm": "ODM"}
METRICS: Mapping[str, tuple[str, str, int, float]] = {
    "MMLU": ("mmlu.acc", "MMLU acc (points)", 1, 100.0),
    "PPL_ALL": ("bits_per_byte.all", "PPL ALL; ours: bits per byte", 3, 1.0),
}
"""The paper's name of a number: ours, how it is shown, digits and factor."""


def agreement(results: Sequence[CellResult]) -> Table | None:
    """The table; None without a baseline or a method that the paper has.

    ``results`` are the runs of the mixture experiment.
    """
    groups = groups_of(results)
    rows, data, sources = [], [], []
    for group, methods in groups.items():
        base = baseline(methods)
        for method, theirs in METHODS.items():
            if base is None or method not in methods:
                continue
            source = ids(methods[method], methods[base])
            for metric, (name, unit, digits, factor) in METRICS.items():
                sources.append(source)
                told = [_change(scale, theirs, metric) for scale in SCALES]
                ours = paired(by_seed(methods[method], name), by_seed(methods[base], name))
                rows.append(
                    [
                        f"{title(label(method), group, len(groups))}: {unit}",
                        *(f"{value:+.{1 if metric == 'MMLU' else 3}f}" for value in told),
                        shown(ours, digits, factor),
                        verdict(told, ours),
                    ]
                )
                for scale, value in zip(SCALES, told, strict=True):
                    data.append(["paper", method, scale, metric, repr(value), ""])
                data.append(["ours", method, ", ".join(group), name, repr(ours.value), " ".join(source)])
    if not rows:
        return None
    return Table(
        name="mixture_agreement",
        caption="Signs: a method less the baseline, in the paper and here",
        header=["Method", *(f"Paper, {scale}" for scale in SCALES), "Here", "Sign"],
        rows=rows,
        notes=[
            "The paper: one run of Qwen2.5-1.5B each, no error bars. Here: a tiny model on other text. "
            "So a sign that agrees reproduces nothing, and one that differs refutes nothing.",
            "Open: our interval holds zero, or there is one seed. The paper differs: its two scales do.",
            seeds_note([runs for methods in groups.values() for runs in methods.values()]),
        ],
        data_header=("source", "method", "scale", "metric", "change", COLUMN),
        data=data,
        results=sources,
    )


def _change(scale: str, method: str, metric: str) -> float:
    paper = published("data_mixture")
    return paper[scale, method, metric] - paper[scale, "Baseline", metric]


def verdict(told: Sequence[float], ours: Estimate) -> str:
    """What our difference says about the paper's: agrees, differs, open, or the paper differs."""
    signs = {int(value > 0) - int(value < 0) for value in told}
    if len(signs) > 1:
        return "the paper differs"
    if not ours.sign:
        return "open"
    return "agrees" if ours.sign in signs else "differs"
