"""The claims of a paper, read from the file that they are registered in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["value", "difference", "ordering"]


@dataclass(frozen=True)
class Claim:
    """One thing that the paper says and that results can speak to.

    Attributes:
        id: stable name, for example ``data_mixture/SlimPajama-6B/doremi-baseline/MMLU``.
        kind: a cell of a table, a difference of two cells, or an ordering of several.
        statement: in words, one sentence.
        table: of the paper.
        methods: the paper's names: of a value one, of a difference two (minuend first), of an ordering all,
            best first.
        metric: the paper's name.
        unit: of ``published`` and ``margin``, for example ``points`` or ``byte perplexity``.
        published: the number or difference; None of an ordering.
        margin: half width of what counts as the same number, in ``unit``; None of an ordering.
        source: where the number stands.
        confidence: in the source.
        registered: day on which claim and margin were written down, ISO.
    """

    id: str
    kind: Kind
    statement: str
    table: str
    methods: tuple[str, ...]
    metric: str
    unit: str
    published: float | None
    margin: float | None
    source: str
    confidence: str
    registered: str
