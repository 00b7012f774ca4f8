"""What a run of any registered component takes, worked out from what the component says of itself."""

from pathlib import Path
from typing import Any

from dataflex.engine.component import Component
from dataflex.engine.schedule import Kind
from dataflex.registry import components

EVERY = sorted((kind, name) for kind, found in components().items() for name in found)


def letters(prompt: str, reference: str, text: str) -> float:
    """A reward that a model without any training can get."""
    return sum(letter.isalpha() for letter in text) / max(1, len(text))


def params_of(kind: Kind, name: str, reference: str, *, losses: str = "live") -> dict[str, Any]:
    """Return the parameters of a small run.

    Args:
        kind: of the component.
        name: of the component.
        reference: folder of a model, for components that compare with one.
        losses: cached or live, of that model.
    """
    component = components()[kind][name]
    params = dict(component.example)
    if "reward" in component.model_fields:
        params["reward"] = f"{__name__}:{letters.__name__}"
    if "reference_model_path" in params:
        params |= {"reference_model_path": reference, "reference_losses": losses}
    return params


def keys_of(kind: Kind, name: str, params: dict[str, Any], tiny: Path, experts: Path) -> dict[str, Any]:
    """Return the keys of a configuration that the component needs, besides its schedule and its data.

    Args:
        kind: of the component.
        name: of the component.
        params: of the component.
        tiny: model and data.
        experts: a model with experts, for what looks at routers.
    """
    made: Component = components()[kind][name](**params)
    needs = made.requirements()
    keys: dict[str, Any] = {
        "component_name": name,
        "component_params": params,
        "model_name_or_path": str(experts if "router_counts" in needs else tiny / "model"),
    }
    if "validation_set" in needs:
        keys["eval_dataset"] = "target" if kind == "select" else "docs"
    return keys
