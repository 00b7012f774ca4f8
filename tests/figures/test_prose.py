"""Numbers in README and docs are those of the results: the real documents, and the machinery by itself."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from results_factory import edit_json, write_cell, write_mixture, write_picks

from dataflex.errors import UserError
from dataflex.evidence.claims.judge import judge_store
from dataflex.evidence.claims.registry import load
from dataflex.evidence.statistics.estimate import Estimate
from paper_figures.prose import shown
from paper_figures.prose.documents import documents, fill
from paper_figures.prose.numbers import Store

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_numbers_in_the_documents_are_those_of_the_results():
    """`python -m paper_figures prose` brings them up to date."""
    store = Store(ROOT)
    changes = [
        change
        for file in documents(ROOT)
        for change in fill(file.read_text(), store.text, file.relative_to(ROOT).as_posix())[1]
    ]
    assert changes == []
    assert store.asked >= 50


COVERAGE = """| interval | design | experiments | coverage (%) |
| `questions.wilson` | no verdict rests on it | 20000 | 90.0 |
| `hierarchical.mean, random` | 3 seeds | 4000 | 93.7 |
| `hierarchical.bootstrap, random` | nor on this | 2000 | 98.1 |
| `seeds.of_mean` | 6 seeds | 20000 | 96.0 |
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    rung = root / "results/demo"
    for seed, shift in ((1, 0.1), (2, 0.1), (3, 0.1)):
        write_cell(rung, "mixture", "natural", seed)
        write_cell(rung, "mixture", "odm", seed, shift=shift)
        write_picks(rung, "less", seed, 0.9)
        write_mixture(rung, "odm", seed, excess=0.35, shares=(0.25, 0.5, 0.25))
        write_mixture(rung, "static_easy", seed, excess=0.2, yardstick=True)
    write_picks(rung, "less_projected", 1, 0.5)
    (root / "results/efficiency").mkdir()
    for name in ("corpus", "steps-tiny-4x1x256"):
        shutil.copy(ROOT / f"results/efficiency/{name}.json", root / "results/efficiency")
    (root / "docs").mkdir()
    (root / "docs/statistics.md").write_text(COVERAGE)
    (root / "reproductions").mkdir()
    shutil.copy(ROOT / "reproductions/calibration.yaml", root / "reproductions")
    return root


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("demo/planted/less precision", ".90"),
        ("demo/planted_mixture/odm regret", ".15"),
        ("demo/planted_mixture/odm asked noise", ".25"),
        ("demo/planted_mixture statics", "one"),
        ("demo/mixture seeds", "three"),
        ("demo results", "16"),
        ("demo/mixture results", "6"),
        ("coverage least", "93.7"),
        ("coverage most", "96.0"),
        ("demo/mixture domains", "two"),
        ("calibration an_experiment.worst", "219 %"),
        ("calibration runs", "288"),
        ("calibration largest", "614k"),
        ("efficiency/corpus seconds 2", "587"),
        ("efficiency/corpus size", "2"),
        ("efficiency/steps-tiny-4x1x256 limit mix doremi, live", "1.35"),
    ],
)
def test_a_number_by_its_name(repository, name, text):
    assert Store(repository).text(name) == text


def test_a_change_is_paired_by_seed_and_has_its_interval(repository):
    bits = {
        (method, seed): json.loads(
            (repository / f"results/demo/mixture/{method}.tiny.harvest.seed{seed}/metrics.json").read_text()
        )["perplexity"]["all"]["bits_per_byte"]
        for method in ("natural", "odm")
        for seed in (1, 2, 3)
    }
    values = [bits["odm", seed] - bits["natural", seed] for seed in (1, 2, 3)]
    mean = sum(values) / 3
    half = 4.302653 * (sum((value - mean) ** 2 for value in values) / 2 / 3) ** 0.5  # Student's, 2 degrees
    expected = [f"{value:+.3f}".replace("0.", ".") for value in (mean, mean - half, mean + half)]
    found = Store(repository).text("demo/mixture/odm change bits_per_byte.all")
    assert found == "{} [{}, {}]".format(*expected)


def test_the_limit_of_a_step_is_no_number_where_it_is_not_kept(repository):
    with pytest.raises(UserError, match=r"'mix odm' is no longer within 1\.02"):
        Store(repository).text("efficiency/steps-tiny-4x1x256 limit mix odm")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo/planted/nobody precision", "results/demo/planted/nobody holds no result"),
        ("demo/planted/less charm", "'charm' is unknown"),
        ("demo/planted_mixture/odm asked milk", "'milk' is unknown"),
        ("efficiency/nothing seconds 1", "is missing"),
        ("calibration a_cell.mode", "'mode' is unknown"),
        ("elsewhere/mixture seeds", "does not exist"),
        ("demo/planted seeds", "some methods have 1 seeds, others 3"),
        ("demo/planted/less change precision", "no baseline"),
        ("coverage middle", "'middle' is unknown"),
        ("claims charm", "'charm' is unknown"),
        ("claims/demo charm", "'charm' is unknown"),
    ],
)
def test_what_the_results_do_not_have_is_told(repository, name, said):
    with pytest.raises(UserError, match=said):
        Store(repository).text(name)


def test_a_method_is_named_as_a_whole(repository):
    """``less`` is not ``less_projected``; of several models one has to be named."""
    assert Store(repository).text("demo/planted/less_projected precision") == ".50"
    assert Store(repository).text("demo/planted/less.tiny.pool precision") == ".90"


def test_several_models_are_told_apart(tmp_path):
    for model in ("tiny", "large"):
        write_cell(tmp_path / "results/paper", "mixture", "natural", model=model)
        write_cell(
            tmp_path / "results/paper", "mixture", "odm", model=model, shift=0.5 if model == "large" else 0
        )
    store = Store(tmp_path)
    with pytest.raises(UserError, match="several models"):
        store.text("paper/mixture/odm change bits_per_byte.all")
    changes = {
        model: float(store.text(f"paper/mixture/odm.{model}.harvest change bits_per_byte.all"))
        for model in ("tiny", "large")
    }
    assert abs(changes["tiny"]) < 0.05 < changes["large"]


MARKED = "one <!--n a b-->1<!--/n--> and <!--n c-->2<!--/n-->\n| x | <!--n a b-->9<!--/n--> |\n"


def test_numbers_are_filled_between_their_markers():
    made, changes = fill(MARKED, {"a b": "-.5 [-.7, +.1]", "c": "2"}.__getitem__, "file.md")
    assert made == MARKED.replace(">1<", ">-.5 [-.7, +.1]<").replace(">9<", ">-.5 [-.7, +.1]<")
    assert [(one.place, one.before, one.after) for one in changes] == [
        ("file.md:1", "1", "-.5 [-.7, +.1]"),
        ("file.md:2", "9", "-.5 [-.7, +.1]"),
    ]
    assert fill(made, {"a b": "-.5 [-.7, +.1]", "c": "2"}.__getitem__, "file.md") == (made, [])


@pytest.mark.parametrize(
    "text", ["a\n<!--n a-->1\n<!--/n-->", "a\n<!--n a-->1", "a\n1<!--/n-->", "a\n<!--n a 1<!--/n-->"]
)
def test_a_marker_that_is_not_closed_on_its_line_is_told(text):
    with pytest.raises(UserError, match=r"file\.md:2: a marker reads"):
        fill(text, lambda name: "1", "file.md")


def test_the_line_is_told_of_a_name_that_is_unknown(repository):
    with pytest.raises(UserError, match=r"file\.md:2: results/demo/planted/nobody"):
        fill("a\n<!--n demo/planted/nobody precision-->1<!--/n-->", Store(repository).text, "file.md")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.984, 2, ".98"), (1.7529, 2, "1.75"), (-0.002, 3, "-.002"), (-0.0001, 3, ".000"), (10.0, 1, "10.0")],
)
def test_numbers_have_no_zero_before_the_point(value, digits, text):
    assert shown.plain(value, digits) == text


def test_changes_have_a_sign_unless_they_are_none():
    assert shown.change(Estimate(0.00004, 0.0337), 3) == ".000 [-.066, +.066]"
    assert shown.change(Estimate(1.25, math.inf), 2) == "+1.25"
    assert [shown.word(count) for count in (0, 6, 15, 21, 2182)] == ["no", "six", "fifteen", "21", "2,182"]


def test_verdicts_are_counted():
    """Each rung's own, and those of all rungs together: what the register asks for."""
    store, given = Store(ROOT), judge_store(ROOT / "results")
    assert store.text("claims verdicts") == str(len(given))
    own = [one.verdict for one in given if one.rung == "demo"]
    assert store.text("claims/demo underpowered") == str(own.count("underpowered"))
    assert store.text("claims/demo judged") == str(len(own) - own.count("not-run"))
    assert store.text("claims registered") == str(len(load().claims))


def test_the_documents_that_are_checked():
    found = {file.relative_to(ROOT).as_posix() for file in documents(ROOT)}
    assert {"README.md", "CONTRIBUTING.md", "docs/plan.md", "reproductions/reference/README.md"} <= found
    assert not any("/." in name or name.startswith(("results/", "runs/")) for name in found)


def test_a_coverage_that_is_nowhere_is_told(tmp_path):
    with pytest.raises(UserError, match="has no table with the coverage"):
        Store(tmp_path).text("coverage least")


def test_the_command_checks_and_fills(repository):
    readme, doc = repository / "README.md", repository / "docs/more.md"
    readme.write_text("<!--n demo/planted/less precision-->.91<!--/n-->\n")
    doc.write_text("<!--n demo/mixture seeds-->three<!--/n-->\n")

    def run(*more):
        command = [sys.executable, "-m", "paper_figures", "prose", "--root", repository, *more]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    checked = run("--check")
    assert checked.returncode == 1
    assert "README.md:1: demo/planted/less precision: .91 is .90" in checked.stdout
    assert ".91" in readme.read_text()
    assert run().returncode == 0
    assert readme.read_text() == "<!--n demo/planted/less precision-->.90<!--/n-->\n"
    assert run("--check").returncode == 0
    for cell in repository.glob("results/demo/planted/less.*"):
        edit_json(cell / "selection.json", lambda content: content.update(precision=0.8))
    assert ".90 is .80" in run("--check").stdout
