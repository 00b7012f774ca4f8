"""Tiny untrained models of real architectures, the same weights each time."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}
EXPERTS: dict[str, Any] = {
    "head_dim": 8,
    "moe_intermediate_size": 12,
    "shared_expert_intermediate_size": 20,
    "num_experts": 5,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
}
"""Keys of mixture-of-experts models; every architecture reads its own."""
KINDS_OF_EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe")


def dense(**changes: Any) -> Qwen2ForCausalLM:
    """A model of one kind of layer; ``vocab_size`` must be given."""
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**SIZES | changes))


def with_experts(kind: str, **changes: Any) -> Any:
    """A model with routers, far enough apart that tokens differ in their experts; ``vocab_size`` must be given.

    Of the architectures some start with all-zero routers.
    """
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES | EXPERTS | changes))
    for name, parameter in model.named_parameters():
        if name.endswith("mlp.gate.weight"):
            torch.nn.init.normal_(parameter)
    return model
