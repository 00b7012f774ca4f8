"""A dynamic run: LLaMA-Factory's model and trainer, with decisions, in a run directory of its own."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from dataflex.engine import state
from dataflex.engine.conductor import Conductor
from dataflex.errors import UserError
from dataflex.evidence.manifest import Manifest
from dataflex.host.arguments import HostArguments
from dataflex.host.builders import generation_options, make_trainer
from dataflex.host.prepare import Checked, Prepared, prepare


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
    run_dir = checked.output_dir if training.should_save else None
    if run_dir is not None:
        manifest = Manifest.of(
            config=checked.config,
            files=checked.files,
            facts=prepared.facts,
            decisions={kind: decision.name for kind, decision in prepared.decisions.items()},
        )
        manifest.start(run_dir, resumed=resume_from is not None)
    conductor = Conductor(prepared.facts, prepared.decisions, prepared.domains.row_tokens, run_dir)
    trainer = make_trainer(prepared, model, conductor, resume_from)
    result = trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if run_dir is not None and args.finetuning.plot_loss:
        _plot(prepared, training.output_dir)
    _evaluate(trainer, prepared)
    _close(trainer, args)
    if run_dir is not None:
        manifest.complete(run_dir, wall_seconds=time.monotonic() - started)


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
        options = generation_options(prepared)
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
