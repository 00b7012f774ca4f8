"""FlashAttention that is asked for and not there: refused by the command, whatever trains; not by a plan."""

import pytest

from dataflex.errors import UserError
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
