"""Judging every registered claim by the results of a rung."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex.evidence.claims import measure, verdicts
from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.claims.measure import Measured
from dataflex.evidence.claims.registry import FILE, Claim, Register, load
from dataflex.evidence.claims.rungs import Places, Rung
from dataflex.evidence.claims.verdicts import Effect, Told
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.prediction import further_run
from dataflex.evidence.store.find import rungs
from dataflex.evidence.store.identity import result_id


@dataclass(frozen=True)
class Pair:
    """Two methods of a claim.

    Attributes:
        compared: which comparison this is, whichever claims ask for it.
        measured: our difference.
        published: the paper's.
        at_chance: whether both sides answer as luck would have it.
    """

    compared: tuple[str, ...]
    measured: Measured
    published: float
    at_chance: bool


def judge(results: Mapping[str, Sequence[CellResult]], file: Path = FILE) -> list[Judgement]:
    """Judge all claims on all rungs that they are registered for.

    A claim that a rung has no place for (its table is about other experiments) is judged on the others
    alone; where nothing was run it is ``not-run``.

    Args:
        results: by rung.
        file: the register.

    Raises:
        UserError: the register is malformed.
    """
    register = load(file)
    return [
        judgement
        for name, rung in register.rungs.items()
        for judgement in judge_rung(register, rung, results.get(name, ()))
    ]


def judge_store(store: Path, file: Path = FILE) -> list[Judgement]:
    """Judge all claims by the reviewed results.

    Raises:
        UserError: claims or results are malformed.
    """
    return judge({folder.name: read_results(folder) for folder in rungs(store)}, file)


def judge_rung(register: Register, rung: Rung, results: Sequence[CellResult]) -> list[Judgement]:
    """Judge the claims that a rung can speak to, by its results of the registered seeds.

    A rung whose models and data are the paper's speaks to all claims; another one to differences and
    orderings, whose signs it can show.
    """
    counted = [result for result in results if result.seed in rung.seeds]
    judged = {}
    pairs: dict[str, dict[str, list[Pair]]] = defaultdict(dict)
    for claim in register.claims:
        places = rung.tables.get(claim.table)
        if not rung.same and (places is None or claim.kind == "value"):
            continue
        if places is None:
            judged[claim.id] = _not_run(claim, rung, "no job of the workflow fills this cell")
        elif claim.kind == "value":
            judged[claim.id] = _of_value(register, rung, claim, places, counted)
        else:
            found = _pairs(claim, places, counted)
            if isinstance(found, str):
                judged[claim.id] = _not_run(claim, rung, found)
            else:
                pairs[claim.table][claim.id] = found
    for table in pairs.values():
        judged |= _of_family(register, rung, table)
    return [judged[claim.id] for claim in register.claims if claim.id in judged]


def _of_family(register: Register, rung: Rung, table: Mapping[str, Sequence[Pair]]) -> dict[str, Judgement]:
    """Judge the differences and orderings of one table: their tests are adjusted for one another."""
    # Claims about two models are about the same comparison on a rung that has one: it counts once.
    tests = {pair.compared: pair.measured.estimate.p_value() for own in table.values() for pair in own}
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    judged = {}
    for claim in register.claims:
        if claim.id not in table:
            continue
        pairs = table[claim.id]
        effects = [
            Effect(
                pair.measured.estimate, pair.published, adjusted[pair.compared], pair.at_chance, len(tests)
            )
            for pair in pairs
        ]
        known = all(effect.estimate.known for effect in effects)
        runs = {run.folder: run for pair in pairs for run in pair.measured.runs}
        seeds = tuple(sorted(set.intersection(*(set(pair.measured.seeds) for pair in pairs))))
        if claim.kind == "ordering":
            told, one = verdicts.of_ordering(effects), None
        else:
            (one,) = effects
            # An effect in an unknown unit has a sign and no size.
            same = rung.same and not claim.unknown
            told = verdicts.of_difference(one, claim.margin or 0.0, same=same)
        judged[claim.id] = Judgement(
            claim,
            rung.name,
            *_with_seeds(told, seeds, register, rung),
            ours=one.estimate.value if one else None,
            interval=one.estimate.interval() if one else None,
            detectable=one.detectable if one else None,
            p_value=max(effect.p_value for effect in effects) if known else None,
            seeds=seeds,
            questions=pairs[0].measured.questions,
            results=tuple(map(result_id, runs.values())),
        )
    return judged


def _with_seeds(told: Told, seeds: Sequence[int], register: Register, rung: Rung) -> Told:
    """The verdict, or why so few or so chosen seeds can't bear it."""
    if told[0] not in ("reproduced", "consistent", "contradicted"):
        return told
    if len(seeds) < register.least_seeds:
        return "underpowered", f"{len(seeds)} seeds, where the register asks for {register.least_seeds}"
    if missing := sorted(rung.seeds - set(seeds)):
        return "underpowered", f"of the registered seeds {', '.join(map(str, missing))} are missing"
    return told


def _of_value(
    register: Register, rung: Rung, claim: Claim, places: Places, results: Sequence[CellResult]
) -> Judgement:
    runs = places.runs(results, claim.model, claim.scale, claim.methods[0])
    if not runs:
        return _not_run(claim, rung, f"{claim.methods[0]} was not run")
    found = measure.value(runs, claim.gauge, places.domains.get(claim.metric))
    if found is None or claim.published is None:
        return _not_run(claim, rung, f"the results have no {claim.metric}")
    interval = further_run(found.by_seed).interval()
    predicted = None if interval is None else interval[0] <= claim.published <= interval[1]
    told = verdicts.of_value(found.estimate, claim.published, claim.margin or 0.0, claim.unknown, predicted)
    return Judgement(
        claim,
        rung.name,
        *_with_seeds(told, found.seeds, register, rung),
        ours=found.estimate.value,
        interval=found.estimate.interval(),
        detectable=found.estimate.detectable(),
        seeds=found.seeds,
        questions=found.questions,
        results=tuple(map(result_id, found.runs)),
    )


def _pairs(claim: Claim, places: Places, results: Sequence[CellResult]) -> list[Pair] | str:
    """A claim's pairs of methods, of an ordering those of different tiers; or what is missing."""
    runs = {m: places.runs(results, claim.model, claim.scale, m) for m in claim.methods}
    missing = [method for method, own in runs.items() if not own]
    if missing:
        return f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not run"
    tier = {method: place for place, own in enumerate(claim.tiers) for method in own}
    level = dict(zip(claim.methods, claim.levels, strict=True))
    domain = places.domains.get(claim.metric)
    found = []
    for one, other in itertools.combinations(claim.methods, 2):
        if tier and tier[one] == tier[other]:
            continue
        measured = measure.difference(runs[one], runs[other], claim.gauge, domain)
        if isinstance(measured, str):
            return f"{one}, {other}: {measured}"
        paired = [[run for run in runs[m] if run.seed in measured.seeds] for m in (one, other)]
        chance = claim.gauge == "accuracy" and all(map(measure.at_chance, paired))
        sides = sorted("/".join(runs[m][0].key) for m in (one, other))
        compared = (*sides, claim.gauge, domain or "")
        found.append(Pair(compared, measured, level[one] - level[other], chance))
    return found


def _not_run(claim: Claim, rung: Rung, reason: str) -> Judgement:
    return Judgement(claim, rung.name, "not-run", reason)
