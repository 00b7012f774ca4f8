"""The paper's tables: selection and reweighting, mixtures of domains; and those of the planted truth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from dataflex.evidence.results import CellResult
from dataflex.evidence.tolerance import mean, standard_deviation
from paper_figures.layout import METHODS, domain_label, domains_in_order, label, ordered
from paper_figures.planted import planted
from paper_figures.planted_mixture import planted_mixture
from paper_figures.table import Table

CHOICES = 4
Group = tuple[str, str]
"""Model and scale."""


def spread(values: Sequence[float], digits: int, factor: float = 1.0) -> str:
    """``mean`` of one run, ``mean ± sd`` over the seeds of several."""
    centre = f"{mean(values) * factor:.{digits}f}"
    return centre if len(values) < 2 else f"{centre} ± {standard_deviation(values) * factor:.{digits}f}"


def accuracies(runs: Sequence[CellResult]) -> list[float]:
    """Accuracy of each run."""
    return [float(run.metrics["mmlu"]["acc"]) for run in runs]


def chance_deviation(n: int) -> float:
    """Standard deviation of the accuracy of a guesser over ``n`` questions of four options."""
    return math.sqrt((1 / CHOICES) * (1 - 1 / CHOICES) / n)


def at_chance(runs: Sequence[CellResult]) -> bool:
    """Whether the mean accuracy lies within two standard deviations of one guesser's.

    The seeds answer the same questions, so that more seeds do not make the interval narrower.
    """
    n = int(runs[0].metrics["mmlu"]["n"])
    return abs(mean(accuracies(runs)) - 1 / CHOICES) <= 2 * chance_deviation(n)


def chance_note(groups: Sequence[Sequence[CellResult]]) -> str:
    """What accuracy means here: which rows cannot be told from guessing."""
    n = int(groups[0][0].metrics["mmlu"]["n"])
    deviation = chance_deviation(n)
    low, high = (100 * (1 / CHOICES + sign * 2 * deviation) for sign in (-1, 1))
    guessing = sum(at_chance(runs) for runs in groups)
    if guessing:
        verdict = f"{guessing} of {len(groups)} rows (marked ≈) lie within two such deviations ({low:.1f} to "
        verdict += f"{high:.1f} %): their accuracy cannot be told from chance."
    else:
        verdict = f"Every row lies outside of two such deviations ({low:.1f} to {high:.1f} %)."
    return (
        f"Guessing on these {n} questions gives 25.0 ± {100 * deviation:.1f} % accuracy. {verdict} "
        "The answer loss, -log p(right option) in nats (guessing: 1.386), is the finer measure."
    )


def seeds_note(groups: Sequence[Sequence[CellResult]]) -> str:
    """Over how many seeds the numbers are taken."""
    counts = sorted({len(runs) for runs in groups})
    if counts == [1]:
        return f"One seed ({groups[0][0].seed}): no statement about which method is better follows from it."
    shown = " to ".join(str(count) for count in ([counts[0], counts[-1]] if len(counts) > 1 else counts))
    return f"Mean ± standard deviation over {shown} seeds."


def groups_of(results: Sequence[CellResult]) -> dict[Group, dict[str, list[CellResult]]]:
    """Runs by (model, scale), then by method, seeds in order."""
    found: dict[Group, dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        _, method, model, scale = result.key
        found[model, scale][method].append(result)
    return {group: found[group] for group in sorted(found)}


def title(name: str, group: Group, groups: int) -> str:
    """The first cell of a row; the model and scale are named where a table holds several."""
    return name if groups == 1 else f"{name}, {group[0]}, {group[1]}"


def data_rows(
    results: Sequence[CellResult], numbers: Callable[[CellResult], dict[str, float]]
) -> list[list[object]]:
    """Unrounded numbers, one a line."""
    return [
        [*run.key, run.seed, name, repr(value)]
        for run in results
        for name, value in sorted(numbers(run).items())
    ]


DATA_HEADER = ("experiment", "method", "model", "scale", "seed", "metric", "value")


def domain_columns(results: Sequence[CellResult]) -> list[str]:
    """``all`` and then the domains that every run was evaluated on."""
    shared = set.intersection(*(set(result.metrics["perplexity"]) for result in results))
    return ["all", *domains_in_order(shared)]


def bits(runs: Sequence[CellResult], domain: str) -> list[float]:
    """Bits per byte on one domain, of each run."""
    return [float(run.metrics["perplexity"][domain]["bits_per_byte"]) for run in runs]


def head(domain: str) -> str:
    """Column head of a domain."""
    return "ALL" if domain == "all" else domain_label(domain)


def mixture(results: Sequence[CellResult]) -> Table:
    """The paper's mixture table: MMLU, perplexity of all and of each domain; below it bits per byte.

    ``results`` are the runs of the mixture experiment.
    """
    domains = domain_columns(results)
    groups = groups_of(results)
    rows, everything = [], []
    for group, methods in groups.items():
        for method in ordered(methods, METHODS):
            runs = methods[method]
            everything.append(runs)
            name = title(label(method), group, len(groups))
            accuracy = spread(accuracies(runs), 1, 100) + (" ≈" if at_chance(runs) else "")
            loss = spread([float(run.metrics["mmlu"]["answer_nll"]) for run in runs], 3)
            perplexities = [
                spread([float(run.metrics["perplexity"][d]["byte"]) for run in runs], 3) for d in domains
            ]
            rows.append((f"{name}: PPL", [accuracy, loss, *perplexities]))
            rows.append(
                (f"{name}: bits/byte", ["", "", *(spread(bits(runs, domain), 3) for domain in domains)])
            )
    first = [[name, *cells] for name, cells in rows if name.endswith("PPL")]
    second = [[name, *cells] for name, cells in rows if name.endswith("byte")]
    return Table(
        name="mixture",
        caption="Mixtures of domains: MMLU-format questions and held-out perplexity",
        header=["Method", "MMLU acc (%) ↑", "Answer loss ↓", *(f"{head(domain)} ↓" for domain in domains)],
        rows=first + second,
        notes=[
            chance_note(everything),
            "PPL is byte perplexity, 2 to the power of bits per byte: it does not depend on the tokenizer. "
            "ALL pools the bytes of all held-out documents. Token and word perplexities are in the CSV.",
            seeds_note(everything),
        ],
        data_header=DATA_HEADER,
        data=data_rows(results, _mixture_numbers),
    )


def _mixture_numbers(run: CellResult) -> dict[str, float]:
    numbers = run.numbers()
    for domain, values in run.metrics["perplexity"].items():
        for unit in ("token", "word", "byte"):
            numbers[f"{unit}_perplexity.{domain}"] = float(values[unit])
    return numbers


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
            accuracy = spread(accuracies(runs), 1, 100) + (" ≈" if at_chance(runs) else "")
            loss = spread([float(run.metrics["mmlu"]["answer_nll"]) for run in runs], 4)
            rows.append(
                [
                    title(name, group, len(groups)),
                    accuracy,
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
            "The domains' columns are bits per byte of held-out pretraining text: what tuning costs there.",
            seeds_note(everything),
        ],
        data_header=DATA_HEADER,
        data=data_rows(results, CellResult.numbers),
    )


def build(results: Sequence[CellResult]) -> list[Table]:
    """All tables that these results can fill."""
    by_experiment: dict[str, list[CellResult]] = defaultdict(list)
    for result in results:
        by_experiment[result.key[0]].append(result)
    tables = []
    tuned = by_experiment["selection"] + by_experiment["weighting"]
    if tuned:
        tables.append(selection(tuned, starts_of(tuned, results)))
    if by_experiment["mixture"]:
        tables.append(mixture(by_experiment["mixture"]))
    if by_experiment["planted"]:
        tables.append(planted(by_experiment["planted"]))
    if by_experiment["planted_mixture"]:
        tables.append(planted_mixture(by_experiment["planted_mixture"]))
    return tables


def starts_of(tuned: Sequence[CellResult], results: Sequence[CellResult]) -> list[CellResult]:
    """The runs among ``results`` whose models the tuned runs started from."""
    places = {tuple(sorted(start.items())) for run in tuned if (start := run.run.get("start"))}
    return [result for result in results if tuple(sorted(result.cell.items())) in places]
