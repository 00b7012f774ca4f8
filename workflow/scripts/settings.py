"""Values of ``--config``: Snakemake hands over lists from the command line as lists of strings."""

from __future__ import annotations

from typing import Any

import yaml


def typed(value: Any) -> Any:
    """The value with YAML's numbers, booleans and nulls in place of the strings that spell them."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return read if read is None or isinstance(read, (bool, int)) else value
