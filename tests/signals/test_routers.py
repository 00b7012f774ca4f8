"""Router counts against choices made by hand from the model's own router logits."""

from typing import Any

import numpy as np
import pytest
import torch

from dataflex.errors import UserError
from dataflex.signals.routers import RouterTap, freeze_routers
from dataflex.signals.untouched import untouched

from ..models import EXPERTS, KINDS_OF_EXPERTS, with_experts
from .conftest import LENGTHS, VOCABULARY, make_rows, tiny_model

CHOSEN, LAYERS = EXPERTS["num_experts_per_tok"], 3


def make(kind: str, **changes: Any) -> Any:
    return with_experts(kind, vocab_size=VOCABULARY, num_hidden_layers=LAYERS, **changes)


@pytest.fixture(params=KINDS_OF_EXPERTS)
def model(request: pytest.FixtureRequest) -> Any:
    return make(request.param).train()


def counted(model: Any, batch: dict[str, torch.Tensor]) -> np.ndarray:
    tap = RouterTap(model)
    with tap.listening(batch), torch.no_grad():
        model(**batch)
    return tap.take().numpy()


def by_hand(model: Any, batch: dict[str, torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        logits = model(**batch, output_router_logits=True).router_logits
    size, width = batch["input_ids"].shape
    counts = np.zeros((size, len(logits), EXPERTS["num_experts"]))
    for layer, of_layer in enumerate(logits):
        scores = of_layer.view(size, width, EXPERTS["num_experts"]).numpy()
        for row, position in zip(*np.nonzero(batch["attention_mask"].numpy()), strict=True):
            counts[row, layer, np.argsort(-scores[row, position])[:CHOSEN]] += 1
    return counts


def test_counts_are_the_routers_choices(model: Any, tokens: list[list[int]]) -> None:
    rows = make_rows(tokens)
    batch = rows.batch(range(len(tokens)))
    found = counted(model, batch)
    assert found.shape == (len(LENGTHS), LAYERS, EXPERTS["num_experts"])
    assert (found.sum(2) == CHOSEN * np.array(LENGTHS)[:, None]).all()
    assert np.array_equal(found, by_hand(model, batch))
    assert len({tuple(layer) for layer in found.sum(0)}) == LAYERS


def test_padding_never_counts(model: Any, tokens: list[list[int]]) -> None:
    one = counted(model, make_rows(tokens).batch([2, 5]))
    for wider in (make_rows(tokens, pad_to=16), make_rows(tokens, left=True, pad_to=32)):
        assert np.array_equal(counted(model, wider.batch([2, 5])), one)
    alone = counted(model, make_rows(tokens).batch([5]))
    assert np.array_equal(alone[0], one[1])


def test_what_checkpointing_repeats_and_what_evaluation_runs_is_not_counted(
    model: Any, tokens: list[list[int]]
) -> None:
    batch = make_rows(tokens).batch([1, 2])
    once = counted(model, batch)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    tap = RouterTap(model)
    with tap.listening(batch):
        loss = model(**batch).loss
    loss.backward()
    with untouched(model), torch.no_grad():
        model(**make_rows(tokens).batch([0, 4]))
    assert np.array_equal(tap.take().numpy(), once)
    with pytest.raises(RuntimeError, match="no forward was heard"):
        tap.take()


def test_routers_are_frozen_and_nothing_else(model: Any) -> None:
    freeze_routers(model)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"model.layers.{layer}.mlp.gate.weight" for layer in range(LAYERS)}
    others = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert any("gate_up_proj" in name for name in others)


def test_gates_of_other_kinds_are_no_routers() -> None:
    """Layers without experts have a gate_proj, shared experts a gate of their own."""
    model = make("qwen2_moe", mlp_only_layers=[1])
    freeze_routers(model)
    names = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert names == {"model.layers.0.mlp.gate.weight", "model.layers.2.mlp.gate.weight"}
    others = {name for name, _ in model.named_parameters()} - names
    assert {"model.layers.1.mlp.gate_proj.weight", "model.layers.0.mlp.shared_expert_gate.weight"} <= others


def test_models_without_routers_are_refused() -> None:
    for use in (RouterTap, freeze_routers):
        with pytest.raises(UserError, match="Qwen2ForCausalLM has no router"):
            use(tiny_model())  # type: ignore[operator]
