"""FlashAttention: refused where it is asked for and not there, by the command, whatever trains; usable where it is."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AutoModelForCausalLM
from transformers.integrations import flash_attention

from dataflex.errors import UserError
from dataflex.host.attention import NAME, mend_flash_attention
from dataflex.host.capabilities import has_flash_attention
from dataflex.host.prepare import check


@pytest.mark.skipif(has_flash_attention(), reason="it is there")
@pytest.mark.parametrize("kind", ["static", "dynamic_select"])
def test_flash_attention_is_asked_for_where_there_is_none(tiny, tmp_path, kind):
    config = {
        "model_name_or_path": str(tiny / "model"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset": "instructions",
        "dataset_dir": str(tiny),
        "template": "alpaca",
        "output_dir": str(tmp_path / "run"),
        "flash_attn": "fa2",
        "train_type": kind,
        "use_cpu": True,
    }
    if kind == "dynamic_select":
        config |= {"component_name": "random", "warmup_step": 1, "update_step": 1, "update_times": 1}
    with pytest.raises(UserError, match="flash_attn: fa2 needs a CUDA device and the package flash-attn"):
        check(config)


def kernel(query, key, value, mask, *, softmax_scale, is_causal, s_aux=None, **_):
    """In place of FlashAttention's, on a CPU; inputs are ``(rows, positions, heads, size)``."""
    assert mask is None
    assert s_aux is None
    heads = (part.transpose(1, 2) for part in (query, key, value))
    found = F.scaled_dot_product_attention(*heads, is_causal=is_causal, scale=softmax_scale, enable_gqa=True)
    return found.transpose(1, 2)


def test_a_model_without_sinks_attends_with_flash_attention(tiny, monkeypatch):
    """All of transformers but the kernel, with which every forward of Qwen, Llama and Mistral ended."""
    own = AttentionInterface._global_mapping[NAME]
    monkeypatch.setitem(AttentionInterface._global_mapping, NAME, own)
    monkeypatch.setattr(flash_attention, "_flash_attention_forward", kernel)
    model = AutoModelForCausalLM.from_pretrained(tiny / "model", attn_implementation="sdpa").eval()
    ids = torch.arange(24).reshape(2, 12)
    expected = model(ids).logits
    # Asked for by name, it is refused where there is no GPU.
    model.config._attn_implementation = NAME
    mended = mend_flash_attention()
    if mended:
        monkeypatch.setitem(AttentionInterface._global_mapping, NAME, own)
        with pytest.raises(AttributeError, match="'to'"):
            model(ids)
        mend_flash_attention()
    torch.testing.assert_close(model(ids).logits, expected)
