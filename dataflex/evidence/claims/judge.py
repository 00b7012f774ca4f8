"""Judging every registered claim by the results of a rung."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataflex.evidence.claims import measure, verdicts
from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.claims.measure import Measured
from dataflex.evidence.claims.registry import FILE, Claim, Register, load
from dataflex.evidence.claims.rungs import Places, Rung
from dataflex.evidence.claims.verdicts import Effect
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.statistics.prediction import further_run
from dataflex.evidence.store.find import rungs
from dataflex.evidence.store.identity import result_id

Pair = tuple[Measured, float, bool]
"""Our difference, the published one, and whether both sides answer as a guesser does."""


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
    """Judge the claims that a rung can speak to, by its results.

    A rung whose models and data are the paper's speaks to all claims; another one to differences and
    orderings, whose signs it can show.
    """
    judged = {}
    pairs: dict[str, dict[str, list[Pair]]] = defaultdict(dict)
    for claim in register.claims:
        places = rung.tables.get(claim.table)
        if not rung.same and (places is None or claim.kind == "value"):
            continue
        if places is None:
            judged[claim.id] = _not_run(claim, rung, "no job of the workflow fills this cell")
        elif claim.kind == "value":
            judged[claim.id] = _of_value(claim, rung, places, results)
        else:
            found = _pairs(claim, places, results)
            if isinstance(found, str):
                judged[claim.id] = _not_run(claim, rung, found)
            else:
                pairs[claim.table][claim.id] = found
    for table in pairs.values():
        _judge_family(register, rung, table, judged)
    return [judged[claim.id] for claim in register.claims if claim.id in judged]


def _judge_family(
    register: Register, rung: Rung, table: dict[str, list[Pair]], judged: dict[str, Judgement]
) -> None:
    """Judge the differences and orderings of one table: their p-values are adjusted for one another."""
    # Claims about two models are about the same comparison on a rung that has one: it counts once.
    tests = {_comparison(pair): pair[0].estimate.p_value() for own in table.values() for pair in own}
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    for claim in register.claims:
        if claim.id not in table:
            continue
        effects = [
            Effect(pair[0].estimate, pair[1], adjusted[_comparison(pair)], pair[2])
            for pair in table[claim.id]
        ]
        first = table[claim.id][0][0]
        if claim.kind == "ordering":
            verdict, reason = verdicts.of_ordering(effects)
            runs = {id(run): run for measured, _, _ in table[claim.id] for run in measured.runs}
            judged[claim.id] = Judgement(
                claim,
                rung.name,
                verdict,
                reason,
                p_value=max(effect.p_value for effect in effects) if first.estimate.known else None,
                seeds=first.seeds,
                questions=first.questions,
                results=tuple(map(result_id, runs.values())),
            )
            continue
        effect = effects[0]
        verdict, reason = verdicts.of_difference(effect, claim.margin or 0.0, same=rung.same)
        judged[claim.id] = Judgement(
            claim,
            rung.name,
            verdict,
            reason,
            ours=effect.estimate.value,
            interval=effect.estimate.interval(),
            detectable=effect.estimate.detectable(),
            p_value=effect.p_value if effect.estimate.known else None,
            seeds=first.seeds,
            questions=first.questions,
            results=tuple(map(result_id, first.runs)),
        )


def _comparison(pair: Pair) -> tuple[object, ...]:
    """What a pair compares, whichever of its sides comes first."""
    measured = pair[0]
    sides = sorted(str(run.folder) for run in measured.runs)
    return (*sides, measured.questions, abs(measured.estimate.value))


def _of_value(claim: Claim, rung: Rung, places: Places, results: Sequence[CellResult]) -> Judgement:
    runs = places.runs(results, claim.model, claim.scale, claim.methods[0])
    if not runs:
        return _not_run(claim, rung, f"{claim.methods[0]} was not run")
    found = measure.value(runs, claim.gauge, places.domains.get(claim.metric))
    if found is None or claim.published is None:
        return _not_run(claim, rung, f"the results have no {claim.metric}")
    seen = further_run(found.by_seed)
    interval = seen.interval()
    predicted = None if interval is None else interval[0] <= claim.published <= interval[1]
    verdict, reason = verdicts.of_value(
        found.estimate, claim.published, claim.margin or 0.0, claim.unknown, predicted
    )
    return Judgement(
        claim,
        rung.name,
        verdict,
        reason,
        ours=found.estimate.value,
        interval=found.estimate.interval(),
        detectable=found.estimate.detectable(),
        seeds=found.seeds,
        questions=found.questions,
        results=tuple(map(result_id, found.runs)),
    )


def _pairs(claim: Claim, places: Places, results: Sequence[CellResult]) -> list[Pair] | str:
    """Our differences for a claim's pairs of methods, beside the published ones; or what is missing."""
    runs = {m: places.runs(results, claim.model, claim.scale, m) for m in claim.methods}
    missing = [method for method, own in runs.items() if not own]
    if missing:
        return f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not run"
    published = (
        dict(zip(claim.methods, itertools.accumulate(claim.effects, initial=0.0), strict=True))
        if claim.kind == "ordering"
        else {}
    )
    found = []
    domain = places.domains.get(claim.metric)
    for one, other in itertools.combinations(claim.methods, 2):
        measured = measure.difference(runs[one], runs[other], claim.gauge, domain)
        if measured is None:
            return f"the results have no {claim.metric}, or no seed in common"
        chance = claim.gauge == "accuracy" and all(measure.at_chance(runs[m]) for m in (one, other))
        size = published[other] - published[one] if published else claim.published or 0.0
        found.append((measured, size, chance))
    return found


def _not_run(claim: Claim, rung: Rung, reason: str) -> Judgement:
    return Judgement(claim, rung.name, "not-run", reason)
