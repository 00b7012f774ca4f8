"""``python -m paper_figures``: ``tables|figures|paper RESULTS --output DIR``, ``show RUN``, ``prose``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dataflex.errors import UserError
from paper_figures.sources import INDEX
from paper_figures.table import DETAILS

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Make tables and figures, show tables that were made, or fill the numbers in the documents."""
    parser = argparse.ArgumentParser(prog="python -m paper_figures", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name, text in (
        ("tables", "the tables of a results folder"),
        ("figures", "the figures of a results folder"),
        ("paper", "tables and figures of all rungs below a folder, with paper.tex and paper.md"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("folder", type=Path)
        command.add_argument("--output", type=Path, required=True)
    command = commands.add_parser("show", help="print the tables that a rung's run has made")
    command.add_argument("folder", type=Path, help="the rung's folder")
    command = commands.add_parser("prose", help="fill the numbers in the documents from the reviewed results")
    command.add_argument("--check", action="store_true", help="change nothing; exit status 1 if one differs")
    command.add_argument("--root", type=Path, default=ROOT, help="folder of README.md, docs and results")
    arguments = parser.parse_args()
    try:
        if arguments.what == "show":
            show(arguments.folder)
        elif arguments.what == "prose":
            sys.exit(prose(arguments.root, arguments.check))
        else:
            make(arguments.what, arguments.folder, arguments.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def make(what: str, folder: Path, output: Path) -> None:
    """Make tables, figures, or all of them."""
    if what == "paper":
        from paper_figures.publication import write

        files = write(folder, output)
        print(f"{output}: {len(files)} files; begin with paper.md, or compile paper.tex")
        return
    from dataflex.evidence.unfinished import left_out, read_finished

    results, unfinished = read_finished(folder)
    if unfinished:
        print(left_out(folder, unfinished), file=sys.stderr)
    if what == "tables":
        from paper_figures.sources import entries, index, shown_in
        from paper_figures.tables import build

        tables = build(results)
        uses = shown_in(*((f"table {table.name}", table.sources) for table in tables))
        for table in [*tables, index(entries(results), uses)]:
            table.write(output)
    else:
        from paper_figures.drawings import build as draw

        for drawing in draw(results):
            drawing.write(output)


def prose(root: Path, check: bool) -> int:
    """Fill or check the numbers in the documents; the exit status."""
    from paper_figures.prose.documents import documents, fill
    from paper_figures.prose.numbers import Store

    store, wrong = Store(root), 0
    for file in documents(root):
        text = file.read_text()
        filled, changes = fill(text, store.text, file.relative_to(root).as_posix())
        for change in changes:
            now = f"{'is' if check else 'becomes'} {change.after}"
            print(f"{change.place}: {change.name}: {change.before} {now}")
        wrong += len(changes)
        if filled != text and not check:
            file.write_text(filled)
    print(f"{store.asked} numbers, {wrong} {'differ from the results' if check else 'changed'}")
    return int(check and wrong > 0)


def show(root: Path) -> None:
    """Print the tables of a rung, the paths of its tables, figures and page, and the verdict of its check."""
    for file in sorted(root.glob("tables/*.md")):
        if file.stem != INDEX:
            print(file.read_text().partition(f"\n{DETAILS}")[0])
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
