"""Reward for multiple choice: does the text state the reference's option letter?"""

from __future__ import annotations

import re
import unicodedata

from dataflex.errors import UserError

# A letter of an option stands alone: no Latin letter, digit or apostrophe beside it ("I'm", "A4").
_BEFORE, _AFTER = r"(?<![A-Za-z0-9'\u2019])", r"(?![A-Za-z0-9'\u2019])"
_CLOSED = r"(?=[\s*_]*(?:[)\].;:。、]|\n|$))"
# "I" and small letters are words of their own elsewhere ("the answer is a dog"): they must be closed.
_SAID = re.compile(
    r"(?:\b(?i:answer|option|choice)\b|答案|选项?|選項?)[\s*_]*(?:(?i:is|be)\b|是|为|為)?[\s*_:=]*"
    rf"(?:(?i:option|choice)\s+)?[(\[]?(?:([A-HJ]){_AFTER}|([Ia-j])(?:{_CLOSED}|,))"
)
_LEADING = re.compile(rf"[\W_]*(?:([A-J]){_CLOSED}|([B-HJ])(?=[\s,]))")
_BRACKETED = re.compile(r"[(\[{]([A-Ja-j])[)\]}]")
_CLOSING = re.compile(rf"(?<!not )(?<!n't ){_BEFORE}([A-J])[\W_]*$")


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
    leading = _leading(text)
    if leading:
        return leading
    bracketed = {letter.upper() for letter in _BRACKETED.findall(text)}
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    closing = _CLOSING.search(text)
    return closing[1] if closing else None


def _plain(text: str) -> str:
    """Make full-width brackets and letters plain ones."""
    return unicodedata.normalize("NFKC", text).strip()


def _leading(text: str) -> str | None:
    match = _LEADING.match(_plain(text))
    return match[1] or match[2] if match else None


def option_match(prompt: str, reference: str, text: str) -> float:
    """Return 1 if the text states the reference's option and 0 otherwise.

    Raises:
        UserError: the reference states none.
    """
    right = _leading(reference) or stated_option(reference)
    if right is None:
        raise UserError(
            f"reward option_match: the reference {reference[:80]!r} names no option A to J; "
            "choose reward: exact_match or token_f1 for free answers"
        )
    return float(stated_option(text) == right)
