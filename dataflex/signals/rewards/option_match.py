"""Reward for multiple choice: does the text state the reference's option letter?

References are read more strictly than sampled texts: they come from data that others wrote, where a sentence
may begin with a letter ("B cells make antibodies"), and a wrong reading would be rewarded without notice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dataflex.errors import UserError

# A letter of an option stands alone: no Latin letter, digit or apostrophe beside it ("I'm", "A4").
_BEFORE, _AFTER = r"(?<![A-Za-z0-9'\u2019])", r"(?![A-Za-z0-9'\u2019])"
_CLOSED = r"(?=[\s*_]*(?:[)\].;:。、]|\n|$))"
# "I" and small letters are words of their own elsewhere ("the answer is a dog"): they must be closed.
_SAID = re.compile(
    r"(?:\b(?i:answer|option|choice)\b|答案|选项?|選項?)[\s*_]*(?:(?i:is|be)\b|是|为|為)?[\s*_:=]*"
    rf"(?:(?i:option|choice)\s+)?[(\[]?(?:([A-HJ]){_AFTER}|([Ia-j])(?:{_CLOSED}|,))"
)
_ANSWERED = re.compile(
    r"(?:\b(?i:answer)\b|答案)[\s*_]*(?:(?i:is|be)\b|是|为|為)?[\s*_:=]*(?:(?i:option|choice)\s+)?"
    rf"[(\[]?(?:([A-HJ])(?:{_CLOSED}|,)|([Ia-j]){_CLOSED})"
)
_HEADING = re.compile(rf"[\W_]*(?:([A-J])(?:{_CLOSED}|\s+[-\u2013\u2014]\s)|([B-HJ]),)")
_LEADING = re.compile(rf"[\W_]*(?:([A-J]){_CLOSED}|([B-HJ])(?=[\s,]))")
_BRACKETED = re.compile(r"[(\[{]([A-Ja-j])[)\]}]")
_CLOSING = re.compile(rf"(?<!not )(?<!n't ){_BEFORE}([A-J])[\W_]*$")

_SHOWN = 5
"""Rows that a refusal names."""


def stated_option(text: str) -> str | None:
    """Return the option letter, A to J, that a text states, or None.

    In this order: the whole text; the last of "answer is B", "Option: (b)", "答案是B" and the like; a letter
    that the text starts with ("(B) Paris", "B. Paris", "B Paris", but not the article of "A dog"); letters in
    brackets, if they agree; a letter that ends the text ("it must be C.").
    """
    text = _plain(text)
    if len(text) == 1 and text.upper() in "ABCDEFGHIJ":
        return text.upper()
    said = list(_SAID.finditer(text))
    if said:
        return str(said[-1][1] or said[-1][2]).upper()
    leading = _LEADING.match(text)
    if leading:
        return str(leading[1] or leading[2])
    bracketed = {letter.upper() for letter in _BRACKETED.findall(text)}
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    closing = _CLOSING.search(text)
    return closing[1] if closing else None


def _plain(text: str) -> str:
    """Make full-width brackets and letters plain ones."""
    return unicodedata.normalize("NFKC", text).strip()


def reference_option(reference: str) -> str | None:
    """Return the option letter, A to J, that a right answer states, or None.

    In this order: the whole text; the last of "the answer is (B)", "Answer: B" and the like; a letter that
    the text starts with, if a line's end, punctuation or a closing bracket follows ("(B) Paris", "B. Paris",
    not "B cells"); whatever else ``stated_option`` reads, unless a word follows the first letter.
    """
    text = _plain(reference)
    answered = list(_ANSWERED.finditer(text))
    if answered:
        return str(answered[-1][1] or answered[-1][2]).upper()
    heading = _HEADING.match(text)
    if heading:
        return heading[1] or heading[2]
    return None if _LEADING.match(text) else stated_option(text)


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
