"""The story of a run, read from its directory alone: decisions, and loss and tokens of each domain."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from dataflex.engine.proportions import LEARNED
from dataflex.errors import UserError


def read_run(run_dir: Path) -> dict[str, Any]:
    """Read manifest, plan log and ledger of a run.

    Returns:
        ``manifest``; ``decisions``: the plan log, in which consecutive weight decisions are one entry;
        ``domains``: first and last loss, tokens, samples and shares, by name.

    Raises:
        UserError: not a run directory, or a file of it is damaged.
    """
    if not (run_dir / "manifest.json").is_file():
        raise UserError(f"{run_dir} is not a run directory: it has no manifest.json")
    try:
        manifest = json.loads((run_dir / "manifest.json").read_text())
        plan_log = _lines(run_dir / "plan_log.jsonl")
        ledger = _lines(run_dir / "ledger.jsonl")
    except json.JSONDecodeError as error:
        raise UserError(f"a file in {run_dir} is damaged: {error}") from None
    return {"manifest": manifest, "decisions": _decisions(plan_log), "domains": _domains(ledger)}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _decisions(plan_log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    decisions: list[dict[str, Any]] = []
    for kind, group in groupby(plan_log, key=lambda line: line["decision"]):
        lines = list(group)
        if kind != "weight":
            decisions += lines
            continue
        decisions.append(
            {
                "step": lines[0]["step"],
                "last_step": lines[-1]["step"],
                "decision": "weight",
                "component": lines[0]["component"],
                "steps": len(lines),
                "samples": sum(line["samples"] for line in lines),
                "weight_min": min(line["weight_min"] for line in lines),
                "weight_max": max(line["weight_max"] for line in lines),
                "effective_share": sum(line["effective_samples"] for line in lines)
                / sum(line["samples"] for line in lines),
            }
        )
    return decisions


def _domains(ledger: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    domains: dict[str, dict[str, Any]] = {}
    for line in ledger:
        about = domains.setdefault(
            line["domain"],
            {"first_loss": None, "last_loss": None, "samples": 0, "loss_tokens": 0, "asked": []},
        )
        about["samples"] += line["samples"]
        about["loss_tokens"] = line["total_loss_tokens"]
        about["share_asked_last"] = line["share_asked"]
        if line["loss"] is not None:
            about["last_loss"] = line["loss"]
            about["first_loss"] = line["loss"] if about["first_loss"] is None else about["first_loss"]
    total = sum(about["loss_tokens"] for about in domains.values())
    for about in domains.values():
        about["share_realised"] = about["loss_tokens"] / total if total else None
    return domains


def print_run(run: dict[str, Any]) -> None:
    """Print the story for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    manifest = run["manifest"]
    console.print(
        f"[bold]{manifest['train_type']}[/bold], {manifest['status']}"
        + (f" in {manifest['wall_seconds']:.0f} s" if manifest["wall_seconds"] else "")
        + (f", {manifest['total_steps']:,} steps" if manifest["total_steps"] else "")
        + f", seed {manifest['seed']}"
    )
    if not manifest["decisions"]:
        console.print("LLaMA-Factory trained it alone: nothing was selected, mixed or weighted.")
        return
    table = Table("step", "decision", "by", "what", title="decisions")
    decisions, most = run["decisions"], 40
    for number, decision in enumerate(decisions):
        if len(decisions) > most and most // 2 <= number < len(decisions) - most // 2:
            if number == most // 2:
                table.add_row("...", "", "", f"{len(decisions) - most:,} more")
            continue
        table.add_row(f"{decision['step']:,}", decision["decision"], decision["component"], _what(decision))
    console.print(table)
    if manifest.get(LEARNED):
        shares = ", ".join(f"{name} {share:.1%}" for name, share in manifest[LEARNED].items())
        console.print(f"learned for later runs: {shares}")
    table = Table(title="domains")
    table.add_column("domain", no_wrap=True)
    for heading in ("loss: first", "loss: last", "loss tokens", "samples", "share realised", "last asked"):
        table.add_column(heading, justify="right")
    for name, about in run["domains"].items():
        table.add_row(
            name,
            _number(about["first_loss"], "{:.4f}"),
            _number(about["last_loss"], "{:.4f}"),
            f"{about['loss_tokens']:,}",
            f"{about['samples']:,}",
            _number(about["share_realised"], "{:.2%}"),
            _number(about["share_asked_last"], "{:.2%}"),
        )
    console.print(table)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _what(decision: dict[str, Any]) -> str:
    if decision["decision"] == "mix":
        text = ", ".join(f"{name} {share:.1%}" for name, share in decision["proportions"].items())
        rewards = decision.get("rewards") or {}
        if any(rewards.values()):
            text += "\nrewards: " + ", ".join(f"{name} {value:.4g}" for name, value in rewards.items())
        return text
    if decision["decision"] == "weight":
        return (
            f"every step to {decision['last_step']:,}: {decision['samples']:,} samples, weights "
            f"{decision['weight_min']:.2f} to {decision['weight_max']:.2f} of the mean, "
            f"effective share {decision['effective_share']:.0%}"
        )
    if decision["component"] == "warmup":
        return f"a new cycle: all {decision['rows']:,} rows again"
    text = f"{decision['rows']:,} of {decision['pool']:,} rows"
    if len(decision["by_domain"]) > 1:
        text += " (" + ", ".join(f"{name} {rows:,}" for name, rows in decision["by_domain"].items()) + ")"
    for key, values in decision.items():
        if isinstance(values, dict) and "pool" in values and values.get("selected") is not None:
            text += f"; mean {key} {values['selected']:.4g}, the pool's {values['pool']:.4g}"
    return text
