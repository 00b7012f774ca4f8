"""All that reviewed results can fill: the same bytes in every process, sound LaTeX, ids that lead to results."""

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from results_factory import write_cell, write_mixture, write_picks, write_steps, write_study

from dataflex.errors import UserError
from dataflex.evidence import digests
from paper_figures.__main__ import show
from paper_figures.publication import parts, write
from tests.figures.latex_reader import problems

ROOT = Path(__file__).resolve().parent.parent.parent
ID = re.compile(r"\b[0-9a-f]{12}\b")


def write_rungs(root: Path) -> Path:
    """A rung of every kind of result, one of models alone, and two benchmarks."""
    demo = root / "demo"
    write_study(demo, seeds=(1, 2))
    write_steps(next(demo.glob("selection/full*seed1")), [0.25, 0.5])
    write_cell(demo, method="odm", shares={"code": 0.75, "prose": 0.25})
    write_cell(demo, "mixture_moe", "dynamic_moe", shares={"code": 0.5, "prose": 0.5})
    for method, precision in (("random", 0.5), ("less", 0.9)):
        write_picks(demo, method, 1, precision)
    for method, excess in (("natural", 0.3), ("static_easy", 0.2)):
        write_mixture(demo, method, excess=excess, yardstick=method.startswith("static"))
    write_study(root / "laptop", seeds=(1,))
    (root / "efficiency").mkdir()
    for name in ("tsds.json", "less-tiny.json"):
        shutil.copy(ROOT / "results/efficiency" / name, root / "efficiency")
    return root


def build(results: Path, output: Path, hash_seed: str) -> dict[str, str]:
    """Digests of all files, made in a process of its own, in which sets have another order."""
    subprocess.run(
        [sys.executable, "-m", "paper_figures", "paper", results, "--output", output],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {
        file.relative_to(output).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in output.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    results = write_rungs(folder / "results")
    return results, folder / "first", build(results, folder / "first", "1")


def test_it_is_the_same_bytes_in_another_process(made, tmp_path):
    results, _, first = made
    assert build(results, tmp_path / "second", "2") == first


@pytest.mark.slow
def test_the_reviewed_results_are_the_same_bytes_in_another_process(tmp_path):
    results = ROOT / "results"
    first, second = (build(results, tmp_path / seed, seed) for seed in ("1", "2"))
    assert first == second
    shown = ROOT / "docs/figures/planted.svg"
    assert shown.read_bytes() == (tmp_path / "1/demo/figures/planted.svg").read_bytes(), "run `make paper`"
    assert not problems((tmp_path / "1" / "paper.tex").read_text(), tmp_path / "1")
    for file in (tmp_path / "1").rglob("*.tex"):
        assert not problems(file.read_text()), file
    if compiler := shutil.which("pdflatex"):
        command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        subprocess.run(command, cwd=tmp_path / "1", check=True, stdout=subprocess.DEVNULL)


def test_every_table_and_figure_has_all_its_forms(made):
    _, output, files = made
    for rung, figures in {
        "demo": {"learning_curves", "mixture_weights", "accuracy_by_step", "planted", "planted_mixture"},
        "laptop": {"learning_curves"},
        "efficiency": {"efficiency", "tsds"},
    }.items():
        assert {Path(name).stem for name in files if name.startswith(f"{rung}/figures/")} == figures
        for name in figures:
            assert {file.suffix for file in (output / rung / "figures").glob(f"{name}.*")} == {
                ".svg",
                ".pdf",
                ".png",
            }
    demo = {Path(name).name for name in files if name.startswith("demo/tables/")}
    assert demo == {
        f"{name}.{kind}"
        for name in (
            *("selection", "mixture", "mixture_weights", "mixture_moe"),
            *("mixture_moe_weights", "planted", "planted_mixture", "results"),
        )
        for kind in ("md", "csv", "tex")
    }
    assert "efficiency/tables/efficiency_less.tex" in files
    assert "efficiency/tables/measurements.csv" in files
    assert digests.changed(output) == []


def test_no_file_tells_when_or_where_it_was_made(made):
    _, output, files = made
    for name in files:
        content = (output / name).read_bytes()
        for told in (b"CreationDate", b"dc:date", str(output.parent).encode(), b"Matplotlib v"):
            assert told not in content, (name, told)


def test_the_paper_is_sound_and_takes_in_every_table_and_figure(made):
    _, output, files = made
    text = (output / "paper.tex").read_text()
    assert not problems(text, output)
    for name in files:
        if name.endswith(".tex") and name != "paper.tex":
            assert not problems((output / name).read_text()), name
            assert f"\\input{{{name.removesuffix('.tex')}}}" in text
        if name.endswith(".pdf"):
            assert f"{{{name}}}" in text
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", (output / "paper.md").read_text()):
        assert (output / picture).is_file()


def test_percents_are_written_alike(made):
    """``95 %`` as in the captions of figures, never ``95%``."""
    _, output, files = made
    text = "".join((output / name).read_text() for name in files if name.endswith((".md", ".tex")))
    assert "95 %" in text
    assert re.findall(r".{20}\d\\?%", text) == []


def test_every_id_leads_to_a_result_with_that_content(made):
    """Ids are computed here from the files, by hashlib alone."""
    results, output, _ = made
    for rung in ("demo", "laptop", "efficiency"):
        with (output / rung / "tables/results.csv").open() as stream:
            listed = {row["result"]: row["place"] for row in csv.DictReader(stream)}
        for result, place in listed.items():
            path = results / rung / place
            files = [path] if path.is_file() else sorted(path.iterdir())
            lines = "".join(
                f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files
            )
            assert hashlib.sha256(lines.encode()).hexdigest() == result
        known = {result[:12] for result in listed}
        for table in (output / rung / "tables").glob("*.md"):
            if table.stem != "results":
                folded = table.read_text().partition("<details>")[2]
                found = ID.findall(folded)
                assert found, table
                assert set(found) <= known


def test_a_changed_result_changes_its_id_and_its_rows_alone(made, tmp_path):
    results, output, _ = made
    copy = shutil.copytree(results, tmp_path / "results")
    cell = next((copy / "demo/selection").glob("loss.*seed1"))
    (cell / "curve.csv").write_text((cell / "curve.csv").read_text() + "45,4500,1.0\n")
    write(copy, tmp_path / "output")

    def rows(folder):
        with (folder / "demo/tables/selection.csv").open() as stream:
            return {tuple(row.values()) for row in csv.DictReader(stream)}

    differing = rows(output) ^ rows(tmp_path / "output")
    assert {row[1] for row in differing} == {"loss"}
    assert {row[4] for row in differing} == {"1"}


def test_benchmarks_of_a_rung_lie_below_it(tmp_path):
    write_cell(tmp_path / "paper")
    (tmp_path / "paper/efficiency").mkdir()
    shutil.copy(ROOT / "results/efficiency/tsds.json", tmp_path / "paper/efficiency")
    assert [part.name for part in parts(tmp_path)] == ["claims", "paper", "paper/efficiency"]


def test_a_terminal_is_shown_the_tables_without_ids(made, capsys):
    _, output, _ = made
    show(output / "demo")
    shown = capsys.readouterr().out
    assert "| LESS " in shown
    assert "tables/results.md" in shown
    assert not ID.search(shown)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no results"):
        parts(tmp_path)
    with pytest.raises(UserError, match="holds no results"):
        parts(tmp_path / "missing")
