"""Published instruction rows in one form: a list of turns, whichever of three forms they came in.

Known are Alpaca's (instruction, input, output), ShareGPT's (conversations of from and value) and the chat
form (messages of role and content).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Turns = list[dict[str, str]]

ROLES = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system"}
COLUMNS = {"messages": "conversations"}
"""Of LLaMA-Factory's data set of form ``sharegpt``, with its own names of roles."""


def turns_of(row: Mapping[str, Any]) -> Turns | None:
    """The turns of a row: perhaps one of the system, then human and gpt by turns; None if it has none such.

    An instruction and its input are joined by a line break, as LLaMA-Factory does.
    """
    if isinstance(row.get("conversations"), Sequence):
        found = _named(row["conversations"], "from", "value")
    elif isinstance(row.get("messages"), Sequence):
        found = _named(row["messages"], "role", "content")
    else:
        found = _alpaca(row)
    return found if found is not None and _alternates(found) else None


def _named(turns: Sequence[Any], role: str, text: str) -> Turns | None:
    found = []
    for turn in turns:
        if (
            not isinstance(turn, Mapping)
            or turn.get(role) not in ROLES
            or not isinstance(turn.get(text), str)
        ):
            return None
        found.append({"from": ROLES[turn[role]], "value": turn[text]})
    return found


def _alpaca(row: Mapping[str, Any]) -> Turns | None:
    asked, given, answer = row.get("instruction"), row.get("input") or "", row.get("output")
    if not isinstance(asked, str) or not isinstance(given, str) or not isinstance(answer, str):
        return None
    turns = [{"from": "human", "value": "\n".join(part for part in (asked, given) if part)}]
    turns.append({"from": "gpt", "value": answer})
    system = row.get("system")
    return [{"from": "system", "value": system}, *turns] if isinstance(system, str) and system else turns


def _alternates(turns: Turns) -> bool:
    spoken = turns[1:] if turns and turns[0]["from"] == "system" else turns
    roles = [turn["from"] for turn in spoken]
    return (
        bool(roles)
        and roles == ["human", "gpt"] * (len(roles) // 2)
        and all(turn["value"] for turn in spoken)
    )
