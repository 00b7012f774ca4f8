"""Everything that reviewed results can fill: tables, figures, and a LaTeX and a Markdown paper of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence import digests
from dataflex.evidence.claims.judge import judge
from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.results import CellResult, read_results
from paper_figures import drawings, tables
from paper_figures.drawings import Drawing
from paper_figures.efficiency import build as efficiency
from paper_figures.efficiency.overview import environments, measurements
from paper_figures.latex import escape
from paper_figures.sources import INDEX, Entry, entries, file_id, index, shown_in
from paper_figures.table import Table
from paper_figures.verdicts import verdicts

EFFICIENCY = "efficiency"
"""The folder of benchmarks among the rungs, and within a rung."""
CLAIMS = "claims"
TITLE = "Tables and figures of the reviewed results"
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{longtable}
"""


@dataclass(frozen=True)
class Part:
    """What one folder of results fills.

    Attributes:
        name: of the folder, below the results and below the output.
        tables: in their order.
        drawings: in their order.
        files: further text files of the output, by name.
        remarks: Markdown that follows.
        cells: the results of a rung.
    """

    name: str
    tables: Sequence[Table]
    drawings: Sequence[Drawing]
    files: dict[str, str]
    remarks: str = ""
    cells: Sequence[CellResult] = ()


def parts(results: Path) -> list[Part]:
    """The rungs below a folder of results, and the benchmarks beside and in them, by name.

    Raises:
        UserError: a rung is not as it should be, or there is nothing.
    """
    found = []
    for folder in sorted(path for path in results.iterdir() if path.is_dir()) if results.is_dir() else ():
        if any(folder.glob("*/*/run.json")):
            found.append(_rung(folder.name, read_results(folder)))
        for place in (folder,) if folder.name == EFFICIENCY else (folder / EFFICIENCY,):
            if every := efficiency.read(place):
                name = place.relative_to(results).as_posix()
                made, drawn = efficiency.tables(every), efficiency.drawings(every)
                files = [Entry(file_id(file), file.name) for file in sorted(place.glob("*.json"))]
                listed = {efficiency.MEASUREMENTS: measurements(every)}
                found.append(
                    Part(
                        name,
                        [*made, index(files, shown_in(*map(_uses, made), *map(_uses, drawn)))],
                        drawn,
                        listed,
                        environments(every),
                    )
                )
    if not found:
        raise UserError(f"{results} holds no results (<rung>/<experiment>/<cell>/run.json)")
    return [_claims({part.name: part.cells for part in found if part.cells}), *found]


def _claims(results: Mapping[str, Sequence[CellResult]]) -> Part:
    """What the results say of each registered claim, a table a rung, also of rungs without results."""
    judged: dict[str, list[Judgement]] = {}
    for judgement in judge(results):
        judged.setdefault(judgement.rung, []).append(judgement)
    tables = [
        verdicts(own, f"verdicts_{rung}", f"The paper's claims, by the results of the rung {rung}")
        for rung, own in judged.items()
    ]
    return Part(CLAIMS, tables, [], {})


def _rung(name: str, results: Sequence[CellResult]) -> Part:
    made, drawn = tables.build(results), drawings.build(results)
    listed = index(entries(results), shown_in(*map(_uses, made), *map(_uses, drawn)))
    return Part(name, [*made, listed], drawn, {}, cells=results)


def _uses(one: Table | Drawing) -> tuple[str, Iterable[str]]:
    """What a table or figure is called in the list of results, and the ids of those that it shows."""
    if isinstance(one, Drawing):
        return f"figure {one.name}", one.results
    return f"table {one.name}", one.sources


def write(results: Path, output: Path) -> list[Path]:
    """Build everything below ``output``, the same bytes each time; return the files.

    ``<rung>/tables`` and ``<rung>/figures`` hold the tables and figures in all forms, ``paper.tex`` and
    ``paper.md`` put them together, ``SHA256SUMS`` lists all.

    Raises:
        UserError: see ``parts``.
    """
    found = parts(results)
    for part in found:
        folder = output / part.name
        for table in part.tables:
            table.write(folder / "tables")
        for drawing in part.drawings:
            drawing.write(folder / "figures")
        for name, text in part.files.items():
            (folder / "tables" / name).write_text(text)
    (output / "paper.tex").write_text(latex(found))
    (output / "paper.md").write_text(markdown(found))
    digests.write(output)
    return sorted(path for path in output.rglob("*") if path.is_file())


def latex(found: Iterable[Part]) -> str:
    """A document that takes in all tables and figures; paths are relative to its folder."""
    lines = [PREAMBLE, f"\\title{{{escape(TITLE)}}}", "\\date{}", "\\begin{document}", "\\maketitle"]
    lines += ["\\tableofcontents", "\\listoftables", "\\listoffigures"]
    for part in found:
        lines += ["\\clearpage", f"\\section{{{escape(part.name)}}}"]
        lines += [
            f"\\input{{{part.name}/tables/{table.name}}}" for table in part.tables if table.name != INDEX
        ]
        # So many floats without text between them must be placed before LaTeX has no room for more.
        lines += ["\\clearpage"]
        lines += [drawing.latex(f"{part.name}/figures/{drawing.name}.pdf") for drawing in part.drawings]
        lines += ["\\clearpage"]
        lines += [
            f"\\input{{{part.name}/tables/{table.name}}}" for table in part.tables if table.name == INDEX
        ]
    return "\n".join([*lines, "\\end{document}"]) + "\n"


def markdown(found: Iterable[Part]) -> str:
    """All tables and figures on one page; paths are relative to its folder."""
    lines = [f"# {TITLE}", ""]
    for part in found:
        lines += [f"## {part.name}", ""]
        lines += [table.markdown() for table in part.tables if table.name != INDEX]
        lines += [drawing.markdown(f"{part.name}/figures/{drawing.name}.svg") for drawing in part.drawings]
        lines += [part.remarks] if part.remarks else []
        for table in part.tables:
            lines += (
                [f"[{table.caption}]({part.name}/tables/{table.name}.md)\n"] if table.name == INDEX else []
            )
    return "\n".join(lines)
