"""Judging every registered claim by the results of a rung."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex.evidence.claims import measure, verdicts
from dataflex.evidence.claims.comparisons import Comparison, comparison, family
from dataflex.evidence.claims.comparisons import pairs as pairs_of
from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.claims.measure import Asked, Measured
from dataflex.evidence.claims.registry import FILE, Claim, Register, load
from dataflex.evidence.claims.rungs import Places, Rung
from dataflex.evidence.claims.verdicts import Effect, Told
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.statistics.family import holm
from dataflex.evidence.store.find import rungs
from dataflex.evidence.store.identity import result_id

TIMES = ("seconds", "reduction")
TIMED = (
    "times and their reductions stand beside the published ones in the tables of the benchmarks (`snakemake "
    "efficiency`, results/efficiency): the register does not judge them"
)
NO_JOB = "no job of the workflow fills this cell"


@dataclass(frozen=True)
class Pair:
    """Two methods of a claim.

    Attributes:
        compared: which comparison this is, whichever claims ask for it.
        measured: our difference.
        published: the paper's.
        flaw: why ours is no evidence; None where it is.
    """

    compared: Comparison
    measured: Measured
    published: float
    flaw: str | None


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
            judged[claim.id] = _not_run(claim, rung, TIMED if claim.gauge in TIMES else NO_JOB)
        elif claim.kind == "value":
            judged[claim.id] = _of_value(register, rung, claim, places, counted)
        else:
            found = _pairs(rung, claim, places, counted)
            if isinstance(found, str):
                judged[claim.id] = _not_run(claim, rung, found)
            else:
                pairs[claim.table][claim.id] = found
    for table, own in pairs.items():
        judged |= _of_family(register, rung, table, own)
    return [judged[claim.id] for claim in register.claims if claim.id in judged]


def _of_family(
    register: Register, rung: Rung, table: str, pairs: Mapping[str, Sequence[Pair]]
) -> dict[str, Judgement]:
    """Judge the differences and orderings of one table: their tests are adjusted for one another."""
    # What was not run, or is no evidence, counts with p = 1: a family that shrank with what is left out of a
    # grid would make the rest look surer.
    tests = dict.fromkeys(sorted(family(register.claims, table, rung.tables[table])), 1.0)
    for pair in itertools.chain.from_iterable(pairs.values()):
        if pair.flaw is None:
            tests[pair.compared] = pair.measured.estimate.p_value()
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    judged = {}
    for claim in register.claims:
        if claim.id not in pairs:
            continue
        # An effect in an unknown unit has a sign and no size.
        sizes = rung.same and not claim.unknown
        effects = [
            Effect(
                pair.measured.estimate,
                pair.measured.prediction,
                pair.published,
                adjusted[pair.compared],
                abs(pair.published) if sizes or claim.least is None else claim.least,
                sizes,
                pair.flaw,
                len(tests),
            )
            for pair in pairs[claim.id]
        ]
        measured = [pair.measured for pair in pairs[claim.id]]
        known = all(effect.estimate.known for effect in effects)
        runs = {run.folder: run for one in measured for run in one.runs}
        seeds = tuple(sorted(set.intersection(*(set(one.seeds) for one in measured))))
        if claim.kind == "ordering":
            told, one = verdicts.of_ordering(effects), None
        else:
            (one,) = effects
            told = verdicts.of_difference(one, claim.margin or 0.0)
        judged[claim.id] = Judgement(
            claim,
            rung.name,
            *_borne(told, claim, seeds, [*runs.values()], register, rung),
            ours=one.estimate.value if one else None,
            interval=one.estimate.interval() if one else None,
            detectable=one.detectable if one else None,
            p_value=max(effect.p_value for effect in effects) if known else None,
            seeds=seeds,
            questions=measured[0].questions,
            results=tuple(map(result_id, runs.values())),
            elsewhere=not rung.same,
        )
    return judged


def _borne(
    told: Told,
    claim: Claim,
    seeds: Sequence[int],
    runs: Sequence[CellResult],
    register: Register,
    rung: Rung,
) -> Told:
    """The verdict, or why such seeds or such old runs can't bear it."""
    verdict, reason = told
    if verdict not in ("reproduced", "consistent", "contradicted"):
        return told
    if len(seeds) < register.least_seeds:
        return "underpowered", f"{len(seeds)} seeds, where the register asks for {register.least_seeds}"
    if missing := sorted(rung.seeds - set(seeds)):
        return "underpowered", f"of the registered seeds {', '.join(map(str, missing))} are missing"
    if verdict == "consistent":
        return told
    # A margin that was chosen when the result was there decides nothing. The day itself is too early: nobody
    # knows the hour.
    early = sum(_started(run) <= claim.registered for run in runs)
    if early:
        return (
            "underpowered",
            f"would be {verdict}, but {early} of {len(runs)} runs did not start after {claim.registered}, "
            "when claims and margins were registered",
        )
    return (verdict, reason) if rung.same else (verdict, f"{reason}; on this rung, of other models and texts")


def _started(run: CellResult) -> str:
    """Day on which a run was first started, ISO and UTC; empty, which is before any day, if nobody knows."""
    stretches = run.run["manifest"].get("stretches") or [{}]
    return str(stretches[0].get("started", ""))[:10]


def _of_value(
    register: Register, rung: Rung, claim: Claim, places: Places, results: Sequence[CellResult]
) -> Judgement:
    runs = places.runs(results, claim.model, claim.scale, claim.methods[0])
    if not runs:
        return _not_run(claim, rung, f"{claim.methods[0]} was not run")
    found = measure.value(runs, claim.gauge, places.domains.get(claim.metric), _asked(claim, rung))
    if isinstance(found, str):
        return _not_run(claim, rung, found)
    told = verdicts.of_value(
        found.estimate,
        found.prediction,
        claim.published or 0.0,
        claim.margin or 0.0,
        claim.unknown,
        _flaw(claim, found, [runs]),
    )
    return Judgement(
        claim,
        rung.name,
        *_borne(told, claim, found.seeds, runs, register, rung),
        ours=found.estimate.value,
        interval=found.estimate.interval(),
        detectable=found.estimate.detectable(),
        seeds=found.seeds,
        questions=found.questions,
        results=tuple(map(result_id, found.runs)),
        elsewhere=not rung.same,
    )


def _pairs(rung: Rung, claim: Claim, places: Places, results: Sequence[CellResult]) -> list[Pair] | str:
    """A claim's pairs of methods, of an ordering those of different tiers; or what is missing."""
    runs = {m: places.runs(results, claim.model, claim.scale, m) for m in claim.methods}
    missing = [method for method, own in runs.items() if not own]
    if missing:
        return f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not run"
    if (unlike := measure.unlike([run for own in runs.values() for run in own])) is not None:
        return unlike
    level = dict(zip(claim.methods, claim.levels, strict=True))
    domain = places.domains.get(claim.metric)
    found = []
    for one, other in pairs_of(claim):
        compared = comparison(claim, places, one, other)
        if compared is None:
            return f"the rung has no {claim.metric}"
        measured = measure.difference(runs[one], runs[other], claim.gauge, domain, _asked(claim, rung))
        if isinstance(measured, str):
            return f"{one}, {other}: {measured}"
        paired = [[run for run in runs[m] if run.seed in measured.seeds] for m in (one, other)]
        found.append(Pair(compared, measured, level[one] - level[other], _flaw(claim, measured, paired)))
    return found


def _flaw(claim: Claim, measured: Measured, sides: Sequence[Sequence[CellResult]]) -> str | None:
    """Why runs are no evidence on a claim, whatever comes out: each side guesses, or seeds don't differ."""
    if not measured.estimate.known:
        return verdicts.ONE_SEED
    if claim.gauge == "accuracy" and all(map(measure.at_chance, sides)):
        return verdicts.CHANCE
    if measured.without_spread:
        return verdicts.NO_SPREAD
    return verdicts.REPEATED if measured.repeated else None


def _asked(claim: Claim, rung: Rung) -> Asked:
    """The questions behind the published numbers of a claim: known only where all of them state the same.

    Where models are others, a sign is asked for on questions of the kind, whichever they are.
    """
    if not rung.same:
        return Asked()
    sets = {cell.protocol.question_set for cell in claim.cells}
    numbers = {cell.questions for cell in claim.cells}
    return Asked(
        sets.pop() if len(sets) == 1 else None,
        numbers.pop() if len(numbers) == 1 else None,
    )


def _not_run(claim: Claim, rung: Rung, reason: str) -> Judgement:
    return Judgement(claim, rung.name, "not-run", reason, elsewhere=not rung.same)
