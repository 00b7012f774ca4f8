"""Per-sample gradients against autograd on one row at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.checkpoint import checkpoint

from dataflex.errors import UserError
from dataflex.signals import gradients
from dataflex.signals.gradients import SampleGradients
from dataflex.signals.losses import mean_losses
from dataflex.signals.passes import Rows
from dataflex.signals.untouched import untouched

from .conftest import make_rows, tiny_model

Alone = Callable[[nn.Module, Rows, int], torch.Tensor]


def lora(model: nn.Module, **options: Any) -> nn.Module:
    torch.manual_seed(1)
    adapted = get_peft_model(
        model, LoraConfig(r=3, lora_alpha=7, lora_dropout=0.4, target_modules="all-linear", **options)
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return adapted


class Scaled(nn.Module):
    """A layer that no formula knows: it even mixes the positions of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 16))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(hidden * torch.tanh(self.scale), 1) / 4


def unknown_layer() -> nn.Module:
    model = tiny_model()
    model.model.layers[1].self_attn.o_proj = nn.Sequential(model.model.layers[1].self_attn.o_proj, Scaled())
    return model


def only(model: nn.Module, *parts: str) -> nn.Module:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))
    return model


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=16, n_layer=2, n_head=2, n_positions=64))
    return only(model, "h.", "ln_f")


def gemma3() -> nn.Module:
    """Its embedding scales what it looks up, and is tied to the head."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "head_dim": 8, "sliding_window": 32}
    return Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=61, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, **sizes
        )
    )


def opt() -> nn.Module:
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "ffn_dim": 24, "word_embed_proj_dim": 16, "max_position_embeddings": 64}
    return OPTForCausalLM(OPTConfig(vocab_size=61, num_hidden_layers=2, num_attention_heads=2, **sizes))


MODELS = {
    "full": tiny_model,
    "tied": lambda: tiny_model(tie_word_embeddings=True),
    "lora": lambda: lora(tiny_model()),
    "lora and embeddings": lambda: lora(tiny_model(), modules_to_save=["embed_tokens", "lm_head"]),
    "norms": lambda: only(tiny_model(), "norm"),
    "biases": lambda: only(tiny_model(), "bias"),
    "last layer": lambda: only(tiny_model(), "layers.1"),
    "unknown layer": unknown_layer,
    "gpt2": gpt2,
    "gemma3": gemma3,
    "opt, layers": lambda: only(opt(), "layers"),
}


def collect(model: nn.Module, rows: Rows, chosen: list[int], samples: int | None = None) -> torch.Tensor:
    engine = SampleGradients(model)
    batch = rows.batch(chosen)
    shape = tuple(batch["labels"].shape)
    found = [torch.full((samples or len(chosen), p.numel()), torch.nan) for _, p in engine.parameters]

    def keep(parameter: int, chunk: slice, gradient: torch.Tensor) -> None:
        found[parameter][chunk] = gradient

    with untouched(model, backward=True):
        engine.run(lambda: mean_losses(model, batch).sum(), shape, samples or len(chosen), keep)  # type: ignore[arg-type]
    return torch.cat(found, 1)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.isfinite(found).all()
    scale = expected.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    assert ((found - expected).norm(dim=-1, keepdim=True) / scale).max() < 1e-6


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("kind", MODELS)
def test_gradients_equal_autograd_on_each_row_alone(
    kind: str, left: bool, tokens: list[list[int]], gradient_alone: Alone
) -> None:
    if kind in ("gpt2", "unknown layer", "opt, layers") and left:
        pytest.skip("the positions of these models count the padding in front")
    model = MODELS[kind]()
    rows = make_rows(tokens, left=left, pad_to=8)
    model.eval()
    expected = torch.stack([gradient_alone(model, make_rows(tokens), row) for row in range(len(tokens))])
    model.train()
    close(collect(model, rows, list(range(len(tokens)))), expected)


@pytest.mark.parametrize("way", ["plain", "reentrant", "llamafactory"])
@pytest.mark.parametrize("kind", ["full", "tied", "lora", "last layer"])
def test_gradient_checkpointing_changes_nothing(kind: str, way: str, tokens: list[list[int]]) -> None:
    """Also with LLaMA-Factory's own function, which leaves blocks without trained parameters alone."""
    rows, chosen = make_rows(tokens), [1, 4, 2, 7]
    model = MODELS[kind]()
    model.train()
    plain = collect(model, rows, chosen)
    model.gradient_checkpointing_enable({"use_reentrant": way == "reentrant"})  # type: ignore[operator]
    blocks = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    if way == "llamafactory":
        from llamafactory.model.model_utils.checkpointing import get_custom_gradient_checkpointing_func

        for block in blocks:
            block._gradient_checkpointing_func = get_custom_gradient_checkpointing_func(  # type: ignore[assignment]
                partial(checkpoint, use_reentrant=True)
            )
    before = [block._gradient_checkpointing_func for block in blocks]
    if kind != "full":
        model.enable_input_require_grads()  # type: ignore[operator]
    calls = 0
    layer = model.get_submodule(
        "base_model.model.model.layers.0.mlp" if kind == "lora" else "model.layers.0.mlp"
    )

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    layer.register_forward_pre_hook(count)
    close(collect(model, rows, chosen), plain)
    assert calls == 2, "the block was not recomputed"
    assert all(a is b._gradient_checkpointing_func for a, b in zip(before, blocks, strict=True))


def test_rows_of_one_sample_are_added_up(tokens: list[list[int]]) -> None:
    for make in (tiny_model, unknown_layer):
        model = make()
        rows = make_rows(tokens)
        each = collect(model, rows, [0, 1, 2, 4])
        close(
            collect(model, rows, [0, 1, 2, 4], samples=2), torch.stack([each[0] + each[1], each[2] + each[3]])
        )


def test_small_chunks_give_the_same(tokens: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = MODELS["tied"](), make_rows(tokens)
    whole = collect(model, rows, [0, 1, 2, 4])
    monkeypatch.setattr(gradients, "CHUNK_ELEMENTS", 100)
    close(collect(model, rows, [0, 1, 2, 4]), whole)


def test_no_gradient_is_left_behind(tokens: list[list[int]]) -> None:
    model, rows = MODELS["lora"](), make_rows(tokens)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    keep = next(p for p in model.parameters() if p.requires_grad)
    keep.grad = torch.ones_like(keep)
    collect(model, rows, [0, 1])
    assert keep.grad.eq(1).all()
    assert all(p.grad is None for p in model.parameters() if p is not keep)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained
    assert not any(module._forward_hooks for module in model.modules())


def test_a_failing_forward_leaves_the_model_as_it_was(tokens: list[list[int]]) -> None:
    model = tiny_model()
    engine = SampleGradients(model)

    def fail() -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        engine.run(fail, (1, 1), 1, lambda *_: None)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_mixes_samples_is_refused(tokens: list[list[int]]) -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(16, 16)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden + self.inner(hidden.flatten(0, 1)[3:]).mean(0)

    model = tiny_model()
    model.model.layers[1].self_attn.o_proj = Mixing()  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"o_proj.inner.weight \(Linear\).*mixes the positions"):
        collect(model, make_rows(tokens), [0, 1])


def test_a_parameter_that_all_samples_share_by_broadcasting_is_refused(tokens: list[list[int]]) -> None:
    with pytest.raises(UserError, match=r"wpe.weight \(Embedding\).*mixes the positions"):
        collect(only(gpt2(), "wpe"), make_rows(tokens), [0, 1])


def test_a_layer_that_takes_more_than_its_input_is_refused(tokens: list[list[int]]) -> None:
    """OPT's positions come from the attention mask and the numbers of the positions."""
    with pytest.raises(UserError, match=r"embed_positions.weight .* one tensor to one tensor"):
        collect(only(opt(), "embed_positions"), make_rows(tokens), [0, 1])
