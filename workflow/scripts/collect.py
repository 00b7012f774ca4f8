"""Write a finished run's learning curve, shares of domains and identity among the results."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.collection import collect


def main() -> None:
    """Command line: ``collect.py RUN_DIR --cell JSON --start JSON --corpus SENTINEL --output DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cell", type=json.loads, required=True)
    parser.add_argument("--start", type=json.loads, default=None)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    fingerprint = json.loads(arguments.corpus.read_text())["fingerprint"]
    try:
        collect(arguments.run, arguments.output, arguments.cell, fingerprint, arguments.start)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
