"""SlimPajama's schema: what a row must hold, and how its domain is named."""

from __future__ import annotations

import json
import re
from typing import Any

from dataflex.errors import UserError

SET_NAME = "redpajama_set_name"
EXPECTED = '{"text": "...", "meta": {"redpajama_set_name": "..."}}'
RESERVED = frozenset({"instructions", "questions_validation", "all", "natural"})

_UNSAFE = re.compile(r"[^0-9A-Za-z_-]+")


def domain_name(name: str) -> str:
    """A domain's name as it is used for files and data sets: letters, digits, "_" and "-".

    Raises:
        UserError: nothing would be left of it.
    """
    safe = _UNSAFE.sub("_", name).strip("_")
    if not safe:
        raise UserError(f"the domain name {name!r} has no letter or digit; rename it")
    return f"{safe}_text" if safe in RESERVED else safe


def document_of(row: Any, where: str) -> tuple[str, str]:
    """Domain and text of a row.

    Args:
        row: a JSON value; `meta` may be an object or, as some copies have it, its JSON.
        where: file and line, for the message.

    Raises:
        UserError: the row does not have the schema.
    """
    if not isinstance(row, dict):
        raise UserError(f"{where}: not a JSON object; expected {EXPECTED}")
    if not isinstance(row.get("text"), str):
        raise UserError(f'{where}: "text" is missing or not a string; expected {EXPECTED}')
    meta = row.get("meta")
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except json.JSONDecodeError:
            meta = None
    name = meta.get(SET_NAME) if isinstance(meta, dict) else None
    if not isinstance(name, str):
        raise UserError(f'{where}: "meta" has no "{SET_NAME}" that is a string; expected {EXPECTED}')
    try:
        return domain_name(name), row["text"]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def parse_line(line: bytes | str, where: str) -> tuple[str, str]:
    """Domain and text of a JSON line; see `document_of`.

    Raises:
        UserError: not UTF-8, not JSON, or not of the schema.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg})") from None
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text; save the file as UTF-8") from None
    return document_of(row, where)
