"""Reading a results folder: ``<experiment>/<cell>/`` with a summary and the outcomes that it follows from.

A cell is about a model (MMLU and perplexity, by question and document), about a selection (which rows of a
planted pool were picked) or about a mixture (of Markov chains: held-out losses, and what was trained on).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dataflex.errors import UserError
from dataflex.evidence.files import read_table
from dataflex.evidence.outcomes import Outcomes

Kind = Literal["model", "selection", "mixture"]
SCHEMAS: Mapping[Kind, tuple[int, ...]] = {"model": (1, 2), "selection": (1,), "mixture": (1,)}
"""Versions of a summary that are read; ``schemas.yaml`` says what each must hold."""
SELECTION = "selection.json"
PICKS = "picks.csv"
MIXTURE = "mixture.json"
HELD_OUT = "held_out.csv"
SHARES = "shares.csv"
BY_STEP = "by_step.csv"
PLAN_LOG = "plan_log.jsonl"
OF_EVERY_RUN = ("curve.csv", SHARES, "run.json")
FILES: Mapping[Kind, tuple[str, ...]] = {
    "model": ("metrics.json", "questions.jsonl", "documents.jsonl", *OF_EVERY_RUN),
    "selection": (SELECTION, PICKS, *OF_EVERY_RUN),
    "mixture": (MIXTURE, HELD_OUT, *OF_EVERY_RUN),
}
"""Files of a cell by what it is about; the first one is its summary."""
OPTIONAL: Mapping[Kind, tuple[str, ...]] = {
    "model": (BY_STEP, PLAN_LOG),
    "selection": (PLAN_LOG,),
    "mixture": (PLAN_LOG,),
}
"""Files that it may have besides."""
CURVE_COLUMNS = ("step", "tokens", "loss")
Point = tuple[int, int | None, float]
"""Step, tokens seen (None where nobody counted), mean loss in nats a token."""
COORDINATES = ("experiment", "method", "model", "scale", "seed")


@dataclass(frozen=True)
class CellResult:
    """What one trained and evaluated cell left behind.

    Attributes:
        folder: where it lies.
        cell: experiment, method, model, scale and seed.
        metrics: content of the summary.
        run: content of ``run.json``.
        kind: what the cell is about.
    """

    folder: Path
    cell: Mapping[str, Any]
    metrics: Mapping[str, Any]
    run: Mapping[str, Any]
    kind: Kind = "model"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The cell without its seed: experiment, method, model, scale."""
        return (
            str(self.cell["experiment"]),
            str(self.cell["method"]),
            str(self.cell["model"]),
            str(self.cell["scale"]),
        )

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.cell["seed"])

    @property
    def path(self) -> str:
        """Where it belongs in a results folder: ``<experiment>/<method>.<model>.<scale>.seed<n>``."""
        experiment, *rest = self.key
        return f"{experiment}/{'.'.join(rest)}.seed{self.seed}"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files."""
        also = (name for name in OPTIONAL[self.kind] if (self.folder / name).is_file())
        return (*FILES[self.kind], *also)

    @property
    def corpus(self) -> str:
        """Fingerprint of the texts that the cell was trained and evaluated on."""
        return str(self.run["corpus"])

    @cached_property
    def outcomes(self) -> Outcomes:
        """Of a model: what it answered. Each claim and comparison asks for it, and the file is long."""
        return Outcomes.of(read_lines(self.folder / "questions.jsonl"))

    @property
    def picks(self) -> int | None:
        """Rows that the shares of a selection are shares of; None for anything else."""
        return int(self.metrics["n"]) if self.kind == "selection" else None

    def numbers(self) -> dict[str, float]:
        """The numbers that are compared.

        Of a model: accuracy, answer loss, bits per byte of each domain and of all. Of a selection: its
        precision and the share of each class. Of a mixture: the loss on its target and on each domain, and
        the share of each.
        """
        if self.kind == "mixture":
            parts = {"loss": self.metrics["loss"], "share": self.metrics["realised"]}
            found = {
                f"{part}.{name}": float(v) for part, values in parts.items() for name, v in values.items()
            }
            return {"loss.target": float(self.metrics["target_loss"]), **found}
        if self.kind == "selection":
            shares = {f"share.{name}": float(share) for name, share in self.metrics["shares"].items()}
            return {"precision": float(self.metrics["precision"]), **shares}
        mmlu = self.metrics["mmlu"]
        found = {"mmlu.acc": float(mmlu["acc"]), "mmlu.answer_nll": float(mmlu["answer_nll"])}
        for domain, values in self.metrics["perplexity"].items():
            found[f"bits_per_byte.{domain}"] = float(values["bits_per_byte"])
        return found


def by_seed(runs: Iterable[CellResult], metric: str) -> dict[int, float]:
    """One number of some runs of a cell, by their seeds.

    Raises:
        KeyError: a run lacks the number.
    """
    return {run.seed: run.numbers()[metric] for run in runs}


def read_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is missing, or is not JSON.
    """
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise UserError(f"{file} is missing") from None
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON: {error}") from None


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file.

    Raises:
        UserError: it is missing, or a line is not JSON.
    """
    try:
        return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{file} is missing") from None
    except ValueError as error:
        raise UserError(f"{file} holds a line that is not JSON: {error}") from None


def read_cell(folder: Path) -> CellResult:
    """Read and validate one cell.

    Raises:
        UserError: a file is missing or malformed, a number is not finite, or the cell lies where another
            one belongs.
    """
    kind = _kind(folder)
    for name in FILES[kind]:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: the cell is incomplete")
    summary = folder / FILES[kind][0]
    metrics, run = read_json(summary), read_json(folder / "run.json")
    try:
        if metrics["schema"] not in SCHEMAS[kind]:
            known = " or ".join(map(str, SCHEMAS[kind]))
            raise UserError(f"{summary} has schema {metrics['schema']}, expected {known}")
        result = CellResult(folder, {name: run["cell"][name] for name in COORDINATES}, metrics, run, kind)
        numbers = result.numbers()
        _ = result.corpus, result.picks
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: {summary.name} or run.json lacks {error}") from None
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from None
    _require_place(result)
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise UserError(f"{folder}: {name} is {value}, not a finite number")
    for line in read_curve(folder / "curve.csv"):
        if not math.isfinite(line[2]):
            raise UserError(f"{folder / 'curve.csv'}: the loss at step {line[0]} is not finite")
    return result


def _require_place(result: CellResult) -> None:
    """Refuse a cell whose folder is not called what its ``run.json`` says: look-ups go by the folder."""
    found = result.folder.resolve()
    if f"{found.parent.name}/{found.name}" != result.path:
        raise UserError(
            f"{result.folder} holds the cell {result.path}, by its run.json: two folders were exchanged or "
            "one was renamed; move it to that path, or collect it again"
        )


def _kind(folder: Path) -> Kind:
    """What a cell is about, by any of the files that only such a cell has."""
    kinds: tuple[Kind, ...] = ("selection", "mixture")
    for kind in kinds:
        if any((folder / name).is_file() for name in FILES[kind] if name not in FILES["model"]):
            return kind
    return "model"


def read_curve(file: Path) -> list[Point]:
    """Read ``curve.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def point(row: Mapping[str, str]) -> Point:
        return int(row["step"]), int(row["tokens"]) if row["tokens"] else None, float(row["loss"])

    return read_table(file, CURVE_COLUMNS, point)


def read_results(folder: Path) -> list[CellResult]:
    """Read every cell below a results folder, ordered by experiment, method, model, scale and seed.

    Raises:
        UserError: there is no cell, or one is malformed, or two have the same coordinates.
    """
    return read_cells(cell_folders(folder))


def cell_folders(folder: Path) -> list[Path]:
    """The folders of the cells below a results folder, whether or not they are complete.

    Raises:
        UserError: there is none.
    """
    if not folder.is_dir():
        raise UserError(f"results folder {folder} does not exist")
    files = {name for names in FILES.values() for name in names}
    found = {file.parent for name in files for file in folder.glob(f"*/*/{name}")}
    if not found:
        raise UserError(f"{folder} holds no results (<experiment>/<cell>/metrics.json)")
    return sorted(found)


def is_complete(cell: Path) -> bool:
    """Whether all files that a cell must have are there."""
    return all((cell / name).is_file() for name in FILES[_kind(cell)])


def read_cells(folders: Iterable[Path]) -> list[CellResult]:
    """Read some cells, in the order of ``read_results``.

    Raises:
        UserError: a cell is malformed, or two have the same coordinates.
    """
    results = sorted(map(read_cell, folders), key=lambda result: (result.key, result.seed))
    seen: dict[tuple[Any, ...], Path] = {}
    for result in results:
        place = (*result.key, result.seed)
        if place in seen:
            raise UserError(f"{result.folder} and {seen[place]} describe the same cell")
        seen[place] = result.folder
    return results
