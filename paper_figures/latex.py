"""Text as LaTeX prints it: plain ASCII, which every engine and every encoding of a font understands."""

from __future__ import annotations

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",  # noqa: RUF001
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "≈": r"$\approx$",
    "µ": r"$\mu$",
    "†": r"\dag{}",
}


def escape(text: str) -> str:
    """Text as LaTeX prints it; a letter that has no form in ASCII here stays as it is."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)
