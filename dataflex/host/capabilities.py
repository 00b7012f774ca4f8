"""What a configuration can offer to components, and what of LLaMA-Factory a dynamic run refuses.

A method must never be silently inactive: whatever would hide what it needs is refused before anything
loads, with the key to change.
"""

from __future__ import annotations

from typing import Any

from dataflex.engine.base import Component, Need
from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments
from dataflex.host.reference import check_reference
from dataflex.signals.routers import router_classes

ADAM = ("adamw_torch", "adamw_torch_fused", "adamw_torch_xla")
"""Optimizers of the Trainer that keep Adam's moments at full precision."""


FLASH_ATTENTION = (
    "flash_attn: fa2 needs a CUDA device and the package flash-attn (pip install --no-build-isolation "
    "-e '.[flash-attention]'); without it LLaMA-Factory would go on with another attention. Say "
    "flash_attn: auto for that one"
)


def has_flash_attention() -> bool:
    """Whether LLaMA-Factory would use FlashAttention-2 where it is asked for."""
    from transformers import is_torch_npu_available
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available() or is_torch_npu_available())


def check_attention(args: HostArguments) -> None:
    """Refuse an attention that is asked for and not there, for which another one would be taken in silence.

    Raises:
        UserError: says what to install, or what to ask for.
    """
    if args.training.do_train and args.model.flash_attn == "fa2" and not has_flash_attention():
        raise UserError(FLASH_ATTENTION)


def check_needs(name: str, component: Component, args: HostArguments) -> None:
    """Refuse a component whose needs can't be met. ``per_sample_loss`` always is: see ``check_host``.

    Raises:
        UserError: names what is missing, and the key to change.
    """
    needs = component.requirements()
    if "reference_model" in needs:
        source = component.reference()
        if source is None:
            raise UserError(f"component {name!r} needs a reference model, but names none")
        check_reference(source)
    _, data, training, finetuning, _ = args
    refused = [
        (
            "validation_set" in needs and not data.eval_dataset,
            "needs a validation set: name one in eval_dataset",
        ),
        (
            "generation" in needs and finetuning.stage != "sft",
            f"generates answers to prompts, which stage: {finetuning.stage} does not have; use stage: sft",
        ),
        (
            data.neat_packing
            and (bool(needs & {"hidden_states", "router_counts"}) or _embeds_by_itself(component)),
            "tells tokens from padding, which neat_packing: true hides: remove it",
        ),
        (
            "per_sample_gradient" in needs and training.fp16,
            "needs gradients of samples, which underflow without loss scaling: say bf16 instead of fp16",
        ),
        (
            "per_sample_gradient" in needs and _one_flat_tensor(training),
            "needs gradients of samples, which the flat parameters of fsdp version 1 don't give layer by "
            "layer: say fsdp_config: {version: 2}, or use deepspeed",
        ),
        (
            "saved_weights" in needs and bool(training.deepspeed or training.fsdp),
            "puts saved checkpoints in place of the weights, which deepspeed and fsdp keep in their own "
            "form: remove checkpoints, or the key deepspeed or fsdp",
        ),
        (
            "per_sample_gradient" in needs and finetuning.use_dora,
            "needs gradients of samples, which use_dora: true does not give layer by layer",
        ),
        (
            "adam_moments" in needs and not _keeps_moments(training, finetuning),
            f"needs Adam's moments, which optim: {training.optim.value} as configured does not keep: "
            "set optim: adamw_torch, or component_params: {gradient_type: sgd}",
        ),
    ]
    for wrong, reason in refused:
        if wrong:
            raise UserError(f"component {name!r} {reason}")


def check_model(needs: frozenset[Need], args: HostArguments) -> None:
    """Refuse a model that does not give what is needed, by its configuration, before its weights load.

    Where routers are needed that is a dense one, where gradients of samples are needed one of experts unless
    adapters alone are trained.

    A model of code from elsewhere is looked at when it has been loaded.

    Raises:
        UserError: names the model.
    """
    counts, gradients = bool(needs & {"router_counts", "frozen_routers"}), "per_sample_gradient" in needs
    if not counts and not gradients:
        return
    from llamafactory.model.loader import load_config
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    config = load_config(args.model)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    routed = bool(router_classes(model_class))
    if counts and not routed:
        raise UserError(
            f"model_name_or_path: {args.model.model_name_or_path} is a {model_class.__name__}, which has no "
            "router that tells which experts it chooses: take a mixture-of-experts model such as Mixtral, "
            "Qwen-MoE or OLMoE"
        )
    if gradients and routed and args.finetuning.finetuning_type != "lora":
        raise UserError(
            f"finetuning_type: {args.finetuning.finetuning_type} trains the routers and experts of a "
            f"{model_class.__name__}, of which there are no gradients of single samples: say lora"
        )


def _embeds_by_itself(component: Component) -> bool:
    """Whether rows are embedded by the model in training: neither another model nor vectors are named."""
    named = (getattr(component, key, None) for key in ("embedding_model", "vectors"))
    return "embeddings" in component.requirements() and not any(named)


def _one_flat_tensor(training: Any) -> bool:
    return bool(training.fsdp) and int((training.fsdp_config or {}).get("version", 1)) == 1


def _splits_samples(training: Any) -> bool:
    if not training.deepspeed:
        return False
    given = training.hf_deepspeed_config.config
    tensor = given.get("tensor_parallel") or {}
    return int(tensor.get("autotp_size", 1)) > 1 or int(given.get("sequence_parallel_size", 1)) > 1


def _keeps_moments(training: Any, finetuning: Any) -> bool:
    others = ("use_galore", "use_apollo", "use_badam", "use_adam_mini", "use_muon")
    return training.optim.value in ADAM and not any(getattr(finetuning, key, False) for key in others)


def check_host(args: HostArguments) -> None:
    """Refuse settings of LLaMA-Factory under which a dynamic run would not do what it says.

    Raises:
        UserError: names the key to change.
    """
    model, data, training, finetuning, _ = args
    refused = [
        (
            finetuning.stage not in ("pt", "sft"),
            f"stage: {finetuning.stage}",
            "data is decided in pt and sft",
        ),
        (
            not training.do_train,
            "do_train: false, which is LLaMA-Factory's default,",
            "there is nothing to decide without training; say do_train: true",
        ),
        (data.streaming, "streaming: true", "rows are drawn by number, which a stream does not have"),
        (
            bool(data.tokenized_path),
            f"tokenized_path: {data.tokenized_path}",
            "it holds all datasets in one, without their domains",
        ),
        (
            data.mix_strategy != "concat",
            f"mix_strategy: {data.mix_strategy}",
            "the order of domains is dataflex's own; say init_mixture_proportions instead",
        ),
        (
            data.val_size > 1 and len(data.dataset) > 1,
            f"val_size: {data.val_size}",
            "with several datasets it must be a fraction, which is taken from each",
        ),
        (
            model.enable_liger_kernel,
            "enable_liger_kernel: true",
            "its fused loss hides the losses of samples",
        ),
        (model.use_unsloth, "use_unsloth: true", "its fused loss hides the losses of samples"),
        (
            bool(model.moe_aux_loss_coef),
            f"moe_aux_loss_coef: {model.moe_aux_loss_coef}",
            "the router's loss is not part of the samples' losses yet",
        ),
        (
            training.label_smoothing_factor > 0,
            f"label_smoothing_factor: {training.label_smoothing_factor}",
            "it replaces the losses of tokens that decisions are made from",
        ),
        (
            finetuning.use_dft_loss or finetuning.use_eaft_loss or finetuning.use_asft_loss,
            "use_dft_loss, use_eaft_loss or use_asft_loss: true",
            "it replaces the losses of tokens that decisions are made from",
        ),
        (
            not data.ignore_pad_token_for_loss,
            "ignore_pad_token_for_loss: false",
            "a sample's loss would depend on the padding of its batch",
        ),
        (
            finetuning.use_mca or finetuning.use_hyper_parallel or model.use_kt,
            "use_mca, use_hyper_parallel or use_kt: true",
            "LLaMA-Factory trains those with another trainer",
        ),
        (
            finetuning.include_effective_tokens_per_second,
            "include_effective_tokens_per_second: true",
            "it counts tokens as if every row came equally often; the ledger counts those that did",
        ),
        (
            training.accelerator_config.split_batches or bool(training.accelerator_config.dispatch_batches),
            "accelerator_config: split_batches or dispatch_batches",
            "which rows a rank gets is part of the order of rows",
        ),
        (
            training.use_cpu and bool(training.deepspeed),
            "use_cpu: true beside deepspeed",
            "the Trainer then starts the processes without DeepSpeed, which finds CPUs by itself",
        ),
        (
            _splits_samples(training),
            "tensor or sequence parallelism in the configuration of deepspeed",
            "several ranks would train the same samples, and each counts as one that has its own",
        ),
        (
            training.auto_find_batch_size,
            "auto_find_batch_size: true",
            "the order of rows is made for one batch size",
        ),
        (
            not training.average_tokens_across_devices,
            "average_tokens_across_devices: false",
            "the gradient would depend on how samples are split over ranks",
        ),
        (
            finetuning.disable_shuffling,
            "disable_shuffling: true",
            "the order of rows is decided by the component",
        ),
        (
            training.train_sampling_strategy != "random",
            f"train_sampling_strategy: {training.train_sampling_strategy}",
            "the order of rows is decided by the component",
        ),
    ]
    for wrong, setting, reason in refused:
        if wrong:
            raise UserError(f"{setting} does not work in a dynamic run: {reason}")
