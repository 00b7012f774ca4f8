"""What trained models show: whether accuracy says anything, and what mixing changes on held-out text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex.evidence.claims.measure import at_chance
from dataflex.evidence.results import CellResult, by_seed
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.questions import binomial
from dataflex.evidence.statistics.seeds import mean, of_mean, paired
from dataflex.report.findings.finding import Finding, table
from dataflex.report.quantities import plural, plus_minus, with_interval
from paper_figures.layout import domain_label, label
from paper_figures.mixture import baseline
from paper_figures.models import domain_columns, groups_of

MIXTURE = "mixture"
TUNED = ("selection", "weighting")
LEVEL = 0.05


def findings(rung: str, results: Sequence[CellResult]) -> Iterator[Finding]:
    """Accuracy beside chance, then mixtures beside their baseline."""
    if not results:
        return
    yield _accuracy(rung, results)
    yield from _held_out(rung, [run for run in results if run.key[0] == MIXTURE])


def _accuracy(rung: str, results: Sequence[CellResult]) -> Finding:
    runs: dict[tuple[str, ...], list[CellResult]] = {}
    for run in results:
        runs.setdefault(run.key, []).append(run)
    guessing = sum(at_chance(own) for own in runs.values())
    asked = min(int(run.metrics["mmlu"]["n"]) for run in results)
    best = max(runs.values(), key=lambda own: mean(_points(own)))
    points = _points(best)
    experiment, method, model, _ = best[0].key
    said = (
        f"Accuracy says nothing here: all {plural(len(runs), 'cell')} answer as a guesser would."
        if guessing == len(runs)
        else f"{guessing} of {plural(len(runs), 'cell')} answer as a guesser would."
    )
    return Finding(
        said,
        f"{asked:,} questions of four options: two standard errors of guessing are "
        f"{200 * binomial(0.25, asked).error:.1f} points. Best: {label(method)} ({experiment}, {model}), "
        f"{plus_minus(mean(points), of_mean(points).interval())} %.",
        table(rung, "selection" if experiment in TUNED else experiment),
    )


def _points(runs: Sequence[CellResult]) -> list[float]:
    """Accuracy of each run in percent."""
    return [100 * float(run.metrics["mmlu"]["acc"]) for run in runs]


def _held_out(rung: str, results: Sequence[CellResult]) -> Iterator[Finding]:
    """Bits a byte less those of the baseline: over all text, then the domains that remain after Holm."""
    if not results:
        return
    domains = domain_columns(results)
    changes: dict[tuple[str, str], Estimate] = {}
    groups = groups_of(results)
    for group, methods in groups.items():
        base = baseline(methods)
        for method in methods if base else ():
            if method == base:
                continue
            name = label(method) if len(groups) == 1 else f"{label(method)} ({', '.join(group)})"
            for domain in domains:
                metric = f"bits_per_byte.{domain}"
                changes[name, domain] = paired(
                    by_seed(methods[method], metric), by_seed(methods[str(base)], metric)
                )
    over_all = {
        name: change for (name, domain), change in changes.items() if domain == domains[0] and change.known
    }
    if not over_all:
        return
    clear = sum(change.sign != 0 for change in over_all.values())
    ordered = sorted(over_all.items(), key=lambda entry: entry[1].value)
    span = " to ".join(dict.fromkeys(f"{name} {_bits(change)}" for name, change in (ordered[0], ordered[-1])))
    single = {place: change for place, change in changes.items() if place[1] != domains[0] and change.known}
    adjusted = holm([change.p_value() for change in single.values()])
    kept = [place for place, p in zip(single, adjusted, strict=True) if p <= LEVEL]
    named = "; ".join(
        f"{name} on {domain_label(domain)} {_bits(single[name, domain])}" for name, domain in kept
    )
    yield Finding(
        f"{clear or 'None'} of {plural(len(over_all), 'mixture')} can be told from the baseline by the loss "
        f"on all held-out text; on single domains {len(kept)} of {plural(len(single), 'change')} are clear.",
        f"All text: {span} bits a byte, paired by seed, 95 % intervals."
        + (f" Clear by Holm over all domains at {LEVEL}: {named}." if kept else ""),
        table(rung, MIXTURE),
    )


def _bits(change: Estimate) -> str:
    return with_interval(change.value, change.interval(), signed=True)
