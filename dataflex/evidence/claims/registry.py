"""The claims of a paper, read from the file that they are registered in."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from dataflex.errors import UserError
from dataflex.evidence.claims import gauges
from dataflex.evidence.claims.published import Published, read
from dataflex.evidence.claims.rungs import Places, Rung

Kind = Literal["value", "difference", "ordering"]
FILE = Path("reproductions/claims.yaml")
SCHEMA = 1


@dataclass(frozen=True)
class Claim:
    """One thing that the paper says and that results can speak to.

    Attributes:
        id: stable name: kind, table, model, scale, methods and metric; of an ordering, kind and name.
        kind: a cell of a table, a difference of two cells, or an ordering of several.
        statement: in words, one sentence.
        table: of the paper.
        methods: the paper's names: of a value one, of a difference two (minuend first), of an ordering all,
            best first.
        metric: the paper's name.
        unit: of ``published`` and ``margin``, for example ``points`` or ``bits``.
        published: the number or difference; None of an ordering.
        margin: half width of what counts as the same number, in ``unit``; None of an ordering.
        source: where the number stands.
        confidence: in the source.
        registered: last day on which claims or margins were written down or changed, ISO.
        model: the paper's name.
        scale: the paper's name.
        gauge: the kind of number.
        higher_is_better: None where neither is.
        cells: the published numbers that it is about, in the order of ``methods``.
        levels: of ``cells``, on the scale on which differences are taken (``gauges.level``).
        tiers: of an ordering, its methods in groups, best first: nothing is claimed inside a group.
        least: smallest difference of interest, on the scale on which differences are taken: what runs have to
            be able to see where the published size can't be compared; None of a value.
    """

    id: str
    kind: Kind
    statement: str
    table: str
    methods: tuple[str, ...]
    metric: str
    unit: str
    published: float | None
    margin: float | None
    source: str
    confidence: str
    registered: str
    model: str = ""
    scale: str = ""
    gauge: gauges.Gauge = "accuracy"
    higher_is_better: bool | None = True
    cells: tuple[Published, ...] = ()
    levels: tuple[float, ...] = ()
    tiers: tuple[tuple[str, ...], ...] = ()
    least: float | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Parts of the published numbers' protocols that nobody states."""
        return tuple(dict.fromkeys(part for cell in self.cells for part in cell.protocol.unknown))


@dataclass(frozen=True)
class Register:
    """All claims, and the rungs that they are tested on."""

    claims: tuple[Claim, ...]
    rungs: Mapping[str, Rung]
    least_seeds: int
    """Fewer give no verdict but underpowered."""


def load(file: Path = FILE) -> Register:
    """Read the register.

    Raises:
        UserError: it is missing or malformed, or names a number that was not published.
    """
    try:
        content: Any = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise UserError(f"{file} with the claims is not there: start at the repository's root") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {error}") from None
    try:
        if content["schema"] != SCHEMA:
            raise UserError(f"{file} has schema {content['schema']}, expected {SCHEMA}")
        published = list(read(Path(content["published"])).values())
        register = Register(
            tuple(_claims(content, published)),
            {name: _rung(name, rung) for name, rung in content["rungs"].items()},
            int(content["least_seeds"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is malformed: {error!r}") from None
    ids = [claim.id for claim in register.claims]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise UserError(f"{file} registers {sorted(twice)[0]} twice")
    return register


def _claims(content: Mapping[str, Any], published: list[Published]) -> Iterator[Claim]:
    day = str(content["registered"])
    for name, table in content["tables"].items():
        own = [one for one in published if one.place[0] == name]
        chosen = table.get("methods")
        for one in own:
            if chosen is None or one.place[3] in chosen:
                yield _value(one, _metric(table, one.place[4]), day)
        for one in own:
            for baseline in table["baselines"]:
                metric = _metric(table, one.place[4])
                other = _at(own, one.place[1], one.place[2], baseline, one.place[4])
                # A baseline is not compared with those that are named after it: that difference is told once.
                known = table["baselines"]
                if other is None or other is one or one.place[3] in known[: known.index(baseline) + 1]:
                    continue
                yield _difference(one, other, metric, day)
    for entry in content["orderings"]:
        yield _ordering(entry, content["tables"][entry["table"]], published, day)


def _metric(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for pattern, metric in table["metrics"].items():
        if fnmatch.fnmatchcase(name, pattern):
            return dict(metric)
    raise KeyError(f"no metric of the table fits {name!r}")


def _at(cells: list[Published], model: str, scale: str, method: str, metric: str) -> Published | None:
    return next((cell for cell in cells if cell.place[1:] == (model, scale, method, metric)), None)


def _better(metric: Mapping[str, Any]) -> bool | None:
    return {"higher": True, "lower": False, "neither": None}[metric["better"]]


def _value(one: Published, metric: Mapping[str, Any], day: str) -> Claim:
    table, model, scale, method, name = one.place
    unit = gauges.VALUE_UNITS[metric["gauge"]]
    number = gauges.value(one.value, metric["published_in"])
    return Claim(
        id=f"value/{one.id}",
        kind="value",
        statement=f"{method}, {model}, {scale}: {name} is {number:g} {unit}.",
        table=table,
        methods=(method,),
        metric=name,
        unit=unit,
        published=number,
        margin=float(metric["value_margin"]),
        source=one.source,
        confidence=one.confidence,
        registered=day,
        model=model,
        scale=scale,
        gauge=metric["gauge"],
        higher_is_better=_better(metric),
        cells=(one,),
    )


def _difference(one: Published, base: Published, metric: Mapping[str, Any], day: str) -> Claim:
    table, model, scale, method, name = one.place
    gauge = metric["gauge"]
    levels = tuple(gauges.level(cell.value, gauge, metric["published_in"]) for cell in (one, base))
    size = levels[0] - levels[1]
    unit, other = gauges.DIFFERENCE_UNITS[gauge], base.place[3]
    word = "equals" if size == 0 else "is above" if size > 0 else "is below"
    return Claim(
        id=f"difference/{table}/{model}/{scale}/{method} - {other}/{name}",
        kind="difference",
        statement=f"{model}, {scale}: {name} of {method} {word} that of {other}, by {abs(size):.3g} {unit}.",
        table=table,
        methods=(method, other),
        metric=name,
        unit=unit,
        published=size,
        margin=float(metric["difference_margin"]),
        source=" ".join(dict.fromkeys(f"{one.source} {base.source}".split())),
        confidence=max(one.confidence, base.confidence, key=("high", "medium", "low").index),
        registered=day,
        model=model,
        scale=scale,
        gauge=gauge,
        higher_is_better=_better(metric),
        cells=(one, base),
        levels=levels,
        least=float(metric["smallest_effect"]),
    )


def _ordering(
    entry: Mapping[str, Any], table: Mapping[str, Any], published: list[Published], day: str
) -> Claim:
    model, scale, name = entry["model"], entry["scale"], entry["metric"]
    own = [one for one in published if one.place[0] == entry["table"]]
    methods = [method for tier in entry["tiers"] for method in tier]
    cells = [_at(own, model, scale, method, name) for method in methods]
    if None in cells:
        raise UserError(f"ordering {entry['id']} names a method without a published number")
    found = [cell for cell in cells if cell is not None]
    metric = _metric(table, name)
    levels = tuple(gauges.level(cell.value, metric["gauge"], metric["published_in"]) for cell in found)
    return Claim(
        id=f"ordering/{entry['id']}",
        kind="ordering",
        statement=str(entry["statement"]),
        table=entry["table"],
        methods=tuple(methods),
        metric=name,
        unit=gauges.DIFFERENCE_UNITS[metric["gauge"]],
        published=None,
        margin=None,
        source=" ".join(dict.fromkeys(" ".join(cell.source for cell in found).split())),
        confidence=max((cell.confidence for cell in found), key=("high", "medium", "low").index),
        registered=day,
        model=model,
        scale=scale,
        gauge=metric["gauge"],
        higher_is_better=_better(metric),
        cells=tuple(found),
        levels=levels,
        tiers=tuple(map(tuple, entry["tiers"])),
        least=float(metric["smallest_effect"]),
    )


def _rung(name: str, content: Mapping[str, Any]) -> Rung:
    tables = {
        table: Places(
            dict(places["models"]),
            dict(places["scales"]),
            dict(places["methods"]),
            dict(places.get("domains", {})),
        )
        for table, places in content["tables"].items()
    }
    return Rung(name, bool(content["same"]), frozenset(content["seeds"]), tables)
