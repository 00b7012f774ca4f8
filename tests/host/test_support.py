"""The table of what works: as the document shows it, and as real runs bear it out."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflex.engine.schedule import Kind
from dataflex.errors import UserError
from dataflex.host.support import SETTINGS, markdown, support
from dataflex.registry import components

from ..registered import EVERY, keys_of, params_of
from .conftest import SELECTION, Run

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/support.md"
KEYS_OF: dict[str, dict[str, Any]] = {
    "packing": {"packing": True},
    "neat packing": {"packing": True, "neat_packing": True},
    "experts": {},
    "experts, LoRA": {"finetuning_type": "lora"},
}
"""Keys of the settings that change what a method measures with, and that a processor can run."""
SCHEDULES: dict[Kind, dict[str, Any]] = {
    "select": SELECTION,
    # Decided anew at every step, over both data sets.
    "mix": {"train_type": "dynamic_mix", "warmup_step": 2, "update_step": 1, "train_step": 8},
    "weight": {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": 8},
}
REFUSALS = cache(support)
ONE_OF_A_KIND = sorted(
    {(kind, components()[kind][name].needs): (kind, name) for kind, name in EVERY}.values()
)
"""A method for each set of needs: methods with the same needs are given the same."""


def test_the_document_shows_what_the_checks_say() -> None:
    """Made anew by ``dataflex-cli support``; put it into docs/support.md when it has changed."""
    assert markdown().strip() in DOCUMENT.read_text()


def test_every_method_is_asked_about_every_setting() -> None:
    found = support()
    names = [setting.name for setting in SETTINGS]
    assert {(kind, name) for kind, methods in found.items() for name in methods} == set(EVERY)
    assert all(list(cells) == names for methods in found.values() for cells in methods.values())
    assert found["select"]["loss"]["Liger"].startswith("enable_liger_kernel: true")
    assert found["mix"]["odm"]["packing"] == ""
    assert not found["mix"]["dynamic_moe"]["experts"]
    assert "no router" in found["mix"]["dynamic_moe"]["dense model"]


@pytest.mark.slow
@pytest.mark.parametrize("setting", KEYS_OF)
@pytest.mark.parametrize(("kind", "name"), ONE_OF_A_KIND)
def test_a_run_bears_the_table_out(
    run: Callable[..., Run], tiny: Path, experts: dict[str, Path], kind: Any, name: str, setting: str
) -> None:
    """Two decisions are made and trained on where the table says yes; else nothing is loaded."""
    on_experts = setting.startswith("experts")
    params = params_of(kind, name, str(experts["qwen3_moe"] if on_experts else tiny / "model"))
    rows = {key: value for key, value in SELECTION.items() if not key.startswith(("update", "warmup"))}
    keys = rows | SCHEDULES[kind] | keys_of(kind, name, params, tiny, experts["qwen3_moe"])
    keys |= {"finetuning_type": "full", "eval_dataset": "target"}
    if kind == "mix":
        # Packing without seeing one another is for fine-tuning alone.
        several = (
            {"dataset": "sft,sft_long"}
            if setting == "neat packing"
            else {"stage": "pt", "dataset": "docs,code"}
        )
        keys |= several
    if on_experts:
        keys["model_name_or_path"] = str(experts["qwen3_moe"])
    keys |= KEYS_OF[setting]
    if REFUSALS()[kind][name][setting]:
        with pytest.raises(UserError):
            run(**keys)
        return
    done = run(**keys)
    assert done.losses
    assert np.isfinite(done.losses).all()
    assert done.lines("plan_log.jsonl")
