"""Gather the evaluations of a run's checkpoints and of the model at its end in one file of the results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.by_step import gather


def main() -> None:
    """Command line: ``by_step.py DIR --steps STEP... --end STEP --output DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds a folder for each step")
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    parser.add_argument("--end", type=int, required=True, help="steps of the whole run")
    parser.add_argument("--output", type=Path, required=True, help="the cell's folder among the results")
    arguments = parser.parse_args()
    folders = {step: arguments.folder / str(step) for step in arguments.steps}
    try:
        gather({**folders, arguments.end: arguments.output}, arguments.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
