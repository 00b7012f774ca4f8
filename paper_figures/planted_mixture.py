"""Mixtures of Markov chains: each method's regret to the best static mixture, and what it gave to noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex.evidence.regret import best_by_seed, regret
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.estimate import Interval
from dataflex.evidence.statistics.seeds import mean, of_mean
from paper_figures.layout import METHODS, label, ordered
from paper_figures.models import CONFIDENCE, DATA_HEADER
from paper_figures.sources import ids, shown_id
from paper_figures.table import Table

NOISE = "noise"
STATIC = "static_"
BEST = "Best static mixture"
DOMAINS = ("easy", "middle", "source", "kin", NOISE)
"""Order of the domains: what can be learned, noise last."""


@dataclass(frozen=True)
class Mixed:
    """What the seeds of one method came to.

    Attributes:
        name: model and scale are named where there are several.
        runs: one a seed, in their order.
        regrets: one a run, in nats a symbol; none where no static mixture was trained.
    """

    name: str
    runs: tuple[CellResult, ...]
    regrets: tuple[float, ...]

    @property
    def interval(self) -> Interval | None:
        """Of the mean regret, 95 %; None without several seeds."""
        return of_mean(self.regrets).interval() if self.regrets else None

    def mean_of(self, *path: str) -> float:
        """Mean over the seeds of a number in ``mixture.json``."""
        return mean([_number(run.metrics, path) for run in self.runs])

    @property
    def weighs(self) -> bool:
        """Whether domains counted differently in the loss."""
        return all(run.metrics["weight"] for run in self.runs)


@dataclass(frozen=True)
class Study:
    """The methods of one model and scale, and the yardstick that they are measured by.

    Attributes:
        methods: in the paper's order, without the yardstick.
        static: the mixtures of the yardstick.
        best: the best of them in each seed; None where none was trained.
    """

    methods: tuple[Mixed, ...]
    static: tuple[Mixed, ...]
    best: Mixed | None


def _number(metrics: Mapping[str, Any], path: Sequence[str]) -> float:
    value: Any = metrics
    for name in path:
        value = value[name]
    return float(value)


def loss_of(run: CellResult) -> float:
    """Mean held-out loss of the target domains, in nats a symbol."""
    return float(run.metrics["target_loss"])


def studies(results: Sequence[CellResult]) -> list[Study]:
    """The experiment's results by model and scale.

    Raises:
        UserError: a static mixture was not trained with every seed.
    """
    groups = sorted({result.key[2:] for result in results})
    found = []
    for group in groups:
        suffix = "" if len(groups) == 1 else f", {', '.join(group)}"
        by_method: dict[str, list[CellResult]] = {}
        for result in results:
            if result.key[2:] == group:
                by_method.setdefault(result.key[1], []).append(result)
        fixed = {name: runs for name, runs in by_method.items() if runs[0].metrics["yardstick"]}
        best = (
            best_by_seed({name: {run.seed: loss_of(run) for run in fixed[name]} for name in fixed})
            if fixed
            else {}
        )

        def mixed(
            name: str, runs: Sequence[CellResult], best: Mapping[int, tuple[str, float]] = best
        ) -> Mixed:
            losses = {run.seed: loss_of(run) for run in runs}
            return Mixed(name, tuple(runs), tuple(regret(losses, best).values()) if best else ())

        winners = [run for seed, (name, _) in best.items() for run in fixed[name] if run.seed == seed]
        found.append(
            Study(
                methods=tuple(
                    mixed(label(name) + suffix, by_method[name])
                    for name in ordered(set(by_method) - set(fixed), METHODS)
                ),
                static=tuple(
                    mixed(name.removeprefix(STATIC) + suffix, fixed[name]) for name in sorted(fixed)
                ),
                best=mixed(BEST + suffix, winners) if winners else None,
            )
        )
    return found


def _regret(method: Mixed) -> str:
    if not method.regrets:
        return "-"
    shown = f"{mean(method.regrets):.3f}"
    if method.name.startswith(BEST):
        return "0 (the yardstick)"
    return shown if method.interval is None else "{} [{:.3f}, {:.3f}]".format(shown, *method.interval)


def _noise(method: Mixed) -> list[str]:
    asked = f"{method.mean_of('asked', NOISE):.2f} → {method.mean_of('asked_last', NOISE):.2f}"
    if not method.weighs:
        return [asked, "-"]
    return [asked, f"{method.mean_of('weight', NOISE):.2f} → {method.mean_of('weight_last', NOISE):.2f}"]


def planted_mixture(results: Sequence[CellResult]) -> Table:
    """The table: loss on the target, regret, excess by domain, what noise got, realised against asked."""
    found = studies(results)
    shown = [method for study in found for method in (*study.methods, *([study.best] if study.best else []))]
    domains = ordered(results[0].metrics["entropy"], DOMAINS)
    rows = [
        [
            method.name,
            f"{method.mean_of('target_loss'):.3f}",
            _regret(method),
            *(f"{method.mean_of('excess', name):.3f}" for name in domains),
            *_noise(method),
            f"{max(float(run.metrics['rows_off']) for run in method.runs):.2f}",
            str(len(method.runs)),
        ]
        for method in shown
    ]
    return Table(
        name="planted_mixture",
        caption="Planted mixtures: regret to the best static mixture of domains with known entropies",
        header=[
            *("Method", "Target loss ↓", f"Regret [{CONFIDENCE} interval] ↓"),
            *(f"excess: {name}" for name in domains),
            *("Noise: share", "Noise: weight", "Rows off", "Seeds"),
        ],
        rows=rows,
        notes=[*_what(results), *(note for study in found for note in _yardstick(study))],
        results=[
            ids(method.runs, study.best.runs if study.best else ())
            for study in found
            for method in (*study.methods, *([study.best] if study.best else []))
        ],
        data_header=DATA_HEADER,
        data=[
            [*run.key, run.seed, name, repr(value), source]
            for study in found
            for method in (*study.methods, *study.static)
            for place, run in enumerate(method.runs)
            for source in (shown_id(run),)
            for name, value in sorted(_numbers(run, method.regrets[place : place + 1]).items())
        ],
    )


def _numbers(run: CellResult, regrets: Sequence[float]) -> dict[str, float]:
    """Everything in ``mixture.json``, flat, and the regret."""
    found = {name: run.metrics[name] for name in ("target_excess", "rows_off", "rows_off_worst")}
    if regrets:
        found["regret"] = regrets[0]
    for part in ("excess", "entropy", "asked", "asked_last", "weight", "weight_last"):
        found |= {f"{part}.{name}": value for name, value in run.metrics[part].items()}
    return {**run.numbers(), **found}


def _what(results: Sequence[CellResult]) -> list[str]:
    """How to read the numbers."""
    first = results[0].metrics
    domains = ordered(first["entropy"], DOMAINS)
    entropy = {name: mean([float(run.metrics["entropy"][name]) for run in results]) for name in domains}
    worst = max(float(run.metrics["rows_off"]) for run in results)
    verdict = "within one packed row, in every run" if worst <= 1 else "NOT within one packed row"
    target = ", ".join(ordered(first["target"], DOMAINS))
    return [
        f"Target loss: held-out loss in nats a symbol, the mean of {target}, each counting alike. Noise is "
        "no target: nothing can be learned there.",
        "Excess: a domain's loss less what the chain itself pays for the same text. Entropies, the mean of "
        f"the runs: {', '.join(f'{name} {entropy[name]:.3f}' for name in domains)}.",
        "Noise: its share of the tokens that were asked for, and its share of the sum of the domains' loss "
        "weights where there are such: mean of the run → at its end.",
        "Rows off: the largest distance of a domain's tokens from those asked for, in packed rows, at the "
        f"end of a run: {verdict} (largest: {worst:.2f}).",
    ]


def _yardstick(study: Study) -> list[str]:
    """What regret was measured against, and who has any."""
    if study.best is None:
        return ["No static mixture of the yardstick was trained, so that there is no regret."]
    won = Counter(run.key[1].removeprefix(STATIC) for run in study.best.runs)
    winners = ", ".join(
        f"{name} ({count})" for name, count in sorted(won.items(), key=lambda w: (-w[1], w[0]))
    )
    spread = [mean(method.regrets) for method in study.static]
    notes = [
        f"Regret: target loss less that of the best of {len(study.static)} static mixtures of the same seed. "
        f"Best in how many seeds: {winners}. The static mixtures' own mean regrets: {min(spread):.3f} to "
        f"{max(spread):.3f}. The best is chosen by the very losses that are compared, which favours it."
    ]
    if study.best.interval is None:
        return [*notes, "One seed: no statement about which method is better follows from it."]
    behind = [m.name for m in study.methods if m.interval and m.interval[0] > 0]
    ahead = [m.name for m in study.methods if m.interval and m.interval[1] < 0]
    return [
        *notes,
        f"Intervals are Student's over the seeds. Worse than the yardstick: {', '.join(behind) or 'none'}; "
        f"better: {', '.join(ahead) or 'none'}.",
    ]
