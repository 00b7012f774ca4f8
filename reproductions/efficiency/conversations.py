"""Conversations in LLaMA-Factory's form ``sharegpt``, as an instruction and its output.

Needs nothing but the standard library: other environments read it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

FORM = "sharegpt"
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}
"""LLaMA-Factory's names where ``dataset_info.json`` has none of its own."""


def first_exchange(row: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the first question with what the system says before it, and its answer.

    Later turns are left out: the benchmarks' rows have one prompt and one answer each.

    Args:
        row: holds the turns.
        entry: of ``dataset_info.json``, with columns and tags.
        where: names the row in a message.

    Raises:
        SystemExit: the row has no turn of a human with an answer right after it.
    """
    column = entry.get("columns", {}).get("messages", "conversations")
    tags = TAGS | entry.get("tags", {})
    turns = [(turn.get(tags["role_tag"]), turn.get(tags["content_tag"])) for turn in row.get(column) or []]
    before = [text for role, text in turns[:1] if role == tags["system_tag"] and text]
    for (role, question), (following, answer) in pairwise(turns):
        if (role, following) == (tags["user_tag"], tags["assistant_tag"]) and question and answer:
            return {"instruction": "\n".join([*before, question]), "input": "", "output": answer}
    raise SystemExit(
        f"{where}: `{column}` has no turn of {tags['user_tag']!r} with one of {tags['assistant_tag']!r} "
        "right after it: take the row out, or name its columns and tags in dataset_info.json"
    )
