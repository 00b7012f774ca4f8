"""One table in three forms: Markdown to read, CSV to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from paper_figures.latex import escape

DETAILS = "<details>"
"""Begins the part of the Markdown that GitHub folds up."""
COLUMN = "results"
"""The column of result ids in a CSV file."""
WRAPPED = 40
"""Letters that a column of a long table may have before it is wrapped."""
WIDE = 0.36
"""What several such columns share of the text's width; one has a little less."""
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Makes a table that is wider than the text as wide as that, and leaves others alone."""


@dataclass(frozen=True)
class Table:
    """A table with a caption above, notes below, text cells, and the same numbers unrounded.

    Attributes:
        name: file name without its ending.
        caption: one sentence.
        header: column heads.
        rows: cells as shown.
        notes: sentences that a reader needs to read the numbers rightly.
        data_header: columns of the CSV; without any it holds the cells as shown.
        data: one line a number for the CSV.
        results: ids of the results that each row was computed from; as many as rows, or none at all.
        long: whether it may be longer than a page.
    """

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    data_header: Sequence[str] = ()
    data: Sequence[Sequence[object]] = field(default=(), repr=False)
    results: Sequence[Sequence[str]] = field(default=(), repr=False)
    long: bool = False

    def __post_init__(self) -> None:
        if self.results and len(self.results) != len(self.rows):
            raise ValueError(f"{self.name}: {len(self.rows)} rows, result ids of {len(self.results)}")

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the results behind all rows, each once."""
        return tuple(dict.fromkeys(one for ids in self.results for one in ids))

    def markdown(self) -> str:
        """GitHub's Markdown; the first column is text, the others are right-aligned; result ids folded up."""
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
        if any(self.results):
            lines += ["", f"{DETAILS}<summary>Result ids</summary>", "", *self._by_row(), "", "</details>"]
        return "\n".join(lines) + "\n"

    def _by_row(self) -> Iterator[str]:
        """One line for each stretch of rows that were computed from the same results."""
        if len({tuple(ids) for ids in self.results}) == 1:
            yield f"- every row: {', '.join(self.results[0])}"
            return
        together = zip((row[0] for row in self.rows), map(tuple, self.results), strict=True)
        for ids, stretch in groupby(together, key=lambda pair: pair[1]):
            names = [name for name, _ in stretch]
            shown = names[0] if names[0] == names[-1] else f"{names[0]} to {names[-1]}"
            shown += f" ({len(names)} rows)" if len(names) > 1 else ""
            yield f"- {shown}: {', '.join(ids) or 'none'}"

    def latex(self) -> str:
        """A ``table`` with booktabs rules, as wide as the text at the most; a ``longtable`` if it is long.

        It needs the packages booktabs and graphicx, or longtable; result ids are in comments.
        """
        columns = "l" + "r" * (len(self.header) - 1)
        head = f"    {' & '.join(map(escape, self.header))} \\\\"
        ids = [f" % {' '.join(names)}" if names else "" for names in self.results] or [""] * len(self.rows)
        rows = [
            f"    {' & '.join(map(escape, row))} \\\\{comment}"
            for row, comment in zip(self.rows, ids, strict=True)
        ]
        notes = f"  {escape(' '.join(self.notes))}"
        if self.long:
            lines = [
                "{\\scriptsize\\setlength{\\tabcolsep}{3pt}",
                f"  \\begin{{longtable}}{{{self._wrapping()}}}",
                f"    \\caption{{{escape(self.caption)}}} \\\\",
                *(
                    "    \\toprule",
                    head,
                    "    \\midrule",
                    "    \\endhead",
                    "    \\bottomrule",
                    "    \\endfoot",
                ),
                *rows,
                "  \\end{longtable}",
                notes,
                "}",
            ]
            return "\n".join(lines) + "\n"
        lines = [
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{escape(self.caption)}}}",
            f"  {FIT}",
            f"  \\begin{{tabular}}{{{columns}}}",
            *("    \\toprule", head, "    \\midrule", *rows, "    \\bottomrule"),
            "  \\end{tabular}}",
            "  \\par\\smallskip\\footnotesize",
            notes,
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _wrapping(self) -> str:
        """Columns of a long table: those of sentences are wrapped, since nothing makes it narrower."""
        columns = zip(self.header, *self.rows, strict=True)
        wrapped = [any(len(cell) > WRAPPED and " " in cell for cell in column) for column in columns]
        width = min(0.3, WIDE / max(1, sum(wrapped)))
        places = ("l", *"r" * (len(wrapped) - 1))
        return "".join(
            f"p{{{width:g}\\linewidth}}" if wraps else place
            for place, wraps in zip(places, wrapped, strict=True)
        )

    def csv(self) -> str:
        """The unrounded numbers, one a line; the cells as shown and their result ids where there are none."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        if self.data_header:
            writer.writerow(self.data_header)
            writer.writerows(self.data)
        else:
            ids = self.results or [()] * len(self.rows)
            writer.writerow([*self.header, COLUMN])
            writer.writerows([*row, " ".join(names)] for row, names in zip(self.rows, ids, strict=True))
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write ``<name>.md``, ``<name>.csv`` and ``<name>.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            temporary = folder / f"{self.name}.{ending}.tmp"
            temporary.write_text(text)
            os.replace(temporary, folder / f"{self.name}.{ending}")
