"""Logits of a model in bfloat16: in float32, from weights of their own where the embedding shares the model's."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from dataflex.evaluation.scoring import with_float_logits


@pytest.mark.parametrize("adapted", [False, True])
def test_logits_are_those_of_the_weights_in_float32(tiny, adapted):
    model = AutoModelForCausalLM.from_pretrained(tiny / "model", dtype=torch.bfloat16).eval()
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if adapted:
        model = get_peft_model(model, LoraConfig(target_modules=["q_proj"])).eval()
    ids = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        found = model(ids, output_hidden_states=True)
        with_float_logits(model)
        logits = model(ids).logits
    weights = model.get_input_embeddings().weight
    expected = found.hidden_states[-1].float() @ weights.float().T
    torch.testing.assert_close(logits, expected)
    assert logits.dtype == torch.float32
    # What it was before: the same, rounded; and all else still is in bfloat16.
    assert found.logits.dtype == weights.dtype == torch.bfloat16
    torch.testing.assert_close(logits.bfloat16(), found.logits, rtol=0.02, atol=0.02)
