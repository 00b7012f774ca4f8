"""Coverage of the intervals that verdicts rest on, as ``docs/statistics.md`` has it from simulation."""

from __future__ import annotations

import re
from pathlib import Path

from dataflex.errors import UserError

INTERVALS = ("seeds.of_mean", "hierarchical.mean", "hierarchical.difference", "prediction.further_run")
"""Those that verdicts rest on."""
ROW = re.compile(r"^\| `(?P<interval>[\w.]+)[^`]*` \|.*\| (?P<percent>\d+\.\d) \|$", re.MULTILINE)
ENDS = {"least": min, "most": max}


def text(file: Path, quantity: str) -> str:
    """The least or the most coverage of any of these intervals, in percent.

    Raises:
        UserError: the file has no table of coverage.
        KeyError: there is no such quantity.
    """
    end = ENDS[quantity]
    rows = ROW.finditer(file.read_text()) if file.is_file() else ()
    found = [float(row["percent"]) for row in rows if row["interval"] in INTERVALS]
    if not found:
        raise UserError(f"{file} has no table with the coverage of {', '.join(INTERVALS)}")
    return f"{end(found):.1f}"
