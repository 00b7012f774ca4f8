"""Scores of all rows by their embeddings, without a run: to look at, and for runs to select by."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.config import DataFlexConfig, split
from dataflex.errors import UserError
from dataflex.host.prepare import Prepared, check, prepare
from dataflex.host.silence import host_silenced
from dataflex.registry import components
from dataflex.selectors._embedded import EmbeddingSelector
from dataflex.signals.embeddings import embed
from dataflex.signals.scores import row_keys, write_scores
from dataflex.signals.texts import row_texts


def score(
    method: str, config: dict[str, Any], output: Path, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Score every row of a configuration's datasets and write the scores to a parquet file.

    The method's parameters are those of the configuration where it selects by this method or decides nothing;
    those of another method are not used, which is told on standard error. Nothing is trained and no model in
    training loads.

    Args:
        method: a selector by embedding.
        config: a configuration and its overrides; ``eval_dataset`` is the target.
        output: the file.
        given: what the overrides alone say of ``component_params``: it is meant for ``method``, whatever the
            configuration selects by.

    Returns:
        A summary: method, parameters, notes, rows, and the mean score and best rows of each dataset.

    Raises:
        UserError: the method has no scores, or the configuration does not fit.
    """
    known = [name for name, cls in components()["select"].items() if issubclass(cls, EmbeddingSelector)]
    if method not in known:
        raise UserError(f"{method} has no scores of rows: {', '.join(sorted(known))} have")
    if not config.get("decisions") and config.get("train_type") in (None, "static"):
        config = config | {"train_type": "dynamic_select", "component_name": method}
    if given and config.get("decisions"):
        # It stands beside the decisions of the file, where a run would refuse it.
        config = {key: value for key, value in config.items() if key != "component_params"}
    own, host = split(config)
    run: dict[str, Any] = {
        "train_type": "dynamic_select",
        "component_name": method,
        "component_params": _params(method, own, given or {}),
        "components_cfg_file": own.components_cfg_file,
        "update_step": 1,
        "train_step": 1,
    }
    with host_silenced():
        checked = check(
            host | {key: value for key, value in run.items() if value is not None}, planned_ranks=1
        )
    component = checked.components["select"][1]
    assert isinstance(component, EmbeddingSelector)
    source = component.source()
    if component.scores is not None:
        raise UserError("scores: this command makes them; remove the parameter")
    if source.model is None and source.vectors is None:
        raise UserError(
            "component_params.embedding_model is missing: only a run can embed with its own model"
        )
    with host_silenced():
        prepared = prepare(checked)
    rows, validation = prepared.domains.rows, prepared.domains.validation
    tokenizer = prepared.tokenizer_module["tokenizer"]
    embeddings = embed(
        source,
        lambda: row_texts(rows, tokenizer, source.text),
        lambda: row_texts(validation, tokenizer, source.text),
        checked.output_dir / "embeddings",
        rows=len(rows),
        validation_rows=len(validation),
    )
    notes: dict[str, Any] = {}
    scores = component.score(embeddings, notes)
    about = {
        "method": method,
        "params": component.model_dump(mode="json"),
        "notes": notes,
        "validation_rows": len(validation),
        "validation_sha256": hashlib.sha256("".join(row_keys(validation)).encode()).hexdigest(),
    }
    names = np.repeat(prepared.facts.domains, prepared.facts.rows)
    write_scores(output, scores, row_keys(rows), names.tolist(), about)
    return about | {"output": str(output), "datasets": _summary(prepared, scores)}


def _params(method: str, own: DataFlexConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are meant for the method; tell of others that are not used."""
    for decision in own.decision_list():
        if decision.kind == "select" and decision.component_name == method:
            # The short form has what was given in it.
            return {**decision.component_params, **(given if own.decisions else {})}
    for decision in own.decision_list():
        unused = sorted(set(decision.component_params) - set(given))
        if unused and (decision.kind == "select" or not own.decisions):
            print(
                f"dataflex-cli: component_params of the configuration ({', '.join(unused)}) are for "
                f"{decision.component_name} and not used; give those for {method} on the "
                "command line: component_params='{...}'",
                file=sys.stderr,
            )
    return dict(given)


def _summary(prepared: Prepared, scores: Any) -> list[dict[str, Any]]:
    ends = np.cumsum(prepared.facts.rows)
    best = np.argsort(-scores, kind="stable")[: max(1, len(scores) // 10)]
    best = best[np.isfinite(scores[best])]
    lines = []
    for name, count, end in zip(prepared.facts.domains, prepared.facts.rows, ends, strict=True):
        own = scores[end - count : end]
        scored = own[np.isfinite(own)]
        lines.append(
            {
                "dataset": name,
                "rows": int(count),
                "scored": len(scored),
                "mean": float(scored.mean()) if len(scored) else None,
                "of_best_tenth": int(((best >= end - count) & (best < end)).sum()),
            }
        )
    return lines


def print_scores(summary: dict[str, Any]) -> None:
    """Print a summary for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    notes = ", ".join(f"{key} {value}" for key, value in summary["notes"].items())
    console.print(f"[bold]{summary['method']}[/bold] against {summary['validation_rows']:,} validation rows")
    console.print(notes)
    table = Table("dataset", "rows", "with a score", "mean score", "rows of the best tenth")
    for line in summary["datasets"]:
        mean = "" if line["mean"] is None else f"{line['mean']:.4g}"
        best = f"{line['of_best_tenth']:,}"
        table.add_row(line["dataset"], f"{line['rows']:,}", f"{line['scored']:,}", mean, best)
    console.print(table)
    console.print(f"wrote {summary['output']}", soft_wrap=True)
