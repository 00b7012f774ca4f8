"""Mark what a finished run selected from a planted pool."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.picks import mark


def main() -> None:
    """Command line: ``mark.py RUN_DIR --corpus DIR --target JSON --output DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--target", type=json.loads, required=True, help='{"target": [...], "decision": -1}')
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    asked = arguments.target
    try:
        mark(arguments.run, arguments.corpus, arguments.output, asked["target"], asked["decision"])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
