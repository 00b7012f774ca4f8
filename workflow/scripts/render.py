"""Write the training config of one cell of the grid."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import yaml

from dataflex import grid as grids


def main() -> None:
    """Render one cell; the corpus's sentinel says which domains it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", required=True)
    parser.add_argument("--cell", required=True, help="<experiment>/<cell name>")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--corpus", required=True, help="sentinel of the corpus")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    grid = grids.load(arguments.grid)
    cell = grids.cell_from_path(grid, arguments.cell, [arguments.seed])
    domains = json.loads(Path(arguments.corpus).read_text())["domains"]
    config = grids.render(grid, cell, arguments.root, domains)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(config, sort_keys=True, allow_unicode=True))
    os.replace(temporary, output)


if __name__ == "__main__":
    main()
