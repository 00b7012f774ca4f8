"""Reward for multiple choice: does the text state the reference's option letter?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dataflex.errors import UserError
from dataflex.signals.rewards.option_reading import reference_option, stated_option

_SHOWN = 5
"""Rows that a refusal names."""


def refuse_references(references: Sequence[str]) -> None:
    """Refuse right answers that name no option.

    Args:
        references: of every validation row.

    Raises:
        UserError: names the rows, from 0.
    """
    rows = [row for row, reference in enumerate(references) if reference_option(reference) is None]
    if rows:
        shown = ", ".join(f"row {row} ({references[row][:80]!r})" for row in rows[:_SHOWN])
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        raise UserError(
            f"reward option_match: {len(rows)} of the {len(references)} right answers in eval_dataset name "
            f"no option A to J: {shown}{more}; let them start with the letter (B. Paris), remove them, or "
            "choose reward: exact_match or token_f1 for free answers"
        )


def count_options(references: Sequence[str]) -> dict[str, int]:
    """Return how many right answers state each option, for the log: a letter that has them all is misread."""
    found = Counter(map(reference_option, references))
    return {letter: found[letter] for letter in sorted(filter(None, found))}


def option_match(prompt: str, reference: str, text: str) -> float:
    """Return 1 if the text states the reference's option and 0 otherwise.

    Raises:
        UserError: the reference states none.
    """
    right = reference_option(reference)
    if right is None:
        raise UserError(
            f"reward option_match: the reference {reference[:80]!r} names no option A to J; "
            "choose reward: exact_match or token_f1 for free answers"
        )
    return float(stated_option(text) == right)
