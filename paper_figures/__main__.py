"""``python -m paper_figures tables|figures|show RESULTS --output DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.results import read_results


def main() -> None:
    """Make tables or figures from a results folder, or show tables that were made."""
    parser = argparse.ArgumentParser(prog="python -m paper_figures", description=__doc__)
    parser.add_argument("what", choices=["tables", "figures", "show"])
    parser.add_argument("folder", type=Path, help="a results folder; for `show` the rung's folder")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "show":
        show(arguments.folder)
        return
    if arguments.output is None:
        parser.error("--output is missing")
    try:
        results = read_results(arguments.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if arguments.what == "tables":
        from paper_figures.tables import build

        for table in build(results):
            table.write(arguments.output)
    else:
        from paper_figures.gallery import gallery
        from paper_figures.style import save

        for picture in gallery(results):
            save(picture.figure, arguments.output, picture.name)


def show(root: Path) -> None:
    """Print the tables of a rung, the paths of its tables, figures and page, and the verdict of its check."""
    for file in sorted(root.glob("tables/*.md")):
        print(file.read_text())
    for folder in ("tables", "figures"):
        names = "  ".join(str(file) for file in sorted((root / folder).iterdir()))
        print(f"{folder:<8}{names}")
    if (root / "report.html").is_file():
        print(f"{'report':<8}{root / 'report.html'}")
    check = root / "check.txt"
    if check.is_file():
        prefix = f"{root / 'results'}: "
        for line in check.read_text().splitlines():
            if line.startswith(prefix):
                print(f"check   {line}")


if __name__ == "__main__":
    main()
