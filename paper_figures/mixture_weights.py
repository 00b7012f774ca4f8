"""What share of the tokens each domain was given: by nature, as learned, as a method ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataflex.evidence import shares
from dataflex.evidence.results import SHARES, CellResult
from paper_figures.layout import (
    METHODS,
    PAPER_DOMAINS,
    SLIMPAJAMA,
    domain_label,
    domains_in_order,
    label,
    ordered,
)
from paper_figures.models import DATA_HEADER, data_rows, groups_of, seeds_note, spread, title
from paper_figures.published import published
from paper_figures.sources import ids
from paper_figures.table import Table

LEARNED, THROUGHOUT, MEAN, END = "learned", "asked for", "mean of the run", "at its end"
STEADY = 5e-4
"""Shares that move less over a run were asked for throughout: half of the last digit that is shown."""
SHORT = {"CommonCrawl": "CC", "StackExchange": "SE", "Wikipedia": "Wiki"}
"""Domains whose names in the paper's numbers are not its column heads."""
PAPER_ROWS = {"natural/default": "natural", "DoReMi learned": "DoReMi, learned"}
Shares = Mapping[str, float]
"""By domain; they add up to one."""


def given(run: CellResult) -> dict[str, Shares]:
    """What a run asked for, over all of it and at its end, and what it learned; empty if it mixed nothing.

    The end is the last stretch between two logged steps.
    """
    stretches = shares.read(run.folder / SHARES)
    if not stretches:
        return {}
    found = {MEAN: _shares(stretches), END: _shares([s for s in stretches if s.step == stretches[-1].step])}
    learned = run.run["manifest"].get("learned_proportions")
    return found | ({LEARNED: learned} if learned else {})


def _shares(stretches: Sequence[shares.Stretch]) -> Shares:
    total = sum(stretch.asked for stretch in stretches)
    found: dict[str, float] = {}
    for stretch in stretches:
        found[stretch.domain] = found.get(stretch.domain, 0.0) + stretch.asked / total
    return found


def mixture_weights(
    results: Sequence[CellResult],
    name: str = "mixture_weights",
    caption: str = "Mixtures of domains: what share of the tokens each domain was given, in %",
) -> Table | None:
    """Make the table of one experiment's runs; None if none of them mixed domains.

    A method that learns proportions for another run has a row for those; any other has one for what it asked
    for, or two where that moved: over the run and at its end.
    """
    mixed = {run.folder: given(run) for run in results}
    runs = [run for run in results if mixed[run.folder]]
    if not runs:
        return None
    domains = domains_in_order(domain for run in runs for domain in mixed[run.folder][MEAN])
    groups = groups_of(runs)
    rows, sources, everything = [], [], []
    for group, methods in groups.items():
        for method in ordered(methods, METHODS):
            own = methods[method]
            found = [mixed[run.folder] for run in own]
            everything.append(own)
            for what in _rows(found):
                part = MEAN if what == THROUGHOUT else what
                cells = [spread([float(one[part].get(d, 0)) for one in found], 1, 100) for d in domains]
                rows.append([f"{title(label(method), group, len(groups))}: {what}", *cells, str(len(own))])
                sources.append(ids(own))
    return Table(
        name=name,
        caption=caption,
        header=["Method", *map(domain_label, domains), "Seeds"],
        rows=[*(_paper(domains) if set(domains) & set(SLIMPAJAMA) else []), *rows],
        notes=[
            f"{LEARNED.capitalize()}: the proportions that the run hands on to another. "
            f"{MEAN.capitalize()} and {END}: shares of the tokens that the mixer asked for; one row where "
            "they are the same.",
            seeds_note(everything),
            *([] if set(domains) & set(SLIMPAJAMA) else [_paper_note()]),
        ],
        data_header=DATA_HEADER,
        data=data_rows(runs, lambda run: _numbers(mixed[run.folder])),
        results=[*([()] * len(PAPER_ROWS) if set(domains) & set(SLIMPAJAMA) else []), *sources],
    )


def _rows(found: Sequence[Mapping[str, Shares]]) -> tuple[str, ...]:
    """Which rows a method gets, by what its runs were given."""
    if all(LEARNED in one for one in found):
        return (LEARNED,)
    moved = max(abs(one[END].get(name, 0) - share) for one in found for name, share in one[MEAN].items())
    return (MEAN, END) if moved > STEADY else (THROUGHOUT,)


def _numbers(parts: Mapping[str, Shares]) -> dict[str, float]:
    keys = {MEAN: "asked", END: "asked_last", LEARNED: LEARNED}
    return {f"{keys[what]}.{name}": share for what, part in parts.items() for name, share in part.items()}


def _published() -> dict[str, dict[str, float]]:
    """The paper's shares in percent, by row and by its column heads."""
    found: dict[str, dict[str, float]] = {name: {} for name in PAPER_ROWS.values()}
    for (_, _, method, domain), value in published("domain_weights").items():
        found[PAPER_ROWS[method]][SHORT.get(domain, domain)] = value
    return found


def _paper(domains: Sequence[str]) -> list[list[str]]:
    return [
        [
            f"Paper: {name}",
            *(
                f"{values[domain_label(d)]:.1f}" if domain_label(d) in values else "not published"
                for d in domains
            ),
            "-",
        ]
        for name, values in _published().items()
    ]


def _paper_note() -> str:
    """The paper's weights where the domains are others than the paper's."""
    told = [
        f"{name} {', '.join(f'{short} {values[short]:g}' for short in PAPER_DOMAINS if short in values)}"
        for name, values in _published().items()
    ]
    return f"The paper, in % of its own domains: {'; '.join(told)} (of DoReMi's no others are published)."
