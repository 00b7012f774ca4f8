"""The text that a tokenised row stands for, whatever format its file had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dataflex.errors import UserError
from dataflex.signals.passes import IGNORED

Part = Literal["all", "prompt", "response"]


def row_texts(rows: Any, tokenizer: Any, part: Part) -> list[str]:
    """Return the text of every row, in their order.

    Read back from the tokens, so that Alpaca, ShareGPT and plain rows are all told by what is trained on, and
    text and row can't come apart.

    Args:
        rows: a dataset with ``input_ids`` and, where a part is asked for, ``labels``.
        tokenizer: the one that made the tokens.
        part: ``prompt`` are the tokens without supervision, ``response`` those with.

    Raises:
        UserError: no row has such a part.
    """
    texts: list[str] = []
    columns = [name for name in ("input_ids", "labels") if name in rows.column_names]
    for batch in rows.select_columns(columns).iter(batch_size=1000):
        texts += tokenizer.batch_decode(_tokens(batch, part), skip_special_tokens=True)
    if part != "all" and not any(text.strip() for text in texts):
        raise UserError(f"text: {part}: no row has a {part}; say text: all")
    return texts


def _tokens(batch: Mapping[str, Any], part: Part) -> list[Sequence[int]]:
    if part == "all":
        return list(batch["input_ids"])
    # Without labels every token is supervised: plain text is all response.
    labels = batch.get("labels") or batch["input_ids"]
    return [
        [token for token, label in zip(ids, row, strict=True) if (label != IGNORED) == (part == "response")]
        for ids, row in zip(batch["input_ids"], labels, strict=True)
    ]
