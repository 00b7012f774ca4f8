"""A configuration's file, and the values of the command line that win over it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError, one_line

_KINDS: dict[type, str] = {dict: "a mapping", list: "a list"}
_SHOWN = 60
"""Letters of a value that an error quotes at the most."""


def read_config(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML or JSON configuration and apply ``key=value`` overrides, as LLaMA-Factory does.

    A mapping is merged into the file's; anything else takes the place of what the file has.

    Raises:
        UserError: no such file, not a mapping, a bad override, or one that gives a list where the file has a
            mapping or the reverse, which can't be merged.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not path.is_file():
        raise UserError(f"no configuration file {path}")
    try:
        if path.suffix == ".json":
            loaded = OmegaConf.create(json.loads(path.read_text()))
        else:
            loaded = OmegaConf.load(path)
        if not OmegaConf.is_dict(loaded):
            raise UserError(f"{path} must hold keys and values")
        given = OmegaConf.from_cli([_spaced(override) for override in overrides])
        _refuse_other_kind(OmegaConf.to_container(loaded), OmegaConf.to_container(given), path)
        config = OmegaConf.to_container(OmegaConf.merge(loaded, given), resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, json.JSONDecodeError, ValueError) as error:
        raise UserError(f"{path} or an override can't be read: {one_line(error)}") from None
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what the overrides say by themselves; ``read_config`` must have read them without complaint."""
    from omegaconf import OmegaConf

    given = OmegaConf.to_container(OmegaConf.from_cli([_spaced(override) for override in overrides]))
    assert isinstance(given, dict)
    return {str(key): value for key, value in given.items()}


def _spaced(override: str) -> str:
    """Put the space that YAML wants behind the colons of ``key={name:value}``, as shells make people omit."""
    key, equals, value = override.partition("=")
    if value.startswith("{"):
        value = re.sub(r"([{,]\s*[\w.-]+):(?=\S)", r"\1: ", value)
    return key + equals + value


def _refuse_other_kind(file: Any, given: Any, path: Path, outer: str = "") -> None:
    for key, value in given.items():
        name, old = f"{outer}{key}", file.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            _refuse_other_kind(old, value, path, f"{name}.")
        elif {type(value), type(old)} == {dict, list}:
            has, kind = json.dumps(old, default=str), _KINDS[type(old)]
            quoted = has if len(has) <= _SHOWN else f"{has[: _SHOWN - 3]}..."
            raise UserError(
                f"{name} is {_KINDS[type(value)]} on the command line, but {path} has {kind}, {quoted}: "
                f"give {kind}, or change the file"
            )
