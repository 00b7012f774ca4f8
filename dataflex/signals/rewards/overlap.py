"""Rewards for free answers: equality, and common words, with the reference."""

from __future__ import annotations

import unicodedata
from collections import Counter


def exact_match(prompt: str, reference: str, text: str) -> float:
    """Return 1 if text and reference are equal but for case, white space and punctuation at the ends."""
    return float(_plain(text) == _plain(reference))


def token_f1(prompt: str, reference: str, text: str) -> float:
    """Return the harmonic mean of precision and recall of the text's words against the reference's.

    As in SQuAD (arXiv:1606.05250, section 6.1), words are counted without their order; unlike there,
    articles count, since they are those of one language. Two answers without words match.
    """
    ours, theirs = Counter(words(text)), Counter(words(reference))
    if not ours and not theirs:
        return 1.0
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def words(text: str) -> list[str]:
    """Return runs of letters, marks and digits without case; in scripts without spaces each character."""
    found: list[str] = []
    inside = False
    for letter in unicodedata.normalize("NFKC", text).casefold():
        single = _without_spaces(letter)
        within = unicodedata.category(letter)[0] in "LMN"
        if within and inside and not single:
            found[-1] += letter
        elif within:
            found.append(letter)
        inside = within and not single
    return found


def _without_spaces(letter: str) -> bool:
    """Tell whether a character is of Chinese or Japanese script."""
    return any(low <= letter <= high for low, high in (("\u3041", "\u30ff"), ("\u3400", "\u9fff")))


def _plain(text: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    kept = [i for i, letter in enumerate(text) if unicodedata.category(letter)[0] not in "PZ"]
    return text[kept[0] : kept[-1] + 1] if kept else text
