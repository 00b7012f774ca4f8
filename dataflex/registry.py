"""Names of components: the built-in ones, one file each, and those of installed packages.

A built-in method is registered by lying in ``dataflex/selectors``, ``mixers`` or ``weighters`` under its
own name. Another package offers methods through the entry-point group ``dataflex.components``; each entry
point names a component class.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind
from dataflex.errors import UserError

FOLDERS: dict[Kind, str] = {"select": "selectors", "mix": "mixers", "weight": "weighters"}
"""Folder of each kind's built-in methods, and section of each kind in a components file."""
ENTRY_POINTS = "dataflex.components"


@cache
def _built_in() -> dict[Kind, dict[str, type[Component]]]:
    found: dict[Kind, dict[str, type[Component]]] = {kind: {} for kind in FOLDERS}
    for kind, package in FOLDERS.items():
        folder = importlib.import_module(f"dataflex.{package}")
        for module_info in pkgutil.iter_modules(folder.__path__):
            if module_info.name.startswith("_"):
                # Shared by several methods, no method itself.
                continue
            module = importlib.import_module(f"{folder.__name__}.{module_info.name}")
            found[kind][module_info.name] = _component_of(module, kind)
    return found


def components(named: str | None = None) -> dict[Kind, dict[str, type[Component]]]:
    """Return component classes, by kind and name.

    Args:
        named: load only those installed packages' components that are called so: a package that is broken
            then does no harm to runs that don't use it. None loads all.

    Raises:
        UserError: an installed package's component can't be loaded, or has the name of another one.
    """
    found = {kind: dict(own) for kind, own in _built_in().items()}
    for entry in entry_points(group=ENTRY_POINTS):
        if named is not None and entry.name != named:
            continue
        try:
            component = entry.load()
        except (ImportError, AttributeError) as error:
            raise UserError(f"component {entry.name!r} ({entry.value}) can't be loaded: {error}") from error
        if not (inspect.isclass(component) and issubclass(component, Component)):
            raise UserError(f"entry point {entry.name!r} ({entry.value}) is not a dataflex component class")
        if entry.name in found[component.kind]:
            raise UserError(f"two components are called {entry.name!r}: uninstall or rename {entry.value}")
        found[component.kind][entry.name] = component
    return found


def _component_of(module: Any, kind: Kind) -> type[Component]:
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Component)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if len(own) != 1 or own[0].kind != kind:
        raise TypeError(f"{module.__name__} must define exactly one public component of kind {kind!r}")
    return own[0]


def find(kind: Kind, name: str) -> type[Component]:
    """Return the component class of this name.

    Raises:
        UserError: no such component; offers the nearest name.
    """
    named = components(named=name)[kind]
    if name in named:
        return named[name]
    raise UserError(f"no {FOLDERS[kind][:-1]} is called {name!r}: {nearest(name, list(components()[kind]))}")


def build(kind: Kind, name: str, params: dict[str, Any]) -> Component:
    """Make a component from its parameters.

    Raises:
        UserError: an unknown parameter (offers the nearest one), a wrong type or a value out of range.
    """
    cls = find(kind, name)
    try:
        return cls(**params)
    except ValidationError as error:
        where = f"component_params of {FOLDERS[kind][:-1]} {name!r}"
        raise UserError(f"{where}: {explain(error, list(parameters(cls)))}") from None


def parameters(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the parameters by name; one that holds parameters of its own is followed by ``name.inner``."""
    found: dict[str, FieldInfo] = {}
    for name, field in cls.model_fields.items():
        found[name] = field
        for part in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(part) and issubclass(part, BaseModel):
                found |= {f"{name}.{inner}": about for inner, about in parameters(part).items()}
    return found


def explain(error: ValidationError, known: list[str]) -> str:
    """Put the first finding of pydantic into one line, with the nearest known name for an unknown key."""
    finding = error.errors()[0]
    key = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        return f"unknown key {key!r}, {nearest(key, known)}"
    if finding["type"] == "missing":
        return f"{key} is missing"
    message = finding["msg"].removeprefix("Value error, ")
    if not message[1:2].isupper():  # not a name, as LLaMA-Factory
        message = message[:1].lower() + message[1:]
    return f"{key}: {message}, not {finding['input']!r}" if key else message


def nearest(name: str, known: list[str]) -> str:
    """Return a hint: the most similar known name, or all of them."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else "there are " + ", ".join(sorted(known))
