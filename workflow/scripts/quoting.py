"""Default resources of a profile: Snakemake evaluates them as Python, to which some names mean something."""

from __future__ import annotations

import ast
import builtins
from typing import Any


def meant(raw: Any) -> Any:
    """What a resource stands for: of a quoted string the string, of anything else itself."""
    if not isinstance(raw, str) or not raw.strip().startswith(("'", '"')):
        return raw
    try:
        found = ast.literal_eval(raw.strip())
    except (ValueError, SyntaxError):
        return raw
    return found if isinstance(found, str) else raw


def mistaken(key: str, raw: Any) -> str | None:
    """What to write where a name would be taken for a function of Python's; None if it would not be."""
    if not isinstance(raw, str) or not callable(getattr(builtins, raw.strip(), None)):
        return None
    return (
        f"default-resources: {key} is {raw}, which Snakemake takes for Python's own {raw}: write it with "
        f"two kinds of quotes, {key}: \"'{raw}'\""
    )
