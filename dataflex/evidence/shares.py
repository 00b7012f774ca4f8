"""What each domain was given over a run: tokens trained on, tokens asked for, weight in the loss.

Every cell's results hold it as ``shares.csv``, a line a domain and a stretch between two logged steps. A run
that mixed nothing leaves the header alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataflex.evidence.files import read_table, write_table
from dataflex.evidence.results import read_lines

COLUMNS = ("step", "domain", "tokens", "asked", "weight")

Trajectory = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Steps and the shares of the stretches that end there."""


@dataclass(frozen=True)
class Stretch:
    """What a domain was given between two logged steps.

    Attributes:
        step: the last optimizer step of the stretch.
        domain: its name.
        tokens: loss tokens that it was trained on.
        asked: loss tokens that the mixer asked for.
        weight: what the domain counted in the loss at the end; None where every token counts alike.
    """

    step: int
    domain: str
    tokens: int
    asked: float
    weight: float | None


def of_run(run: Path) -> list[Stretch]:
    """The stretches of a run, from its ledger and, for loss weights, its plan log; none if it mixed nothing.

    Raises:
        UserError: one of the two files is not as it should be.
    """
    if not (run / "ledger.jsonl").is_file():
        return []
    lines = read_lines(run / "ledger.jsonl")
    if not lines or any(line["share_asked"] is None for line in lines):
        return []
    decisions = [line for line in read_lines(run / "plan_log.jsonl") if line.get("decision") == "mix"]
    totals: dict[int, int] = defaultdict(int)
    for line in lines:
        totals[line["step"]] += line["loss_tokens"]
    found, weights, place = [], None, 0
    for line in lines:
        # A decision at step s is made before it is trained; a ledger line holds the steps before its own.
        while place < len(decisions) and decisions[place]["step"] < line["step"]:
            weights = decisions[place].get("loss_weights")
            place += 1
        step, domain = int(line["step"]), str(line["domain"])
        asked = line["share_asked"] * totals[step]
        found.append(Stretch(step, domain, line["loss_tokens"], asked, weights[domain] if weights else None))
    return found


def write(stretches: Sequence[Stretch], file: Path) -> None:
    """Write ``shares.csv``."""
    write_table(file, COLUMNS, map(astuple, stretches))


def read(file: Path) -> list[Stretch]:
    """The stretches in a ``shares.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def stretch(row: Mapping[str, str]) -> Stretch:
        weight = float(row["weight"]) if row["weight"] else None
        return Stretch(int(row["step"]), row["domain"], int(row["tokens"]), float(row["asked"]), weight)

    return read_table(file, COLUMNS, stretch)


def weighs(stretches: Sequence[Stretch]) -> bool:
    """Whether domains counted differently in the loss."""
    return any(stretch.weight is not None for stretch in stretches)


def trajectories(stretches: Sequence[Stretch]) -> dict[str, Trajectory]:
    """By domain, its share over the run: of the loss weights if there are any, else of the asked tokens."""
    values = [stretch.asked if stretch.weight is None else stretch.weight for stretch in stretches]
    totals: dict[int, float] = defaultdict(float)
    for stretch, value in zip(stretches, values, strict=True):
        totals[stretch.step] += value
    found: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for stretch, value in zip(stretches, values, strict=True):
        steps, shares = found[stretch.domain]
        steps.append(stretch.step)
        shares.append(value / totals[stretch.step])
    return {name: (np.array(steps), np.array(shares)) for name, (steps, shares) in found.items()}
