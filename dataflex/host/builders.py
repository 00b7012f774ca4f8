"""Trainer, collator, metrics and callbacks as LLaMA-Factory would build them for a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflex.engine.conductor import Conductor
from dataflex.host.arguments import HostArguments
from dataflex.host.prepare import Prepared


def make_trainer(prepared: Prepared, model: Any, conductor: Conductor, resume_from: Path | None) -> Any:
    """Return LLaMA-Factory's trainer of the stage, with the hooks of a dynamic run mixed in."""
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
        "validation": prepared.domains.validation,
        "end_tokens": answer_ends(prepared, model),
        "reference": prepared.reference,
        "resume_from": resume_from,
        "model": model,
        "args": args.training,
        "finetuning_args": args.finetuning,
        "train_dataset": prepared.domains.rows,
        "eval_dataset": prepared.domains.evaluation,
        "callbacks": callbacks(args),
        "data_collator": collator(prepared, model),
        **prepared.tokenizer_module,
    }
    if args.finetuning.stage == "pt":
        return PretrainingTrainer(**common)
    return FinetuningTrainer(**common, gen_kwargs=generation_options(prepared), **metrics(prepared))


def collator(prepared: Prepared, model: Any) -> Any:
    """Return the stage's data collator."""
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


def metrics(prepared: Prepared) -> dict[str, Any]:
    """Return the trainer's arguments that make it compute generation or accuracy metrics."""
    from llamafactory.train.sft.metric import ComputeAccuracy, ComputeSimilarity, eval_logit_processor

    args = prepared.checked.args
    if args.training.predict_with_generate:
        return {"compute_metrics": ComputeSimilarity(tokenizer=prepared.tokenizer_module["tokenizer"])}
    if args.finetuning.compute_accuracy:
        return {"compute_metrics": ComputeAccuracy(), "preprocess_logits_for_metrics": eval_logit_processor}
    return {}


def generation_options(prepared: Prepared) -> dict[str, Any]:
    """Return the keyword arguments of generation during evaluation."""
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


def answer_ends(prepared: Prepared, model: Any) -> list[int]:
    """Return the tokens that end an answer which is sampled to measure with.

    Those of generation during evaluation, and the model's own: a base model has never seen the end that a
    template such as llama3 puts in their place, and would go on to the longest answer.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = [*generation_options(prepared)["eos_token_id"], prepared.own_end]
    ends += own if isinstance(own, list) else [own]
    return [end for end in dict.fromkeys(ends) if end is not None]


def callbacks(args: HostArguments) -> list[Any]:
    """Return the callbacks that LLaMA-Factory adds for a configuration."""
    from llamafactory.train import callbacks as host_callbacks
    from llamafactory.train import trainer_utils
    from transformers import EarlyStoppingCallback

    finetuning, training = args.finetuning, args.training
    chosen: list[Any] = [host_callbacks.LogCallback()]
    if finetuning.pissa_convert:
        chosen.append(host_callbacks.PissaConvertCallback())
    if finetuning.use_swanlab:
        chosen.append(trainer_utils.get_swanlab_callback(finetuning))
    if finetuning.early_stopping_steps is not None:
        chosen.append(EarlyStoppingCallback(early_stopping_patience=finetuning.early_stopping_steps))
    if getattr(training, "enable_torch_profiler", False):
        chosen.append(host_callbacks.TorchProfilerCallback(training))
    if getattr(training, "profile_modules", None):
        chosen.append(host_callbacks.ModuleProfilerCallback(training.profile_modules))
    chosen.append(host_callbacks.ReporterCallback(args.model, args.data, finetuning, args.generating))
    return chosen
