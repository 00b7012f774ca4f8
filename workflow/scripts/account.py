"""Account for what a finished run on Markov chains was trained on, beside its losses on held-out text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.mixtures import account


def main() -> None:
    """Command line: ``account.py RUN_DIR --corpus DIR --output DIR [--yardstick]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="where held_out.csv is already")
    parser.add_argument("--yardstick", action="store_true", help="regret is measured against this mixture")
    arguments = parser.parse_args()
    try:
        account(arguments.run, arguments.corpus, arguments.output, yardstick=arguments.yardstick)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
