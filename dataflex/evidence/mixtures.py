"""Marking a mixture of Markov chains: what is lost on held-out text, and what the run was trained on.

The loss of a mixture is the mean over the target domains, each counting alike: a scarce domain is wanted no
less than a plentiful one. Noise is no target, since nothing can be learned there. A domain's excess is its
loss less what the chain itself pays for the same text; in expectation that is the entropy.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.evidence import shares
from dataflex.evidence.files import read_table, write_text
from dataflex.evidence.results import HELD_OUT, MIXTURE, read_json
from dataflex.evidence.shares import Stretch

SCHEMA = 1
HELD_OUT_COLUMNS = ("domain", "document", "symbols", "loglik", "chain_loglik")


@dataclass(frozen=True)
class Document:
    """Log-likelihoods in nats of a held-out document, by the model and by the chain that wrote it."""

    domain: str
    symbols: int
    loglik: float
    chain_loglik: float


def summary(
    documents: Sequence[Document],
    stretches: Sequence[Stretch],
    *,
    entropy: Mapping[str, float],
    target: Sequence[str],
    row_tokens: int,
    yardstick: bool,
) -> dict[str, Any]:
    """What ``mixture.json`` says.

    Args:
        documents: the held-out documents.
        stretches: what the run was trained on.
        entropy: of each domain, in nats a symbol.
        target: domains whose losses count.
        row_tokens: loss tokens of a row.
        yardstick: whether the cell is one of the static mixtures that regret is measured against.

    Raises:
        UserError: corpus, run and held-out text differ in their domains, or none is a target.
    """
    domains = list(entropy)
    evaluated, trained = {document.domain for document in documents}, {line.domain for line in stretches}
    odd = sorted((evaluated ^ set(domains)) | (trained ^ set(domains)) | (set(target) - set(domains)))
    if odd:
        raise UserError(f"domain {odd[0]} is not in the corpus, the run and the held-out text alike")
    if not target:
        raise UserError("the corpus has no target domain")
    loss = {name: _loss(documents, name, "loglik") for name in domains}
    excess = {name: loss[name] - _loss(documents, name, "chain_loglik") for name in domains}
    by_domain = {name: [line for line in stretches if line.domain == name] for name in domains}
    total = sum(line.tokens for line in stretches)
    asked = {name: math.fsum(line.asked for line in lines) for name, lines in by_domain.items()}
    tokens = {name: sum(line.tokens for line in lines) for name, lines in by_domain.items()}
    last = sum(lines[-1].asked for lines in by_domain.values())
    weights = _weight_shares(stretches)
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


def _weight_shares(stretches: Sequence[Stretch]) -> dict[str, list[float]]:
    """Each domain's share of the sum of the loss weights, at every logged step that has such."""
    totals: dict[int, float] = defaultdict(float)
    for line in stretches:
        totals[line.step] += line.weight or 0.0
    found: dict[str, list[float]] = defaultdict(list)
    for line in stretches:
        if line.weight is not None:
            found[line.domain].append(line.weight / totals[line.step])
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _worst(lines: Sequence[Stretch]) -> float:
    """The largest distance, over the logged steps, of the tokens so far from those asked for so far."""
    return max(map(abs, accumulate(line.tokens - line.asked for line in lines)))


def _loss(documents: Sequence[Document], domain: str, by: str) -> float:
    """Nats a symbol of a domain's documents."""
    own = [document for document in documents if document.domain == domain]
    return -math.fsum(getattr(document, by) for document in own) / sum(document.symbols for document in own)


def account(run: Path, corpus: Path, output: Path, *, yardstick: bool) -> dict[str, Any]:
    """Write ``mixture.json`` of a finished run whose ``held_out.csv`` is there.

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
    stretches = shares.of_run(run)
    if not stretches:
        raise UserError(f"{run} mixed nothing: its ledger has no share that was asked for")
    try:
        content = summary(
            read_held_out(output / HELD_OUT),
            stretches,
            entropy={name: float(entry["entropy"]) for name, entry in card["domains"].items()},
            target=card["target"],
            row_tokens=int(card["row_tokens"]),
            yardstick=yardstick,
        )
    except KeyError as error:
        raise UserError(f"{corpus} is no corpus of Markov chains: its card lacks {error}") from None
    write_text(output / MIXTURE, json.dumps(content, indent=2) + "\n")
    return content


def read_held_out(file: Path) -> list[Document]:
    """The documents in a ``held_out.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def document(row: Mapping[str, str]) -> Document:
        return Document(row["domain"], int(row["symbols"]), float(row["loglik"]), float(row["chain_loglik"]))

    return read_table(file, HELD_OUT_COLUMNS, document)
