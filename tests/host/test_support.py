"""The table of what works: as the document shows it, and as real runs bear it out."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflex.errors import UserError
from dataflex.host.support import SETTINGS, markdown, support
from dataflex.registry import components

from .conftest import SELECTION, Run
from .test_every_component import ALL, KEYS, OWN_PARAMS

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/support.md"
KEYS_OF: dict[str, dict[str, Any]] = {
    "packing": {"packing": True},
    "neat packing": {"packing": True, "neat_packing": True},
    "experts": {},
    "experts, LoRA": {"finetuning_type": "lora"},
}
"""Keys of the settings that change what a method measures with, and that a processor can run."""
REFUSALS = cache(support)
ONE_OF_A_KIND = sorted({(kind, components()[kind][name].needs): (kind, name) for kind, name in ALL}.values())
"""A method for each set of needs: methods with the same needs are given the same."""


def test_the_document_shows_what_the_checks_say() -> None:
    """Made anew by ``dataflex-cli support``; put it into docs/support.md when it has changed."""
    assert markdown().strip() in DOCUMENT.read_text()


def test_every_method_is_asked_about_every_setting() -> None:
    found = support()
    names = [setting.name for setting in SETTINGS]
    assert {(kind, name) for kind, methods in found.items() for name in methods} == set(ALL)
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
    params = OWN_PARAMS.get(name, components()[kind][name].example)
    model = tiny / "model"
    if setting.startswith("experts") or name == "dynamic_moe":
        model = experts["qwen3_moe"]
    if "reference_model_path" in params:
        params = params | {"reference_model_path": str(model), "reference_losses": "live"}
    rows = {key: value for key, value in SELECTION.items() if not key.startswith(("update", "warmup"))}
    keys = rows | KEYS[kind] | {"component_name": name, "component_params": params, "finetuning_type": "full"}
    if kind == "mix":
        # Packing without seeing one another is for fine-tuning alone.
        several = (
            {"dataset": "sft,sft_long"}
            if setting == "neat packing"
            else {"stage": "pt", "dataset": "docs,code"}
        )
        keys |= several
    keys |= {"model_name_or_path": str(model)} | KEYS_OF[setting]
    if REFUSALS()[kind][name][setting]:
        with pytest.raises(UserError):
            run(**keys)
        return
    done = run(**keys)
    assert done.losses
    assert np.isfinite(done.losses).all()
    assert done.lines("plan_log.jsonl")
