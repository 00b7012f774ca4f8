"""Golden runs of mutants: a process that ``dataflex.golden.starting`` starts, see ``mutations.py``."""

import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dataflex.golden.cases import Case
from dataflex.golden.comparing import Finding, compare
from dataflex.golden.entry import Entry
from dataflex.golden.golden_file import Golden, read_golden
from dataflex.golden.running import run_case
from dataflex.golden.tolerances import tolerances
from dataflex.golden.tracing import modules_of, signals_of
from dataflex.golden.worker import load_libraries, own_output, run_forked

from .mutants import ONE_PER_CENT, Mutation, Point

ORDER = ("number", "count", "stream")


@dataclass(frozen=True)
class Mutant:
    """A golden run in which one expression is changed."""

    case: Case
    point: Point | None
    """None: nothing is changed; what is reached is noted."""
    number: int = 0
    growth: float = ONE_PER_CENT

    @property
    def label(self) -> str:
        return f"{self.case.label}@{self.number}"


class Work:
    """What is asked of this process.

    Args:
        asked: ``materials``, ``results``, ``recorded``, ``cases``, ``jobs``; ``sample``, the number of mutants
            with an effect of each component, or None for all.
    """

    def __init__(self, asked: Mapping[str, object]) -> None:
        self._materials, self._results = Path(str(asked["materials"])), Path(str(asked["results"]))
        self._recorded, self._jobs = Path(str(asked["recorded"])), int(str(asked["jobs"]))
        self._sample = None if asked["sample"] is None else int(str(asked["sample"]))

    def run(self, mutants: list[Mutant]) -> Iterator[tuple[Mutant, Mapping[str, Entry] | str]]:
        """Yield each mutant with its quantities, or the error that it ended in."""
        by_label = {mutant.label: mutant for mutant in mutants}
        tasks = {label: self._task(mutant) for label, mutant in by_label.items()}
        for label in run_forked(tasks, self._results, self._jobs):
            error = self._results / f"{label}.error"
            if error.exists():
                yield by_label[label], error.read_text()
                continue
            content = json.loads((self._results / f"{label}.json").read_text())
            yield by_label[label], {name: Entry.from_dict(record) for name, record in content.items()}

    def _task(self, mutant: Mutant) -> Callable[[], Mapping[str, Entry]]:
        def train() -> Mapping[str, Entry]:
            mutation = Mutation(mutant.point, mutant.growth)
            own = modules_of(mutant.case.component())
            mutation.install([*own, *signals_of(own)])
            quantities = run_case(mutant.case, self._materials)
            if mutant.point is None:
                names = [module.__name__ for module in own]
                reached = [
                    ((ORDER.index(kind), point.module not in names), asdict(point))
                    for point, kind in mutation.reached.items()
                ]
                (self._results / f"{mutant.label}.reached").write_text(json.dumps(reached))
            return quantities

        return train

    def reached(self, mutant: Mutant) -> list[Point]:
        """Return the points that a run without a change has reached.

        Numbers come first, those of the component's own modules before those of signals; otherwise in an order
        of no meaning, but the same each time.
        """
        points = json.loads((self._results / f"{mutant.label}.reached").read_text())
        random.Random(mutant.label).shuffle(points)
        return [Point(**point) for _, point in sorted(points, key=lambda found: found[0])]

    def golden(self, case: Case, plain: Mapping[str, Entry]) -> Golden:
        """Return what is recorded of a component; of one that is new, what it is without a change."""
        known = read_golden(self._recorded, case.label)
        if known is not None:
            return known
        return Golden(case.label, case.params(), {}, [], dict(plain), tolerances(plain, []))

    def verdicts(self, cases: list[Case]) -> Iterator[dict[str, object]]:
        """Yield what became of each mutant, and first of each component's run without any change."""
        goldens: dict[Case, Golden] = {}
        plain: dict[Case, Mapping[str, Entry]] = {}
        waiting: dict[Case, list[Point]] = {}
        for mutant, found in self.run([Mutant(case, None) for case in cases]):
            assert not isinstance(found, str), found
            case = mutant.case
            goldens[case], plain[case] = self.golden(case, found), found
            waiting[case] = self.reached(mutant)
            findings = compare(goldens[case], found, bitwise=False)
            yield _line(mutant, "changed" if findings else "unchanged", findings)
        told = dict.fromkeys(cases, 0)
        number = 0
        while any(waiting.values()):
            turn = []
            for case, points in waiting.items():
                for _ in range(len(points) if self._sample is None else min(1, len(points))):
                    number += 1
                    turn.append(Mutant(case, points.pop(0), number))
            survivors = []
            for mutant, found in self.run(turn):
                if isinstance(found, str):
                    yield _line(mutant, "failed", [], found.strip().splitlines()[-1])
                    continue
                findings = compare(goldens[mutant.case], found, bitwise=False)
                if findings:
                    told[mutant.case] += 1
                    yield _line(mutant, "killed", findings)
                elif found == plain[mutant.case]:
                    yield _line(mutant, "no effect", [])
                else:
                    survivors.append(mutant)
            # A hundred times the change: what an expression decides shows, what a normalisation takes out does not.
            doubled = [replace(mutant, number=-mutant.number, growth=2.0) for mutant in survivors]
            for mutant, found in self.run(doubled):
                findings = (
                    [] if isinstance(found, str) else compare(goldens[mutant.case], found, bitwise=False)
                )
                idle = not findings and not isinstance(found, str)
                told[mutant.case] += not idle
                yield _line(mutant, "idle" if idle else "survived", findings)
            for case in cases:
                if self._sample is not None and told[case] >= self._sample:
                    waiting[case] = []


def _line(mutant: Mutant, verdict: str, findings: list[Finding], error: str = "") -> dict[str, object]:
    return {
        "label": mutant.case.label,
        "module": mutant.point.module if mutant.point else "",
        "point": str(mutant.point),
        "verdict": verdict,
        "findings": [asdict(finding) for finding in findings[:3]],
        "error": error,
    }


def main() -> None:
    asked, output = json.load(sys.stdin), own_output()
    load_libraries()
    cases = [Case(*label.split(".", 1)) for label in asked["cases"]]
    for line in Work(asked).verdicts(cases):
        print(json.dumps(line), file=output, flush=True)


if __name__ == "__main__":
    main()
