"""One table in three forms: Markdown to read, CSV to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table with a caption above, notes below, text cells, and the same numbers unrounded.

    Attributes:
        name: file name without its ending.
        caption: one sentence.
        header: column heads.
        rows: cells as shown.
        notes: sentences that a reader needs to read the numbers rightly.
        data_header: columns of the CSV.
        data: one line a number for the CSV.
    """

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    data_header: Sequence[str]
    data: Sequence[Sequence[object]] = field(repr=False)

    def markdown(self) -> str:
        """GitHub's Markdown; the first column is text, the others are right-aligned."""
        lines = [f"**{self.caption}**", ""]
        widths = [max(len(row[i]) for row in [self.header, *self.rows]) for i in range(len(self.header))]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return f"| {' | '.join(padded)} |"

        rule = [("-" * width) if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        lines += [line(self.header), line(rule), *(line(row) for row in self.rows), ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A ``table`` environment with booktabs rules."""
        columns = "l" + "r" * (len(self.header) - 1)
        lines = [
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{escape(self.caption)}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            "    \\toprule",
            f"    {' & '.join(map(escape, self.header))} \\\\",
            "    \\midrule",
            *(f"    {' & '.join(map(escape, row))} \\\\" for row in self.rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            "  \\par\\smallskip\\footnotesize",
            f"  {escape(' '.join(self.notes))}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """The unrounded numbers, one a line."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.data_header)
        writer.writerows(self.data)
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write ``<name>.md``, ``<name>.csv`` and ``<name>.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            temporary = folder / f"{self.name}.{ending}.tmp"
            temporary.write_text(text)
            os.replace(temporary, folder / f"{self.name}.{ending}")


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
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≈": r"$\approx$",
}


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)
