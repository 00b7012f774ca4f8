"""From a configuration to a run that could begin: everything that can be checked without a model.

``check`` tokenises nothing; ``prepare`` loads tokenizer and data and works out the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.arrays import FloatArray
from dataflex.config import DataFlexConfig, components_of, split
from dataflex.engine.base import Component, Need
from dataflex.engine.decision import Decision
from dataflex.engine.facts import Facts
from dataflex.engine.proportions import as_proportions
from dataflex.engine.schedule import Kind, make_schedule, run_steps
from dataflex.engine.selector import Selector
from dataflex.errors import UserError, one_line
from dataflex.host.arguments import HostArguments, dataset_files, local_files, parse
from dataflex.host.attention import mend_flash_attention
from dataflex.host.capabilities import check_attention, check_host, check_model, check_needs
from dataflex.host.domains import Domains, load_domains
from dataflex.host.packed import load_packed, packed_files, refuse_held_out_target
from dataflex.host.reference import frozen_model
from dataflex.host.validation import load_validation, raw_facts
from dataflex.signals.reference import FrozenModel
from dataflex.signals.scores import row_keys

_DEVICE_KEYS = {"deepspeed", "fsdp", "fsdp_config", "bf16", "fp16", "flash_attn"}


@dataclass(frozen=True)
class Checked:
    """A configuration that has passed every check for which nothing is tokenised."""

    config: dict[str, Any]
    """As run: the file and its overrides."""
    own: DataFlexConfig
    args: HostArguments
    components: dict[Kind, tuple[str, Component]]
    files: dict[str, list[Path]]
    """Local files of each dataset."""
    ranks: int
    """Processes that train together."""

    @property
    def needs(self) -> frozenset[Need]:
        """What the components need together."""
        return frozenset[Need]().union(*(one.requirements() for _, one in self.components.values()))

    @property
    def batch_rows(self) -> int:
        """Rows of one optimizer step, over micro-batches, accumulation and ranks."""
        training = self.args.training
        return int(training.per_device_train_batch_size * training.gradient_accumulation_steps * self.ranks)

    @property
    def output_dir(self) -> Path:
        """The run directory."""
        return Path(self.args.training.output_dir)


@dataclass(frozen=True)
class Prepared:
    """A run whose data is loaded and whose schedule is known."""

    checked: Checked
    domains: Domains
    facts: Facts
    decisions: dict[Kind, Decision]
    template: Any
    tokenizer_module: dict[str, Any]
    own_end: int | None
    """The tokenizer's end of text, which the template may have replaced by its own."""
    reference: FrozenModel | None
    """What losses are compared with, when a component needs it."""


def check(config: dict[str, Any], *, planned_ranks: int | None = None) -> Checked:
    """Check a configuration as far as that goes without a tokenizer.

    Of the data only the validation set's columns are read.

    Args:
        config: the file and its overrides.
        planned_ranks: processes of a run that is only planned: this one is then no rank of it, and what
            concerns the devices alone is left out. None: this process is a rank.

    Raises:
        UserError: what is wrong and what to change.
    """
    own, host_config = split(config)
    if planned_ranks is not None:
        host_config = {k: v for k, v in host_config.items() if k not in _DEVICE_KEYS} | {"use_cpu": True}
    components = components_of(own)
    args = parse(host_config)
    check_attention(args)
    if args.model.flash_attn == "fa2":
        mend_flash_attention()
    if own.packed_corpus is not None:
        files = packed_files(Path(own.packed_corpus), config, args)
    else:
        files = dataset_files(args.data) if args.training.do_train else {}
    evaluation = [name for name in args.data.eval_dataset or [] if name not in files]
    files |= {name: local_files(args.data, name) for name in evaluation}
    if own.is_dynamic:
        check_host(args)
        for name, component in components.values():
            check_needs(name, component, args)
            if own.packed_corpus is not None:
                refuse_held_out_target(name, component, args)
        if own.init_mixture_proportions is not None:
            as_proportions(own.init_mixture_proportions, args.data.dataset, "init_mixture_proportions")
        _early_facts(own, args, components)
    ranks = args.training.world_size if planned_ranks is None else planned_ranks
    return Checked(config, own, args, components, files, ranks)


def _early_facts(
    own: DataFlexConfig, args: HostArguments, components: dict[Kind, tuple[str, Component]]
) -> None:
    """Let components check what needs no more than names, before anything is tokenised."""
    count = len(args.data.dataset)
    equal = np.full(count, 1 / count)
    ones = np.ones(count, np.int64)
    wanted = any("validation_set" in component.requirements() for _, component in components.values())
    validation = raw_facts(args) if wanted else None
    facts = Facts(tuple(args.data.dataset), ones, ones, equal, args.training.seed, 1, 1, validation)
    for _, component in components.values():
        component.check(facts)


def prepare(checked: Checked) -> Prepared:
    """Load tokenizer and data and work out the schedule.

    Raises:
        UserError: an empty domain, or a schedule that the data can't fill.
    """
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    args, own = checked.args, checked.own
    try:
        tokenizer_module = load_tokenizer(args.model)
    except (ValueError, OSError) as error:
        reason = one_line(error)
        raise UserError(
            f"no tokenizer at model_name_or_path {args.model.model_name_or_path}: {reason}"
        ) from error
    own_end = tokenizer_module["tokenizer"].eos_token_id
    try:
        template = get_template_and_fix_tokenizer(tokenizer_module["tokenizer"], args.data)
    except ValueError as error:
        raise UserError(f"template: {args.data.template}: {error}") from None
    reference = frozen_model(
        (component for _, component in checked.components.values()),
        args,
        lambda other: get_template_and_fix_tokenizer(other, args.data),
        tokenizer_module["tokenizer"],
    )
    check_model(checked.needs, args)
    if own.packed_corpus is not None:
        domains = load_packed(Path(own.packed_corpus), args, template, tokenizer_module)
    else:
        domains = load_domains(args, template, tokenizer_module)
    validation = None
    if "validation_set" in checked.needs:
        rows, validation = load_validation(args, template, tokenizer_module)
        domains = replace(domains, validation=rows)
    decision_list = own.decision_list()
    total_steps = run_steps(
        {d.kind: (d.warmup_step, d.update_step, d.update_times) for d in decision_list},
        train_step=own.train_step,
        max_steps=args.training.max_steps,
        epochs=args.training.num_train_epochs,
        rows=len(domains.rows),
        batch_rows=checked.batch_rows,
        drop_last=args.training.dataloader_drop_last,
    )
    data_seed = args.training.data_seed
    facts = Facts(
        domains=domains.names,
        rows=domains.counts,
        loss_tokens=domains.loss_tokens(),
        proportions=_initial_proportions(own, domains),
        seed=args.training.seed if data_seed is None else data_seed,
        batch_rows=checked.batch_rows,
        total_steps=total_steps,
        validation=validation,
        row_keys=lambda: row_keys(domains.rows),
        vocabulary=len(tokenizer_module["tokenizer"]),
    )
    decisions = {}
    for configured in decision_list:
        name, component = checked.components[configured.kind]
        schedule = make_schedule(
            configured.kind,
            configured.warmup_step,
            configured.update_step,
            configured.update_times,
            total_steps,
            constant=component.constant,
        )
        component.check(facts)
        if configured.kind != "weight" and schedule.updates < component.least_updates:
            raise UserError(
                f"component {name!r} needs {component.least_updates} updates between warm-ups, the schedule "
                f"has {schedule.updates}: raise update_times"
            )
        decisions[configured.kind] = Decision(name, component, schedule)
    _check_phase_fits(decisions, facts)
    return Prepared(checked, domains, facts, decisions, template, tokenizer_module, own_end, reference)


def _initial_proportions(own: DataFlexConfig, domains: Domains) -> FloatArray:
    if own.init_mixture_proportions is not None:
        return as_proportions(own.init_mixture_proportions, domains.names, "init_mixture_proportions")
    if own.mixture_sample_rule == "uniform":
        return np.full(len(domains.names), 1 / len(domains.names))
    tokens = domains.loss_tokens().astype(np.float64)
    return tokens / tokens.sum()


def _check_phase_fits(decisions: dict[Kind, Decision], facts: Facts) -> None:
    decision = decisions.get("select")
    if decision is None:
        return
    assert isinstance(decision.component, Selector)
    asked = decision.schedule.update_step * facts.batch_rows
    if asked > facts.total_rows and not decision.component.repeats_rows():
        most = facts.total_rows // facts.batch_rows
        advice = f"update_step: {most}" if most else f"more data than {facts.total_rows} rows"
        raise UserError(
            f"update_step is {decision.schedule.update_step}, which asks for {asked} rows a phase out of "
            f"{facts.total_rows}: use at most {advice}"
        )
