"""Parameters and operations beside those of the real models, counted by torch."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
)

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.planning.architecture import Architecture, of_config, of_model
from dataflex.planning.flops import Trained, forward, training

SIZES = {
    "vocab_size": 120,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}
EXPERTS = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 40,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, head_dim=12, tie_word_embeddings=True),
    "mistral": MistralConfig(**SIZES, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    "experts": Qwen2MoeConfig(**SIZES, **EXPERTS, tie_word_embeddings=True),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def made(kind: str) -> tuple[torch.nn.Module, Architecture]:
    config = CONFIGS[kind]
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    sizes = of_config(config.to_dict())
    return model, Architecture(**{**vars(sizes), "query_key_norm": kind == "qwen3"})


@pytest.mark.parametrize("kind", CONFIGS)
def test_parameters_are_those_of_the_model(kind: str) -> None:
    with torch.device("meta"):
        model, sizes = made(kind)
    assert sizes.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_papers_models_have_their_published_parameters() -> None:
    """As the models' own files of weights have them."""
    grid = grids.load("reproductions/paper.yaml")
    assert {name: of_model(entry).parameters for name, entry in grid["models"].items()} == {
        "Mistral-7B-v0.1": 7_241_732_096,
        "Llama-3.2-3B": 3_212_749_824,
        "Qwen2.5-1.5B": 1_543_714_304,
        "Qwen2.5-0.5B": 494_032_768,
        "Qwen3-Embedding-0.6B": 595_776_512,
    }


def test_a_model_that_is_built_has_the_parameters_it_will_have() -> None:
    """Those in the cards of the demo's models."""
    grid = grids.load("reproductions/demo.yaml")
    found = {name: of_model(entry).parameters for name, entry in grid["models"].items()}
    assert found == {"tiny": 501_984, "tiny_moe": 614_016, "chain": 76_864}


@pytest.mark.parametrize("targets", [TARGETS, ["q_proj", "down_proj"]])
def test_adapters_have_as_many_parameters_as_peft_gives_them(targets: list[str]) -> None:
    model, sizes = made("mistral")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    count = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert sizes.lora_parameters(4, targets) == count


def test_adapters_of_a_layer_that_is_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="no linear layer is called 'query'"):
        made("llama")[1].lora_parameters(4, ["query"])


def counted(model: torch.nn.Module, rows: int, length: int, *, backward: bool) -> int:
    ids = torch.randint(0, SIZES["vocab_size"], (rows, length))
    with FlopCounterMode(display=False) as counter:
        logits = model(input_ids=ids, use_cache=False).logits
        if backward:
            logits.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_operations_are_those_that_torch_counts(kind: str) -> None:
    model, sizes = made(kind)
    rows, length = 3, 20
    # Rotary angles are a product, too: one of each position with half of a head's width.
    angles = rows * length * sizes.head_width
    once = counted(model, rows, length, backward=False)
    assert forward(sizes, rows * length, length) + angles == pytest.approx(once, abs=2 * angles)
    both = counted(model, rows, length, backward=True)
    assert training(sizes, rows * length, length, Trained(None, False)) == pytest.approx(both, rel=1e-3)


def test_operations_with_adapters_are_those_that_torch_counts() -> None:
    model, sizes = made("mistral")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=TARGETS))
    # As LLaMA-Factory does for gradient checkpointing: the first layer's input has a gradient, too.
    adapted.enable_input_require_grads()
    rows, length = 2, 16
    trained = Trained(sizes.lora_parameters(4), False)
    found = counted(adapted, rows, length, backward=True)
    assert training(sizes, rows * length, length, trained) == pytest.approx(found, rel=1e-3)


def test_checkpointing_costs_the_blocks_forward_once_more() -> None:
    model, sizes = made("qwen2")
    rows, length = 2, 16
    plain = counted(model, rows, length, backward=True)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again = counted(model.train(), rows, length, backward=True) - plain
    ours = [training(sizes, rows * length, length, Trained(None, value)) for value in (True, False)]
    # Torch stops a block's second forward once all that backward asked for is there: before its last product.
    last = 2 * rows * length * SIZES["num_hidden_layers"] * SIZES["hidden_size"] * SIZES["intermediate_size"]
    assert again + last == pytest.approx(ours[0] - ours[1])


def test_a_token_meets_the_experts_that_it_is_sent_to_and_no_other() -> None:
    model, sizes = made("experts")
    layer = model.model.layers[0]
    expert = 3 * SIZES["hidden_size"] * EXPERTS["moe_intermediate_size"]
    inside = sum(
        p.numel() for name, p in layer.named_parameters() if "norm" not in name and "bias" not in name
    )
    unseen = (EXPERTS["num_experts"] - EXPERTS["num_experts_per_tok"]) * expert
    assert sizes.block_weights == SIZES["num_hidden_layers"] * (inside - unseen)
