"""The list of components with their parameters, read from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from dataflex.engine.base import Component, Need
from dataflex.engine.schedule import Kind
from dataflex.errors import UserError
from dataflex.registry import FOLDERS, components, nearest, parameters


def as_dict() -> dict[Kind, dict[str, Any]]:
    """Return kind -> name -> what it is, paper, needs and parameters (type, default, meaning)."""
    return {
        kind: {name: _describe(component) for name, component in sorted(found.items())}
        for kind, found in components().items()
    }


def _describe(component: type[Component]) -> dict[str, Any]:
    summary, _, details = (inspect.getdoc(component) or "").partition("\n")
    return {
        "summary": summary,
        "details": " ".join(details.split()),
        "paper": component.paper or None,
        "needs": sorted(_needs(component)),
        "defined_in": component.__module__,
        "parameters": {
            name: {
                "type": _type_name(field.annotation, field.metadata),
                "default": None if field.is_required() else field.get_default(),
                "meaning": " ".join((field.description or "").split()),
            }
            for name, field in parameters(component).items()
        },
    }


def _needs(component: type[Component]) -> frozenset[Need]:
    """Return what a component needs with its defaults."""
    try:
        return component(**component.example).requirements()
    except ValidationError:
        # It has a parameter without a default, and no example of one.
        return component.needs


def _type_name(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return a type as people write it: its choices, its bounds, and none where it may be left out."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = (bound for about in parts[1:] for bound in getattr(about, "metadata", [about]))
        return _type_name(parts[0], bounds)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, UnionType):
        return " or ".join(map(_type_name, parts))
    if origin is None:
        name = "none" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))
    else:
        name = f"{origin.__name__}[{', '.join(map(_type_name, parts))}]"
    limits = [
        f"{sign} {getattr(item, key)}" for item in metadata for key, sign in _BOUNDS if hasattr(item, key)
    ]
    return " ".join([name, *limits])


_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
_NEEDS: dict[Need, str] = {
    "per_sample_loss": "the losses of samples",
    "per_sample_gradient": "the gradients of samples; not under fp16 or version 1 of fsdp",
    "adam_moments": "Adam's moments: optim: adamw_torch",
    "reference_model": "a reference model",
    "saved_weights": "weights of saved checkpoints; not under deepspeed or fsdp",
    "validation_set": "a validation set: name one in eval_dataset",
    "generation": "answers of the model: stage: sft",
    "embeddings": "vectors of the rows, from a model or from files",
    "hidden_states": "the last hidden states; not with neat_packing",
    "router_counts": "the choices of routers: a mixture-of-experts model; not with neat_packing",
    "frozen_routers": "routers that are not trained",
}


def named(name: str) -> dict[Kind, dict[str, Any]]:
    """Return the part of ``as_dict`` that bears a name, which may be of several kinds.

    Raises:
        UserError: no component is called so; offers the nearest name.
    """
    found = {
        kind: {name: _describe(own[name])} for kind, own in components(named=name).items() if name in own
    }
    if not found:
        known = sorted({one for own in components().values() for one in own})
        raise UserError(f"no component is called {name!r}: {nearest(name, known)}")
    return found


def print_catalogue() -> None:
    """Print one table a kind."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for kind, found in as_dict().items():
        table = Table(title=FOLDERS[kind], title_justify="left", show_lines=True)
        for heading in ("name", "what it does", "parameters (default)"):
            table.add_column(heading, overflow="fold")
        for name, about in found.items():
            lines = [f"{key} ({p['default']!r}): {p['meaning']}" for key, p in about["parameters"].items()]
            source = f"\n{about['paper']}" if about["paper"] else ""
            # As text: brackets in it are not markup.
            table.add_row(name, Text(about["summary"] + source), Text("\n".join(lines)))
        console.print(table)


def print_named(found: dict[Kind, dict[str, Any]]) -> None:
    """Print all that is known of some components, as ``named`` returns them."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    for kind, own in found.items():
        for name, about in own.items():
            console.print(Text(f"{FOLDERS[kind][:-1]} {name}", style="bold"))
            needs = [f"Needs {_NEEDS[need]}." for need in about["needs"]]
            for line in filter(None, (about["summary"], about["details"], about["paper"], *needs)):
                console.print(Text(line))
            for key, parameter in about["parameters"].items():
                console.print(Text(f"\n{key} = {parameter['default']!r}   ({parameter['type']})"))
                console.print(Padding(Text(parameter["meaning"]), (0, 0, 0, 4), expand=False))
            console.print()
