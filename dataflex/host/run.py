"""A dynamic run, from a configuration to a trained model, with LLaMA-Factory's builders.

``prepare`` checks everything that can be checked without a model and loads the data; ``train`` goes on from
there. ``dataflex-cli plan`` stops in between.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.config import DataFlexConfig, component_of, split
from dataflex.engine import state
from dataflex.engine.component import Component, Facts, FloatArray, Selector
from dataflex.engine.conductor import Conductor, Decision
from dataflex.engine.proportions import as_proportions
from dataflex.engine.schedule import Kind, make_schedule, run_steps
from dataflex.errors import UserError
from dataflex.evidence.manifest import Manifest
from dataflex.host.arguments import HostArguments, dataset_files, parse
from dataflex.host.capabilities import check_host, check_needs
from dataflex.host.domains import Domains, load_domains


@dataclass(frozen=True)
class Checked:
    """A configuration that has passed every check for which no data is needed."""

    config: dict[str, Any]
    """As run: the file and its overrides."""
    own: DataFlexConfig
    args: HostArguments
    components: dict[Kind, tuple[str, Component]]
    files: dict[str, list[Path]]
    """Local files of each dataset."""

    @property
    def batch_rows(self) -> int:
        """Rows of one optimizer step, over micro-batches, accumulation and ranks."""
        training = self.args.training
        return int(
            training.per_device_train_batch_size * training.gradient_accumulation_steps * training.world_size
        )

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


def check(config: dict[str, Any]) -> Checked:
    """Check a configuration as far as that goes without loading data.

    Raises:
        UserError: what is wrong and what to change.
    """
    own, host_config = split(config)
    components: dict[Kind, tuple[str, Component]] = {
        decision.kind: (decision.component_name, component_of(decision, own.components_cfg_file))
        for decision in own.decision_list()
    }
    args = parse(host_config)
    files = dataset_files(args.data) if args.training.do_train else {}
    if own.is_dynamic:
        check_host(args)
        for name, component in components.values():
            check_needs(name, component, args)
        if own.init_mixture_proportions is not None:
            as_proportions(own.init_mixture_proportions, args.data.dataset, "init_mixture_proportions")
        _early_facts(own, args, components)
    return Checked(config, own, args, components, files)


def _early_facts(
    own: DataFlexConfig, args: HostArguments, components: dict[Kind, tuple[str, Component]]
) -> None:
    """Let components check what only needs the domains' names, before anything is tokenised."""
    count = len(args.data.dataset)
    equal = np.full(count, 1 / count)
    ones = np.ones(count, np.int64)
    facts = Facts(tuple(args.data.dataset), ones, ones, equal, args.training.seed, 1, 1)
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
        reason = " ".join(str(error).split())
        raise UserError(f"no tokenizer at model_name_or_path {args.model.model_name_or_path}: {reason}") from error
    template = get_template_and_fix_tokenizer(tokenizer_module["tokenizer"], args.data)
    domains = load_domains(args, template, tokenizer_module)
    decision_list = own.decision_list()
    total_steps = run_steps(
        {d.kind: (d.warmup_step, d.update_step, d.update_times) for d in decision_list},
        train_step=own.train_step,
        max_steps=args.training.max_steps,
        epochs=args.training.num_train_epochs,
        rows=len(domains.rows),
        batch_rows=checked.batch_rows,
    )
    facts = Facts(
        domains=domains.names,
        rows=domains.counts,
        loss_tokens=domains.loss_tokens(),
        proportions=_initial_proportions(own, domains),
        seed=args.training.seed,
        batch_rows=checked.batch_rows,
        total_steps=total_steps,
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
        decisions[configured.kind] = Decision(name, component, schedule)
    _check_phase_fits(decisions, facts)
    return Prepared(checked, domains, facts, decisions, template, tokenizer_module)


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


def train(checked: Checked) -> None:
    """Train as configured and leave a run directory that explains itself."""
    from llamafactory.model import load_model

    started = time.monotonic()
    prepared = prepare(checked)
    args, training = checked.args, checked.args.training
    tokenizer = prepared.tokenizer_module["tokenizer"]
    training.max_steps = prepared.facts.total_steps
    resume_from = _resume_from(checked)
    _allow_cpu_resume(training)
    model = load_model(tokenizer, args.model, args.finetuning, is_trainable=True)
    manifest = Manifest.of(
        config=checked.config,
        files=checked.files,
        facts=prepared.facts,
        decisions={kind: d.name for kind, d in prepared.decisions.items()},
    )
    writes = training.should_save
    if writes:
        manifest.start(checked.output_dir, resumed=resume_from is not None)
    conductor = Conductor(
        prepared.facts, prepared.decisions, prepared.domains.row_tokens, checked.output_dir if writes else None
    )
    trainer = _make_trainer(prepared, model, conductor, resume_from)
    result = trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if writes and args.finetuning.plot_loss:
        _plot(prepared, training.output_dir)
    _evaluate(trainer, prepared)
    _close(trainer, args)
    if writes:
        manifest.complete(checked.output_dir, wall_seconds=time.monotonic() - started)


def _resume_from(checked: Checked) -> Path | None:
    """Return the newest complete checkpoint to go on from, as LLaMA-Factory would, or none.

    Raises:
        UserError: the run directory is in use by another kind of run, or the named checkpoint is not whole.
    """
    training = checked.args.training
    named = training.resume_from_checkpoint
    if isinstance(named, str) and named.lower() not in ("true", "false"):
        path = Path(named)
        last = checked.output_dir
        # The parser puts the last checkpoint of output_dir here by itself; a user's own choice must be whole.
        if path.parent != last and not state.is_complete(path):
            raise UserError(f"resume_from_checkpoint: {path} is not a complete checkpoint of a dynamic run")
        if state.is_complete(path):
            return path
    if getattr(training, "overwrite_output_dir", False) or not checked.output_dir.is_dir():
        return None
    complete = [path for path in checked.output_dir.glob("checkpoint-*") if state.is_complete(path)]
    return max(complete, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def _allow_cpu_resume(training: Any) -> None:
    """Let torch load a checkpoint on a CPU that has a number, as several processes on CPUs ask for.

    torch knows the place "cpu" but not "cpu:0", which the Trainer names when ranks have local numbers.
    """
    import torch

    if training.world_size > 1 and training.device.type == "cpu":
        torch.serialization.register_package(
            5, lambda _: None, lambda storage, place: storage if place.startswith("cpu") else None
        )


def _make_trainer(prepared: Prepared, model: Any, conductor: Conductor, resume_from: Path | None) -> Any:
    from llamafactory.train.pt.trainer import CustomTrainer
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer

    from dataflex.engine.trainer import DynamicTrainer

    class PretrainingTrainer(DynamicTrainer, CustomTrainer):
        """Pre-training with decisions."""

    class FinetuningTrainer(DynamicTrainer, CustomSeq2SeqTrainer):
        """Supervised fine-tuning with decisions."""

    args = prepared.checked.args
    common: dict[str, Any] = {
        "conductor": conductor,
        "row_lengths": prepared.domains.lengths,
        "resume_from": resume_from,
        "model": model,
        "args": args.training,
        "finetuning_args": args.finetuning,
        "train_dataset": prepared.domains.rows,
        "eval_dataset": prepared.domains.evaluation,
        "callbacks": _callbacks(args),
        "data_collator": _collator(prepared, model),
        **prepared.tokenizer_module,
    }
    if args.finetuning.stage == "pt":
        return PretrainingTrainer(**common)
    return FinetuningTrainer(**common, gen_kwargs=_generation_options(prepared), **_metrics(prepared))


def _collator(prepared: Prepared, model: Any) -> Any:
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask
    from transformers import DataCollatorForLanguageModeling

    args, tokenizer = prepared.checked.args, prepared.tokenizer_module["tokenizer"]
    if args.finetuning.stage == "pt":
        return DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=False)
    ignore = args.data.ignore_pad_token_for_loss
    return SFTDataCollatorWith4DAttentionMask(
        template=prepared.template,
        model=None if args.training.predict_with_generate else model,
        pad_to_multiple_of=8,
        label_pad_token_id=-100 if ignore else tokenizer.pad_token_id,
        block_diag_attn=args.model.block_diag_attn,
        neat_packing=args.data.neat_packing,
        attn_implementation=getattr(model.config, "_attn_implementation", None),
        compute_dtype=args.model.compute_dtype,
        **prepared.tokenizer_module,
    )


def _metrics(prepared: Prepared) -> dict[str, Any]:
    from llamafactory.train.sft.metric import ComputeAccuracy, ComputeSimilarity, eval_logit_processor

    args = prepared.checked.args
    if args.training.predict_with_generate:
        return {"compute_metrics": ComputeSimilarity(tokenizer=prepared.tokenizer_module["tokenizer"])}
    if args.finetuning.compute_accuracy:
        return {"compute_metrics": ComputeAccuracy(), "preprocess_logits_for_metrics": eval_logit_processor}
    return {}


def _generation_options(prepared: Prepared) -> dict[str, Any]:
    tokenizer = prepared.tokenizer_module["tokenizer"]
    options = dict(prepared.checked.args.generating.to_dict(obey_generation_config=True))
    extra = getattr(tokenizer, "additional_special_tokens_ids", None)
    if not isinstance(extra, list):
        # transformers 5 keeps the tokens, not their ids.
        tokens = [str(token) for token in getattr(tokenizer, "_extra_special_tokens", [])]
        extra = [index for index in tokenizer.convert_tokens_to_ids(tokens) if index != -1]
    options["eos_token_id"] = list(dict.fromkeys([tokenizer.eos_token_id, *extra]))
    options["pad_token_id"] = tokenizer.pad_token_id
    return options


def _callbacks(args: HostArguments) -> list[Any]:
    """Return the callbacks that LLaMA-Factory adds for a configuration."""
    from llamafactory.train import callbacks, trainer_utils
    from transformers import EarlyStoppingCallback

    finetuning, training = args.finetuning, args.training
    chosen: list[Any] = [callbacks.LogCallback()]
    if finetuning.pissa_convert:
        chosen.append(callbacks.PissaConvertCallback())
    if finetuning.use_swanlab:
        chosen.append(trainer_utils.get_swanlab_callback(finetuning))
    if finetuning.early_stopping_steps is not None:
        chosen.append(EarlyStoppingCallback(early_stopping_patience=finetuning.early_stopping_steps))
    if getattr(training, "enable_torch_profiler", False):
        chosen.append(callbacks.TorchProfilerCallback(training))
    if getattr(training, "profile_modules", None):
        chosen.append(callbacks.ModuleProfilerCallback(training.profile_modules))
    chosen.append(callbacks.ReporterCallback(args.model, args.data, finetuning, args.generating))
    return chosen


def _eval_names(prepared: Prepared) -> list[str]:
    evaluation = prepared.domains.evaluation
    return [f"eval_{name}" for name in evaluation] if isinstance(evaluation, dict) else ["eval"]


def _plot(prepared: Prepared, output_dir: str) -> None:
    from llamafactory.extras.ploting import plot_loss

    keys = [f"{name}_loss" for name in _eval_names(prepared)]
    if prepared.checked.args.finetuning.stage == "sft":
        keys += [f"{name}_accuracy" for name in _eval_names(prepared)]
    plot_loss(output_dir, keys=["loss", *keys])


def _evaluate(trainer: Any, prepared: Prepared) -> None:
    """Evaluate and predict after training, as LLaMA-Factory does."""
    args, training = prepared.checked.args, prepared.checked.args.training
    options = {}
    if args.finetuning.stage == "sft":
        options = _generation_options(prepared)
        if training.predict_with_generate:
            prepared.tokenizer_module["tokenizer"].padding_side = "left"
    if training.do_eval:
        metrics = trainer.evaluate(metric_key_prefix="eval", **options)
        if args.finetuning.stage == "pt":
            for name in _eval_names(prepared):
                loss = metrics[f"{name}_loss"]
                metrics[f"{name}_perplexity"] = math.exp(loss) if loss < 700 else math.inf
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training.do_predict:
        predictions = trainer.predict(prepared.domains.evaluation, metric_key_prefix="predict", **options)
        trainer.log_metrics("predict", predictions.metrics)
        trainer.save_metrics("predict", predictions.metrics)
        trainer.save_predictions(
            prepared.domains.evaluation, predictions, args.generating.skip_special_tokens
        )


def _close(trainer: Any, args: HostArguments) -> None:
    import torch.distributed as dist
    from llamafactory.train.trainer_utils import create_modelcard_and_push

    create_modelcard_and_push(trainer, args.model, args.data, args.training, args.finetuning)
    if dist.is_initialized():
        dist.destroy_process_group()
