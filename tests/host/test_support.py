"""The table of what works: as the document shows it, and as real runs bear it out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataflex.errors import UserError
from dataflex.host.support import SETTINGS, markdown, support
from dataflex.registry import components

from .conftest import SELECTION, Run
from .test_every_component import ALL, KEYS, OWN_PARAMS

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/support.md"
KEYS_OF: dict[str, dict[str, Any]] = {
    "pre-training": {"stage": "pt", "dataset": "docs,code", "eval_dataset": "docs"},
    "LoRA": {"finetuning_type": "lora"},
    "DoRA": {"finetuning_type": "lora", "use_dora": True},
    "gradient checkpointing": {"disable_gradient_checkpointing": False},
    "packing": {"packing": True},
    "neat packing": {"packing": True, "neat_packing": True},
    "bf16": {"bf16": True},
    "streaming": {"streaming": True, "max_steps": 4},
    "Liger": {"enable_liger_kernel": True},
}
"""Keys of the settings that a processor can run, beside ``experts``, which is another model."""


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
@pytest.mark.parametrize("setting", [*KEYS_OF, "experts"])
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_run_bears_the_table_out(
    run: Callable[..., Run], tiny: Path, experts: dict[str, Path], kind: Any, name: str, setting: str
) -> None:
    """Two decisions are made and trained on where the table says yes; else nothing is loaded."""
    params = OWN_PARAMS.get(name, components()[kind][name].example)
    model = tiny / "model"
    if setting == "experts" or name == "dynamic_moe":
        model = experts["qwen3_moe"]
    if "reference_model_path" in params:
        params = params | {"reference_model_path": str(model), "reference_losses": "live"}
    keys = SELECTION if KEYS[kind] is SELECTION else SELECTION | KEYS[kind]
    keys = keys | {"component_name": name, "component_params": params, "finetuning_type": "full"}
    keys |= {"model_name_or_path": str(model)} | KEYS_OF.get(setting, {})
    if support()[kind][name][setting]:
        with pytest.raises(UserError):
            run(**keys)
        return
    done = run(**keys)
    assert done.losses
    assert all(loss == loss for loss in done.losses)
    assert len(done.lines("plan_log.jsonl")) >= 2
