"""How numbers look in the documents: without the zero before the point, changes with their sign."""

from __future__ import annotations

from dataflex.evidence.statistics.estimate import Estimate

WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


def plain(value: float, digits: int) -> str:
    """A number rounded to some digits, as ``.98`` or ``1.75``."""
    text = f"{value:.{digits}f}"
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    text = text[1:] if text.startswith("0.") else text
    return text if not text.strip(".0") else sign + text


def signed(value: float, digits: int) -> str:
    """A change: with its sign, unless it is zero in these digits."""
    text = plain(value, digits)
    return text if text.startswith("-") or not text.strip(".0") else f"+{text}"


def change(difference: Estimate, digits: int) -> str:
    """A difference and its interval: ``-.002 [-.073, +.069]``."""
    interval = difference.interval()
    if interval is None:
        return signed(difference.value, digits)
    low, high = (signed(end, digits) for end in interval)
    return f"{signed(difference.value, digits)} [{low}, {high}]"


def word(count: int) -> str:
    """A count in words, up to twenty."""
    return WORDS[count] if count < len(WORDS) else f"{count:,}"


def percent(share: float) -> str:
    """A share as ``15 %``."""
    return f"{100 * share:.0f} %"


def thousands(count: float) -> str:
    """A count in thousands, as ``77k``."""
    return f"{count / 1000:.0f}k"
