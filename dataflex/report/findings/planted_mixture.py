"""What mixers lose to the best static mixture of domains whose entropies are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex.evidence.results import CellResult
from dataflex.report.findings.finding import Finding, table
from dataflex.report.forest import Estimated, Forest, forest
from dataflex.report.quantities import decimals_of, half, number, plural, with_interval
from paper_figures.planted_mixture import NOISE, Mixed, studies

NAME = "planted_mixture"


def findings(rung: str, results: Sequence[CellResult]) -> Iterator[Finding]:
    """Regret from the least to the most, and who gave how much to noise."""
    methods = _by_regret(results)
    if len(methods) < 2:
        return
    least, most = methods[0], methods[-1]
    worse = sum(method.interval is not None and method.interval[0] > 0 for method in methods)
    order = " < ".join(f"{method.name} {_short(method)}" for method in methods)
    yield Finding(
        f"{least.name} comes nearest to the best static mixture, with a regret of {_words(least)} nats a "
        f"symbol; {most.name} stays furthest, with {_words(most)}.",
        f"{order}; {plural(len(least.runs), 'seed')}. Worse than the best static mixture: {worse} of "
        f"{len(methods)}.",
        table(rung, NAME),
    )
    shares = sorted((method.mean_of("asked", NOISE), method.name) for method in methods)
    if shares[-1][0] > shares[0][0]:
        (low, modest), (high, lavish) = shares[0], shares[-1]
        yield Finding(
            f"{lavish} spends {high:.0%} of its tokens on noise, {modest} {low:.0%}.".replace("%", " %"),
            "Noise is a domain in which nothing can be learned; means over run and seeds.",
            table(rung, NAME),
        )


def drawing(rung: str, results: Sequence[CellResult]) -> Forest | None:
    """Regret by method, least first; nothing where there is no yardstick."""
    methods = _by_regret(results)
    if not methods:
        return None
    return forest(
        "Regret on planted mixtures, nats a symbol",
        "dot: mean over seeds with its 95 % interval, less is better; zero is the best static mixture",
        table(rung, NAME),
        [Estimated(method.name, _regret(method), method.interval, _short(method), 0.0) for method in methods],
    )


def _by_regret(results: Sequence[CellResult]) -> list[Mixed]:
    if not results:
        return []
    found = [method for study in studies(results) for method in study.methods if method.regrets]
    return sorted(found, key=_regret)


def _regret(method: Mixed) -> float:
    return sum(method.regrets) / len(method.regrets)


def _short(method: Mixed) -> str:
    return number(_regret(method), decimals_of(half(method.interval)))


def _words(method: Mixed) -> str:
    return with_interval(_regret(method), method.interval)
