"""What a run would do: phases, steps, samples, and tokens and epochs of each domain."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from dataflex.arrays import FloatArray
from dataflex.engine.context import Context
from dataflex.engine.facts import Facts
from dataflex.engine.mixer import Mixer
from dataflex.engine.proportions import row_shares
from dataflex.engine.schedule import Phase, cycle_steps
from dataflex.engine.signals import Signals
from dataflex.errors import UserError
from dataflex.host.prepare import Prepared


def run_plan(prepared: Prepared, *, memory: bool = False) -> dict[str, Any]:
    """Return the plan of a run as JSON types; with ``memory``, in bytes, too.

    ``cycle`` tells how often a selection goes through its schedule. Tokens and epochs are those of the
    initial data; ``decided_later`` names the decisions that will change them.
    """
    facts = prepared.facts
    phases = {
        kind: [_phase(phase, facts) for phase in decision.schedule.phases()]
        for kind, decision in prepared.decisions.items()
        if kind != "weight"
    }
    weight = prepared.decisions.get("weight")
    plan = {
        "train_type": prepared.checked.own.train_type or ("decisions" if prepared.decisions else "static"),
        "decisions": {kind: decision.name for kind, decision in prepared.decisions.items()},
        "total_steps": facts.total_steps,
        "batch_rows": facts.batch_rows,
        "samples": facts.total_steps * facts.batch_rows,
        "cycle": _cycle(prepared),
        "weighted_from_step": weight.schedule.warmup_step if weight else None,
        "phases": phases,
        "domains": _domains(facts, _known_proportions(prepared)),
        "decided_later": [kind for kind, d in prepared.decisions.items() if not d.component.constant],
    }
    return plan | ({"memory": _memory(prepared)} if memory else {})


def _memory(prepared: Prepared) -> dict[str, Any]:
    from dataflex.host.memory import predict_memory

    found = predict_memory(prepared)
    peaks = found.peaks(prepared.checked.ranks).items()
    return {
        "weights": found.weights,
        "gradients": found.gradients,
        "moments": found.moments,
        "peaks": {name: {"training_step": step, "selection": passes} for name, (step, passes) in peaks},
    }


def _phase(phase: Phase, facts: Facts) -> dict[str, Any]:
    return {
        "name": phase.name if phase.name == "warmup" else f"update {phase.update}",
        "first_step": phase.start,
        "last_step": phase.stop - 1,
        "steps": phase.steps,
        "samples": phase.steps * facts.batch_rows,
    }


def _cycle(prepared: Prepared) -> dict[str, Any] | None:
    """Return steps and number of a selection's cycles, and the key that says how many.

    None without a selection, or when its schedule has no end of its own.
    """
    checked, total = prepared.checked, prepared.facts.total_steps
    for decision in checked.own.decision_list():
        steps = cycle_steps(decision.warmup_step, decision.update_step, decision.update_times)
        if decision.kind != "select" or steps is None:
            continue
        epochs = checked.args.training.num_train_epochs
        if checked.own.train_step:
            because = f"train_step is {total:,}"
        elif checked.args.training.max_steps > 0:
            because = f"max_steps is {total:,}"
        elif math.ceil(epochs * steps) < total:
            because = "the schedule of the mixture is longer"
        elif "num_train_epochs" in checked.config:
            because = f"num_train_epochs is {epochs:g}"
        else:
            because = f"num_train_epochs is {epochs:g} unless you say otherwise, LLaMA-Factory's default"
        return {"steps": steps, "times": total / steps, "because": because}
    return None


def _known_proportions(prepared: Prepared) -> FloatArray | None:
    """Return the run's mean shares of loss tokens as far as they are known; None when no mixer decides."""
    facts, decision = prepared.facts, prepared.decisions.get("mix")
    if decision is None:
        return None
    if not decision.component.constant:
        return facts.proportions
    assert isinstance(decision.component, Mixer)
    nothing = cast(Signals, _NothingMeasured())
    mixture = decision.component.update(Context(facts, step=0, update=0, signals=nothing))
    before = decision.schedule.warmup_step / facts.total_steps
    return before * facts.proportions + (1 - before) * mixture.proportions


class _NothingMeasured:
    def __getattr__(self, name: str) -> Any:
        raise UserError(f"a constant mixer asked for a measurement: {name}")


def _domains(facts: Facts, proportions: FloatArray | None) -> list[dict[str, Any]]:
    if proportions is None:
        shares = facts.rows / facts.total_rows
    else:
        shares = row_shares(proportions, facts.loss_tokens, facts.rows)
    samples = shares * facts.total_steps * facts.batch_rows
    tokens = samples * facts.loss_tokens / np.maximum(facts.rows, 1)
    return [
        {
            "domain": name,
            "rows": int(facts.rows[index]),
            "loss_tokens": int(facts.loss_tokens[index]),
            "share": float(tokens[index] / tokens.sum()),
            "samples": round(float(samples[index]), 1),
            "tokens": round(float(tokens[index])),
            "epochs": round(float(samples[index] / facts.rows[index]), 4),
        }
        for index, name in enumerate(facts.domains)
    ]


def print_plan(plan: dict[str, Any]) -> None:
    """Print a plan for people."""
    console = Console()
    who = ", ".join(f"{kind}: {name}" for kind, name in plan["decisions"].items()) or "LLaMA-Factory alone"
    console.print(
        f"[bold]{plan['train_type']}[/bold] ({who}): {plan['total_steps']:,} steps of {plan['batch_rows']} "
        f"rows, {plan['samples']:,} samples"
    )
    if plan["cycle"] is not None:
        times = plan["cycle"]["times"]
        often = "once" if times == 1 else f"{times:.4g} times"
        console.print(
            f"the cycle of {plan['cycle']['steps']:,} steps (warm-up and updates) is gone through {often}: "
            f"{plan['cycle']['because']}"
        )
    if plan["weighted_from_step"] is not None:
        console.print(f"samples are weighted from step {plan['weighted_from_step']} on")
    for kind, phases in plan["phases"].items():
        table = Table("phase", "first step", "last step", "steps", "samples", title=f"{kind}: phases")
        shown = phases if len(phases) <= 12 else [*phases[:6], None, *phases[-5:]]
        for phase in shown:
            if phase is None:
                table.add_row(f"... {len(phases) - 11} more", "", "", "", "")
            else:
                table.add_row(
                    *(f"{value:,}" if isinstance(value, int) else value for value in phase.values())
                )
        console.print(table)
    table = Table(title="domains")
    table.add_column("domain", no_wrap=True)
    for heading in ("rows", "loss tokens", "share", "samples", "tokens to train", "epochs"):
        table.add_column(heading, justify="right")
    for domain in plan["domains"]:
        table.add_row(
            domain["domain"],
            f"{domain['rows']:,}",
            f"{domain['loss_tokens']:,}",
            f"{domain['share']:.2%}",
            f"{domain['samples']:,.0f}",
            f"{domain['tokens']:,}",
            f"{domain['epochs']:.3f}",
        )
    console.print(table)
    if "memory" in plan:
        console.print(_memory_table(plan["memory"]))
    if set(plan["decided_later"]) & {"select", "mix"}:
        console.print(
            "Shares, tokens and epochs are those of the initial data; the decisions will change them."
        )


def _memory_table(memory: dict[str, Any]) -> Table:
    table = Table("memory of a process", "training step", "selection")
    for name, peak in memory["peaks"].items():
        selection = peak["selection"]
        table.add_row(name, decimal(peak["training_step"]), "" if selection is None else decimal(selection))
    parts = ", ".join(f"{part} {decimal(memory[part])}" for part in ("weights", "gradients", "moments"))
    table.caption = f"{parts}; tensors alone, the process itself takes about 1 GB besides"
    return table
