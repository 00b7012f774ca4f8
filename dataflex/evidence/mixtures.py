"""Marking a mixture of Markov chains: what is lost on held-out text, and what the run was trained on.

The loss of a mixture is the mean over the target domains, each counting alike: a scarce domain is wanted no
less than a plentiful one. Noise is no target, since nothing can be learned there. A domain's excess is its
loss less what the chain itself pays for the same text; in expectation that is the entropy.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from dataflex.errors import UserError
from dataflex.evidence.files import write_text
from dataflex.evidence.results import HELD_OUT, MIXTURE, SHARES, read_json, read_lines

Line = TypeVar("Line")

SCHEMA = 1
COLUMNS = ("step", "domain", "tokens", "asked", "weight")
HELD_OUT_COLUMNS = ("domain", "document", "symbols", "loglik", "chain_loglik")


@dataclass(frozen=True)
class Interval:
    """What a domain was given between two logged steps.

    Attributes:
        step: the last optimizer step of the interval.
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


@dataclass(frozen=True)
class Document:
    """Log-likelihoods in nats of a held-out document, by the model and by the chain that wrote it."""

    domain: str
    symbols: int
    loglik: float
    chain_loglik: float


def read_run(run: Path) -> list[Interval]:
    """The intervals of a run, from its ledger and, for loss weights, its plan log.

    Raises:
        UserError: the run mixed nothing.
    """
    decisions = [line for line in read_lines(run / "plan_log.jsonl") if line.get("decision") == "mix"]
    lines = read_lines(run / "ledger.jsonl")
    if not decisions or any(line["share_asked"] is None for line in lines):
        raise UserError(f"{run} mixed nothing: its plan log has no decision of a mixer")
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
        found.append(Interval(step, domain, line["loss_tokens"], asked, weights[domain] if weights else None))
    return found


def summary(
    documents: Sequence[Document],
    intervals: Sequence[Interval],
    *,
    entropy: Mapping[str, float],
    target: Sequence[str],
    row_tokens: int,
    yardstick: bool,
) -> dict[str, Any]:
    """What ``mixture.json`` says.

    Args:
        documents: the held-out documents.
        intervals: what the run was trained on.
        entropy: of each domain, in nats a symbol.
        target: domains whose losses count.
        row_tokens: loss tokens of a row.
        yardstick: whether the cell is one of the static mixtures that regret is measured against.

    Raises:
        UserError: corpus, run and held-out text differ in their domains, or none is a target.
    """
    domains = list(entropy)
    evaluated, trained = {document.domain for document in documents}, {line.domain for line in intervals}
    odd = sorted((evaluated ^ set(domains)) | (trained ^ set(domains)) | (set(target) - set(domains)))
    if odd:
        raise UserError(f"domain {odd[0]} is not in the corpus, the run and the held-out text alike")
    if not target:
        raise UserError("the corpus has no target domain")
    loss = {name: _loss(documents, name, "loglik") for name in domains}
    excess = {name: loss[name] - _loss(documents, name, "chain_loglik") for name in domains}
    by_domain = {name: [line for line in intervals if line.domain == name] for name in domains}
    total = sum(line.tokens for line in intervals)
    asked = {name: math.fsum(line.asked for line in lines) for name, lines in by_domain.items()}
    tokens = {name: sum(line.tokens for line in lines) for name, lines in by_domain.items()}
    last = sum(lines[-1].asked for lines in by_domain.values())
    weights = _weight_shares(intervals)
    return {
        "schema": SCHEMA,
        "yardstick": yardstick,
        "target": sorted(target),
        "entropy": dict(entropy),
        "row_tokens": row_tokens,
        "loss": loss,
        "excess": excess,
        "target_loss": _mean([loss[name] for name in target]),
        "target_excess": _mean([excess[name] for name in target]),
        "asked": {name: asked[name] / total for name in domains},
        "realised": {name: tokens[name] / total for name in domains},
        "asked_last": {name: lines[-1].asked / last for name, lines in by_domain.items()},
        "rows_off": max(abs(tokens[name] - asked[name]) for name in domains) / row_tokens,
        "rows_off_worst": max(map(_worst, by_domain.values())) / row_tokens,
        "weight": {name: _mean(weights[name]) for name in domains if name in weights},
        "weight_last": {name: weights[name][-1] for name in domains if name in weights},
    }


def _weight_shares(intervals: Sequence[Interval]) -> dict[str, list[float]]:
    """Each domain's share of the sum of the loss weights, at every logged step that has such."""
    totals: dict[int, float] = defaultdict(float)
    for line in intervals:
        totals[line.step] += line.weight or 0.0
    found: dict[str, list[float]] = defaultdict(list)
    for line in intervals:
        if line.weight is not None:
            found[line.domain].append(line.weight / totals[line.step])
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _worst(lines: Sequence[Interval]) -> float:
    """The largest distance, over the logged steps, of the tokens so far from those asked for so far."""
    return max(map(abs, accumulate(line.tokens - line.asked for line in lines)))


def _loss(documents: Sequence[Document], domain: str, by: str) -> float:
    """Nats a symbol of a domain's documents."""
    own = [document for document in documents if document.domain == domain]
    return -math.fsum(getattr(document, by) for document in own) / sum(document.symbols for document in own)


def account(run: Path, corpus: Path, output: Path, *, yardstick: bool) -> dict[str, Any]:
    """Write ``shares.csv`` and, last, ``mixture.json`` of a finished run whose ``held_out.csv`` is there.

    Args:
        run: the run directory.
        corpus: folder of the Markov chains that it was trained on.
        output: the cell's folder among the results.
        yardstick: see ``summary``.

    Returns:
        What mixture.json holds.

    Raises:
        UserError: run, corpus or held_out.csv is not as it should be.
    """
    card = read_json(corpus / "card.json")
    intervals = read_run(run)
    try:
        content = summary(
            read_held_out(output / HELD_OUT),
            intervals,
            entropy={name: float(entry["entropy"]) for name, entry in card["domains"].items()},
            target=card["target"],
            row_tokens=int(card["row_tokens"]),
            yardstick=yardstick,
        )
    except KeyError as error:
        raise UserError(f"{corpus} is no corpus of Markov chains: its card lacks {error}") from None
    (output / MIXTURE).unlink(missing_ok=True)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in intervals:
        writer.writerow("" if value is None else value for value in astuple(line))
    write_text(output / SHARES, stream.getvalue())
    write_text(output / MIXTURE, json.dumps(content, indent=2) + "\n")
    return content


def read_shares(file: Path) -> list[Interval]:
    """The intervals in a ``shares.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def interval(row: Mapping[str, str]) -> Interval:
        weight = float(row["weight"]) if row["weight"] else None
        return Interval(int(row["step"]), row["domain"], int(row["tokens"]), float(row["asked"]), weight)

    return _read(file, COLUMNS, interval)


def read_held_out(file: Path) -> list[Document]:
    """The documents in a ``held_out.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def document(row: Mapping[str, str]) -> Document:
        return Document(row["domain"], int(row["symbols"]), float(row["loglik"]), float(row["chain_loglik"]))

    return _read(file, HELD_OUT_COLUMNS, document)


def _read(file: Path, columns: Sequence[str], make: Callable[[Mapping[str, str]], Line]) -> list[Line]:
    if not file.is_file():
        raise UserError(f"{file} is missing")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != columns:
            raise UserError(f"{file} must have the columns {','.join(columns)}")
        try:
            return [make(row) for row in reader]
        except (TypeError, ValueError) as error:
            raise UserError(f"{file}: {error}") from None
