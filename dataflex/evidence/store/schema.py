"""Do the files of a result have the form that ``schemas.yaml`` gives them?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult, read_json, read_lines

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

FILE = Path(__file__).with_name("schemas.yaml")


@cache
def _validator(name: str) -> Draft202012Validator | None:
    """The schema of a file, of all its lines if it has lines; None where its columns are checked instead."""
    from jsonschema import Draft202012Validator  # slow to import, and seldom needed

    schema = yaml.safe_load(FILE.read_text()).get(name)
    if schema is None:
        return None
    whole: dict[str, Any] = {"type": "array", "items": schema} if name.endswith(".jsonl") else schema
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole)


def misfits(result: CellResult) -> Iterator[str]:
    """Yield a sentence for each file that does not have its form, about the first place where it has not."""
    for name in result.files:
        validator = _validator(name)
        if validator is None:
            continue
        try:
            content = (read_lines if name.endswith(".jsonl") else read_json)(result.folder / name)
        except UserError as error:
            yield str(error)
            continue
        wrong = next(validator.iter_errors(content), None)
        if wrong is not None:
            place = "/".join(str(part) for part in wrong.absolute_path)
            yield f"{name}{f', {place}' if place else ''}: {wrong.message}"
