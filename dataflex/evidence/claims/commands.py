"""``dataflex-cli claims``: what the results say of each claim of the paper."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dataflex.errors import UserError
from dataflex.evidence.store.find import STORE

LOG_WIDTH = 160
"""Columns where the output goes to a file."""


def claims(
    rung: Annotated[str | None, typer.Argument(help="One rung of results; else all of them.")] = None,
    store: Annotated[Path, typer.Option(help="The store of results.")] = STORE,
    every: Annotated[bool, typer.Option("--all", help="Show those that were not run, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge the paper's claims by the reviewed results: reproduced, contradicted, or not to be seen.

    Claims and margins are registered in reproductions/claims.yaml; docs/results.md says what the verdicts
    mean.
    """
    from dataflex.evidence.claims.judge import judge_store
    from dataflex.evidence.claims.judgement import VERDICTS

    judged = judge_store(store)
    known = list(dict.fromkeys(judgement.rung for judgement in judged))
    if rung is not None and rung not in known:
        raise UserError(f"no claim is registered for a rung {rung!r}: there are {', '.join(known)}")
    found = [judgement for judgement in judged if rung in (None, judgement.rung)]
    if as_json:
        print(json.dumps([judgement.as_dict() for judgement in found], indent=2, default=str))
        return
    table = Table(show_edge=False, pad_edge=False)
    for head in ("rung", "claim", "published", "ours", "95 % interval", "detectable", "verdict"):
        words = head in ("rung", "claim", "verdict")
        table.add_column(head, justify="left" if words else "right", overflow="fold")
    for judgement in found:
        if judgement.verdict == "not-run" and not every:
            continue
        low_high = judgement.interval
        table.add_row(
            judgement.rung,
            judgement.claim.statement,
            _number(judgement.claim.published),
            _number(judgement.ours),
            "" if low_high is None else f"[{low_high[0]:+.3g}, {low_high[1]:+.3g}]",
            _number(judgement.detectable),
            f"{judgement.verdict}: {judgement.reason}",
        )
    console = Console()
    console = console if console.is_terminal else Console(width=LOG_WIDTH)
    if table.row_count:
        console.print(table)
    for name in dict.fromkeys(judgement.rung for judgement in found):
        own = [judgement for judgement in found if judgement.rung == name]
        counts = Counter(judgement.verdict for judgement in own)
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        # What a sign is on other models is no verdict on the paper's.
        of = " (signs on other models and texts)" if any(judgement.elsewhere for judgement in own) else ""
        console.print(f"{name}{of}: {told}", highlight=False)


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"
