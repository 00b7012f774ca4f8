"""The list of components with their parameters, read from the classes themselves."""

from __future__ import annotations

import inspect
from typing import Any

from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind
from dataflex.registry import FOLDERS, components, parameters


def as_dict() -> dict[Kind, dict[str, Any]]:
    """Return kind -> name -> description, paper, needs and parameters (type, default, meaning)."""
    return {
        kind: {name: _describe(component) for name, component in sorted(found.items())}
        for kind, found in components().items()
    }


def _describe(component: type[Component]) -> dict[str, Any]:
    return {
        "summary": (inspect.getdoc(component) or "").partition("\n")[0],
        "paper": component.paper or None,
        "needs": sorted(component.needs),
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


def _type_name(annotation: Any, metadata: list[Any]) -> str:
    name = annotation.__name__ if inspect.isclass(annotation) else str(annotation)
    name = name.replace("typing.", "")
    bounds = [
        f"{sign} {getattr(item, key)}" for item in metadata for key, sign in _BOUNDS if hasattr(item, key)
    ]
    return " ".join([name, *bounds])


_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def print_catalogue() -> None:
    """Print one table a kind."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for kind, found in as_dict().items():
        table = Table(title=FOLDERS[kind], title_justify="left", show_lines=True)
        for heading in ("name", "what it does", "parameters (default)"):
            table.add_column(heading, overflow="fold")
        for name, about in found.items():
            lines = [f"{key} ({p['default']!r}): {p['meaning']}" for key, p in about["parameters"].items()]
            source = f"\n{about['paper']}" if about["paper"] else ""
            table.add_row(name, about["summary"] + source, "\n".join(lines))
        console.print(table)
