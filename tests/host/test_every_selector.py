"""What every registered selector has to pass in a real run."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dataflex.registry import components

from .conftest import SELECTION, Run

NAMES = sorted(components()["select"])
# A model without any training never gives a right answer.
OWN_PARAMS = {"nice": {"reward": f"{__name__}:share_of_letters", "mc_samples": 3, "max_new_tokens": 4}}


def share_of_letters(prompt: str, reference: str, text: str) -> float:
    return sum(letter.isalpha() for letter in text) / max(1, len(text))


def params_of(name: str) -> dict[str, Any]:
    return OWN_PARAMS.get(name, components()["select"][name].example)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | SELECTION


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_cut_equals_one_that_never_stopped(run: Callable[..., Run], name: str) -> None:
    """Cut in the middle of the first selection, before the second; dropout shows the random states."""
    params = params_of(name)
    keys = {"component_name": name, "component_params": params, "save_strategy": "steps", "save_steps": 4}
    whole = run(**keys)
    cut = whole.folder.with_name("cut")
    shutil.copytree(whole.folder, cut)
    (cut / "adapter_model.safetensors").unlink()
    for later in set(cut.glob("checkpoint-*")) - {cut / "checkpoint-4"}:
        shutil.rmtree(later)
    resumed = run(**keys, output_dir=str(cut))
    assert resumed.losses == whole.losses
    assert resumed.lines("plan_log.jsonl") == whole.lines("plan_log.jsonl")
    for key, weight in whole.weights.items():
        assert torch.equal(resumed.weights[key], weight), key
    assert json.loads((cut / "manifest.json").read_text())["resumed"] == 1


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"random", "custom"}))
def test_no_method_silently_equals_random(run: Callable[..., Run], name: str) -> None:
    """Two runs of another seed of the draws would differ too: the same rows of the pool stand for a signal."""
    picked = []
    for component in (name, "random"):
        params = params_of(component)
        lines = run(component_name=component, component_params=params).lines("plan_log.jsonl")
        picked.append([line["sha256"] for line in lines if "sha256" in line])
    assert len(picked[0]) == 2
    assert not set(picked[0]) & set(picked[1])
