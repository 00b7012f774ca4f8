"""What every registered component has to pass in a real run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataflex.engine.schedule import Kind
from dataflex.registry import components

from .conftest import SELECTION, Run
from .cutting import assert_equal, cut_after

ALL = sorted((kind, name) for kind, found in components().items() for name in found)
KEYS: dict[Kind, dict[str, Any]] = {
    "select": SELECTION,
    # Decided anew at every step, over both data sets.
    "mix": {"train_type": "dynamic_mix", "warmup_step": 2, "update_step": 1, "train_step": 8},
    "weight": {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": 8},
}
# A model without any training never gives a right answer.
OWN_PARAMS = {"nice": {"reward": f"{__name__}:share_of_letters", "mc_samples": 3, "max_new_tokens": 4}}


def share_of_letters(prompt: str, reference: str, text: str) -> float:
    return sum(letter.isalpha() for letter in text) / max(1, len(text))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_run_that_was_cut_equals_one_that_never_stopped(
    run: Callable[..., Run], tiny: Path, experts: dict[str, Path], kind: Kind, name: str
) -> None:
    """Cut before the second selection, or between two steps that are decided; dropout shows the random states."""
    params = OWN_PARAMS.get(name, components()[kind][name].example)
    if "reference_model_path" in params:
        params = params | {"reference_model_path": str(tiny / "model"), "reference_losses": "live"}
    keys = KEYS[kind] | {"component_name": name, "component_params": params}
    own = {
        "adapt": {"eval_dataset": "docs"},
        "dynamic_moe": {"model_name_or_path": str(experts["qwen3_moe"])},
    }
    keys |= own.get(name, {})
    keys |= {"finetuning_type": "lora", "lora_dropout": 0.3, "save_strategy": "steps", "save_steps": 4}
    whole = run(**keys)
    assert_equal(run(**keys, output_dir=str(cut_after(whole, 4))), whole)
