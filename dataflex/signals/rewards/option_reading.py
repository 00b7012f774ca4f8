"""Which option of a multiple-choice question does a text state?

Right answers and sampled answers are read by the same rules, so that equal texts always match. What a text
concludes counts more than what it begins with: an explanation often goes through the options one by one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# A letter of an option stands alone: no Latin letter, digit or apostrophe beside it ("I'm", "A4").
_BEFORE, _AFTER = r"(?<![A-Za-z0-9'\u2019])", r"(?![A-Za-z0-9'\u2019])"
_GAP = r"[\s*_]*"
"""White space and the marks of bold and slanted text."""
_CLOSED = rf"(?={_GAP}(?:[)\].;:。、]|\n|$))"
_WHY = r"(?i:because|since|as|for|due|which|given|based|by|while)\b"
# "I" and small letters are words of their own elsewhere ("the answer is a dog"): they must be closed. So must
# a capital one before a small word ("the answer is B cells").
_LETTER = (
    rf"[(\[]?{_GAP}(?:([A-HJ]){_AFTER}(?={_GAP}(?:[)\].;:,!。、]|\n|$)|\s+(?:[-\u2013\u2014(A-Z]|{_WHY}))"
    rf"|([Ia-j])(?:{_CLOSED}|,))"
)
_LOOSE_LETTER = rf"[(\[]?(?:([A-HJ]){_AFTER}|([Ia-j])(?:{_CLOSED}|,))"
# "Is the answer A?" asks, and "the answer is A or B" leaves it open.
_DECIDED = r"(?![)\]*_\s]*\?)(?![)\]*_\s]*(?:(?i:or|and)\b|[/&])\s*[(\[*_]*[A-J][)\]*_]*\s*(?:[.,;!]|\n|$))"
_MENTIONED = r"(?![)\]*_.]*\s+(?i:is|isn't|are|was|would|could|can|can't|cannot|does|doesn't|has|fails)\b)"
"""Behind a letter that is spoken about, rather than chosen."""
_NAME = r"(?:(?i:the\s+)?(?i:option|choice|answer|letter)[\s*_]+)?"
_IS = (
    r"(?:(?i:is|be|was)\b|是|为|為|[:=])[\s*_:=]*"
    r"(?:(?i:therefore|thus|hence|then|clearly|indeed|simply|just|definitely)\b,?[\s*_:]*)?"
)
_ABOUT = r"(?:\s+(?i:to|for|among|of|here|from|in|according)\b(?:\s+[\w'\u2019-]+){0,6}?)?"
_MUST = r"(?:(?i:must|should|would|has\s+to|will)\s+)?"
_NOUN = r"(?<!wrong )(?<!incorrect )(?<!if the )(?<!If the )\b(?i:answer|option|choice)\b"
_ANSWER = re.compile(
    rf"(?:{_NOUN}|答案|选项|選項){_ABOUT}{_GAP}{_MUST}{_IS}{_NAME}{_LETTER}{_DECIDED}"
    # Without a verb only what nothing is said about: "Final answer B", "故选B".
    rf"|(?:\b(?i:answer)\b|答案|[选選]){_GAP}{_NAME}{_LETTER}{_DECIDED}{_MENTIONED}"
)
_TAGGED = re.compile(r"<answer>([^<]*)|\\f?boxed\s*\{([^{}]*)\}", re.I)
_CORRECT = (
    r"\s+(?i:is|must\s+be|has\s+to\s+be)\s+(?:(?i:therefore|thus|hence|clearly|indeed|obviously)\s+)?"
    r"(?:(?i:the|only|most|best)\s+)*(?i:correct|right|best|accurate|appropriate|answer)\b"
    r"(?=\s+(?i:option|choice|answer|one|because|since|as|here)\b|[\s*_]*(?:[.,;:!)。]|\n|$))"
)
_OPTION = rf"(?:[(\[]([A-Ja-j])[)\]]|{_BEFORE}([A-HJ]){_AFTER}[).]?)[*_]*"
"""A letter in the midst of a sentence."""
_CHOSEN = (
    r"(?i:so|hence|thus|therefore|consequently|accordingly|choose|pick|select|leaves|leaving|"
    r"(?:go|going)\s+with)\b[,:]?\s+"
    r"(?:(?i:the|it|this|that|must|has|to|is|be|it's|I|we|would|should|choose|pick|select|go|with|"
    r"option|choice|answer|correct|right|best|only|one|us)[\s,:*_]+){0,7}"
)
_CONCLUSION = re.compile(
    rf"\b{_CHOSEN}[*_]*{_OPTION}"
    rf"(?:\s*\([^()]*\))?(?:{_CORRECT}|(?=\s*(?:[.;!。]|\n|$)|,?\s+{_WHY})|(?<=[)\]])(?=\s+[A-Z]))"
)
_VERDICT = re.compile(
    r"(?<!only )(?<!Only )(?<!both )(?<!nor )(?<!or )(?<!and )(?<!not )(?<!tatement )"
    rf"(?:(?i:option|choice|answer)\s+)?[*_]*{_OPTION}(?:\s*\([^()]*\))?{_CORRECT}"
)
_CLOSING = re.compile(
    # "The wrong answer is A" is passed over on purpose.
    r"(?:(?:(?<!answer )(?<!option )(?<!choice )\b(?i:is|be|it's|option|choice)|=>|\u2192)[\s:*_]+|\n[\W_]*)"
    r"[(\[{*_\"']*([A-J])[\W_]*$"
)
_HEADING = re.compile(
    r"[\W_]*(?:(?i:option|choice)\s+)?"
    rf"(?:([A-J])(?:{_CLOSED}|\s+[-\u2013\u2014]\s)|([B-HJ]),)[)\].:,;]*"
)
_LETS_SEE = re.compile(r"[\s*_]*A[*_]*:[\s*_]+(?i:let|let's|to|we)\b")
"""Begins an answer, as ``Q:`` does its question: "A: Let's think step by step"."""
_REFUTED = re.compile(
    rf"{_GAP}(?i:(?:this|that|it)\s+)?(?i:is)\s+(?i:wrong|incorrect|false|not\s+(?:correct|right|the\s+answer))"
)
_GOES_ON = re.compile(r"[.!?;]\s+\S|\n\s*\S")
_SECOND = re.compile(r"(?:\n|[.,;!?]\s)[\s(\[*_-]*(?:(?i:option|choice)\s+)?B[*_]*[)\]:.]")
_LEADING = re.compile(r"[\W_]*([B-HJ])(?=\s)")
_BRACKETED = re.compile(r"[(\[{]([A-Ja-j])[)\]}]")
_MENTION = re.compile(
    rf"(?:{_NOUN}|答案|选项?|選項?){_GAP}(?:{_IS})?{_NAME}{_LOOSE_LETTER}"
    rf"{_DECIDED}{_MENTIONED}"
)
_LAST = re.compile(rf"(?<!not )(?<!n't )(?<!or )(?<!and ){_BEFORE}([A-J])[\W_]*$")
_QUOTED = re.compile("(?<![A-Za-z0-9])[\"'`\u201c\u2018]([A-Ja-j])[\"'`\u201d\u2019](?![A-Za-z0-9])")
_TYPESET = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf)\s*\{([^{}]*)\}")


def reference_option(reference: str) -> str | None:
    """Return the option letter, A to J, that a right answer states, or None.

    In this order: the whole text; ``<answer>B</answer>`` or a box; the last of "the answer is (B)",
    "Option: B", "答案是B" and the like; the last conclusion ("hence (B)", "so option B is correct"); a letter
    that a text of one sentence starts with ("(B) Paris", "B. Paris", not "B cells"); the last "(B) is
    correct"; a letter that the text ends in ("it must be C."); a letter that it starts with, unless that one
    is refuted or B is taken up next; letters in brackets, if they agree.
    """
    text = _plain(reference)
    return _whole(text) or _concluded(text) or _begun_or_closed(text)


def stated_option(text: str) -> str | None:
    """Return the option letter, A to J, that a sampled text states, or None.

    As ``reference_option``; where that finds none, also "B Paris", "option B" and a last letter count. In
    references, which others wrote, a sentence may begin with a letter ("B cells make antibodies"), and a
    wrong reading would be rewarded without notice.
    """
    found = reference_option(text)
    if found is not None:
        return found
    text = _plain(text)
    mentions = list(_MENTION.finditer(text))
    if mentions:
        return _letter(mentions[-1])
    leading = _LEADING.match(text)
    if leading:
        return _letter(leading)
    last = None if _BRACKETED.search(text) else _LAST.search(text)
    return _letter(last) if last else None


def _plain(text: str) -> str:
    """Make full-width brackets and letters plain ones, and letters that are typeset or in quotes too."""
    text = unicodedata.normalize("NFKC", text).replace("$", "").replace("\\(", "").replace("\\)", "")
    return _QUOTED.sub(r"\1", _TYPESET.sub(r"\1", text)).strip()


def _whole(text: str) -> str | None:
    letter = text.strip("()[]{}*_.:; \"'")
    return letter.upper() if len(letter) == 1 and letter.upper() in "ABCDEFGHIJ" else None


def _concluded(text: str) -> str | None:
    """Return what the text says outright."""
    for tagged in reversed(list(_TAGGED.finditer(text))):
        inside = reference_option(tagged[1] or tagged[2] or "")
        if inside is not None:
            return inside
    return _last(_ANSWER.finditer(text)) or _last(_CONCLUSION.finditer(text))


def _begun_or_closed(text: str) -> str | None:
    """Return what the text starts or ends with."""
    heading = _heading(text)
    if heading is not None and not _GOES_ON.search(text, heading.end()):
        return _letter(heading)
    found = _last(_VERDICT.finditer(text)) or _last(_CLOSING.finditer(text))
    if found is not None:
        return found
    if heading is not None:
        return _letter(heading)
    if _LEADING.match(text):
        return None
    bracketed = {letter.upper() for letter in _BRACKETED.findall(text)}
    return bracketed.pop() if len(bracketed) == 1 else None


def _heading(text: str) -> re.Match[str] | None:
    """Return the letter that a text starts with, where that can be its choice."""
    heading = _HEADING.match(text)
    if heading is None or _LETS_SEE.match(text) or _heads_several(text):
        return None
    return None if _REFUTED.match(text, heading.end()) else heading


def _heads_several(text: str) -> bool:
    """Tell whether a text takes up option A and then option B."""
    heading = _HEADING.match(text)
    return heading is not None and _letter(heading) == "A" and bool(_SECOND.search(text, heading.end()))


def _last(found: Iterable[re.Match[str]]) -> str | None:
    letters = [_letter(one) for one in found]
    return letters[-1] if letters else None


def _letter(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group).upper()
