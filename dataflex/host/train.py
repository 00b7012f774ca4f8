"""A dynamic run: LLaMA-Factory's model and trainer, with decisions, in a run directory of its own."""

from __future__ import annotations

import math
import time
from typing import Any

from dataflex.collectives import leave_ranks
from dataflex.engine import state
from dataflex.engine.checkpoints import step_of
from dataflex.engine.conductor import Conductor
from dataflex.engine.interruption import Interruption
from dataflex.engine.stopping import StopAtStepEnd
from dataflex.errors import Interrupted
from dataflex.evidence.manifest import Manifest, is_completed
from dataflex.host.arguments import HostArguments
from dataflex.host.builders import generation_options, make_trainer
from dataflex.host.prepare import Checked, Prepared, prepare
from dataflex.host.resume import (
    allow_cpu_resume,
    refuse_other_sharding,
    resume_point,
    set_aside_later,
)
from dataflex.signals.routers import freeze_routers


def train(checked: Checked, interruption: Interruption | None = None) -> None:
    """Train as configured and leave a run directory that explains itself.

    Args:
        checked: the configuration.
        interruption: what may ask the run to stop before its end.

    Raises:
        Interrupted: it has; a checkpoint is saved.
    """
    from llamafactory.model import load_model

    started = time.monotonic()
    prepared = prepare(checked)
    args, training = checked.args, checked.args.training
    tokenizer = prepared.tokenizer_module["tokenizer"]
    training.max_steps = prepared.facts.total_steps
    resume_from = resume_point(
        checked.config.get("resume_from_checkpoint"),
        checked.output_dir,
        overwrite=bool(getattr(training, "overwrite_output_dir", False)),
        total_steps=prepared.facts.total_steps,
    )
    if resume_from is not None:
        state.refuse_other_run(resume_from, prepared.facts, prepared.decisions)
        refuse_other_sharding(resume_from, training)
    finished = resume_from is not None and step_of(resume_from) >= prepared.facts.total_steps
    if finished and is_completed(checked.output_dir):
        print(f"{checked.output_dir} is complete: nothing to do")
        return
    allow_cpu_resume(training)
    model = load_model(tokenizer, args.model, args.finetuning, is_trainable=True)
    if "frozen_routers" in checked.needs:
        freeze_routers(model)
    run_dir = checked.output_dir if training.should_save else None
    if run_dir is not None:
        manifest = Manifest.of(checked.config, checked.files, prepared.facts, prepared.decisions)
        manifest.content["attention"] = getattr(model.config, "_attn_implementation", None)
        set_aside_later(run_dir, resume_from)
        manifest.start(run_dir, from_step=step_of(resume_from) if resume_from else 0)
    conductor = Conductor(prepared.facts, prepared.decisions, prepared.domains.row_tokens, run_dir)
    trainer = make_trainer(prepared, model, conductor, resume_from)
    if interruption is not None:
        trainer.stop_in_order(StopAtStepEnd(interruption))
    try:
        result = trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except Interrupted:
        if run_dir is not None:
            manifest.interrupt(run_dir, time.monotonic() - started)
        leave_ranks()
        raise
    trainer.save_model()
    if not finished:
        trainer.log_metrics("train", result.metrics)
        trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if run_dir is not None and args.finetuning.plot_loss:
        _plot(prepared, training.output_dir)
    _evaluate(trainer, prepared)
    # Its numbers come from the first rank, which the others have to be there for.
    learned = conductor.learned_proportions()
    _close(trainer, args)
    if run_dir is not None:
        manifest.complete(run_dir, time.monotonic() - started, learned)


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
    from llamafactory.train.trainer_utils import create_modelcard_and_push

    create_modelcard_and_push(trainer, args.model, args.data, args.training, args.finetuning)
    leave_ranks()
