"""Negative controls: faults that leave every cell in agreement with itself, and still turn the check red.

They are made on the repository's own reviewed results, digests and all, with the grid that these were run by.
"""

import json
import shutil
from pathlib import Path

import pytest
import typer
import yaml
from results_factory import edit_json
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.evidence import digests, reference
from dataflex.evidence.commands import check
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import read_results

ROOT = Path(__file__).resolve().parent.parent.parent
EXPERIMENT = Path("results/demo/mixture")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The reviewed mixtures of the demo rung, and the grid."""
    shutil.copytree(ROOT / EXPERIMENT, tmp_path / EXPERIMENT)
    (tmp_path / "reproductions").mkdir()
    for name in ("demo.yaml", "planted.yaml"):
        shutil.copy(ROOT / "reproductions" / name, tmp_path / "reproductions" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked():
    """What the check says once somebody has made digests and reference numbers fit the results again."""
    digests.write(Path("results/demo"))
    numbers = reference.measure(read_results(Path("results/demo")), "whoever altered them")
    reference.write(numbers, Path("reproductions/reference/demo.csv"))
    app = typer.Typer()
    app.command()(check)
    result = CliRunner().invoke(app, [])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def cell(method, seed):
    return EXPERIMENT / f"{method}.tiny.harvest.seed{seed}"


def rename(folder, **coordinates):
    edit_json(folder / "run.json", lambda run: run["cell"].update(coordinates))


def test_the_results_themselves_are_green(repository):
    assert checked()[0] == 0


def test_swapped_methods(repository):
    for seed in range(1, 7):
        cell("odm", seed).rename(EXPERIMENT / "aside")
        cell("natural", seed).rename(cell("odm", seed))
        (EXPERIMENT / "aside").rename(cell("natural", seed))
        rename(cell("odm", seed), method="odm")
        rename(cell("natural", seed), method="natural")
    code, output = checked()
    assert code == 1
    assert "component_name was 'static', the grid says 'odm'" in output
    assert "component_name was 'odm', the grid says 'static'" in output


def test_shuffled_questions(repository):
    """The questions of one run have the answers of others, and its accuracy follows from them."""
    folder = cell("odm", 1)
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    golds = [line["gold"] for line in lines]
    for line, gold in zip(lines, golds[1:] + golds[:1], strict=True):
        line.update(gold=gold, correct=line["choice"] == gold)
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    consistent = summary_of(lines)
    edit_json(folder / "metrics.json", lambda metrics: metrics["mmlu"].update(consistent))
    code, output = checked()
    assert code == 1
    assert "odm.tiny.harvest.seed1: its questions have other answers" in output
    assert "is stated as" not in output


def summary_of(lines):
    """Accuracy and loss of the outcomes, whole and by subject, so that the cell agrees with itself."""
    from dataflex.evidence.consistency import recomputed

    numbers = recomputed(lines, [])
    subjects = json.loads((cell("odm", 1) / "metrics.json").read_text())["mmlu"]["subjects"]
    for name, values in subjects.items():
        for part in values:
            if f"mmlu.subjects.{name}.{part}" in numbers:
                values[part] = numbers[f"mmlu.subjects.{name}.{part}"]
    found = {
        part: numbers[f"mmlu.{part}"] for part in ("acc", "answer_nll", "stderr") if f"mmlu.{part}" in numbers
    }
    return {**found, "subjects": subjects}


def test_a_doubled_learning_rate(repository):
    """A run that was really made with it: its config has it, and so has the hash in its manifest."""

    def doubled(run):
        run["config"]["learning_rate"] *= 2
        run["manifest"]["config_hash"] = config_hash(run["config"], run["manifest"]["decisions"])

    edit_json(cell("odm", 1) / "run.json", doubled)
    code, output = checked()
    assert code == 1
    assert "odm.tiny.harvest.seed1: learning_rate was 0.008, the grid says 0.004" in output

    # And where its config is filed as if it had been the right one.
    edit_json(cell("odm", 1) / "run.json", lambda run: run["config"].update(learning_rate=0.004))
    code, output = checked()
    assert code == 1
    assert "does not have the hash that its manifest states" in output


@pytest.mark.parametrize("to", [("natural", 2), ("odm", 1)])
def test_a_copied_result(repository, to):
    """One run stands for two seeds, or for two methods."""
    shutil.rmtree(cell(*to))
    shutil.copytree(cell("natural", 1), cell(*to))
    rename(cell(*to), method=to[0], seed=to[1])
    code, output = checked()
    assert code == 1
    assert "it is the same run as" in output


def test_a_copied_outcome(repository):
    """The outcomes of one seed stand in the place of another's, under that one's own manifest."""
    for name in ("metrics.json", "questions.jsonl", "documents.jsonl"):
        shutil.copy(cell("natural", 1) / name, cell("natural", 2) / name)
    code, output = checked()
    assert code == 1
    assert "its documents.jsonl is that of mixture/natural.tiny.harvest.seed1, byte for byte" in output


def test_a_cell_that_the_grid_does_not_have(repository):
    cell("random", 1).rename(cell("own", 1))
    rename(cell("own", 1), method="own")
    shutil.rmtree(cell("random", 2))
    grid = yaml.safe_load((ROOT / "reproductions/demo.yaml").read_text())
    assert "own" not in grid["experiments"]["mixture"]["methods"]
    digests.write(Path("results/demo"))
    shutil.copytree(ROOT / "reproductions/reference", "reproductions/reference")
    app = typer.Typer()
    app.command()(check)
    output = CliRunner().invoke(app, []).output
    assert "own.tiny.harvest.seed1: the grid has no such cell" in output
