"""Negative controls: faults that leave every cell in agreement with itself, and still turn the check red.

They are made on the repository's own reviewed results, digests and all, with the grid that these were run by.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from results_factory import edit_json
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.errors import UserError
from dataflex.evidence import digests, reference
from dataflex.evidence.consistency import recomputed
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import read_results
from dataflex.evidence.store.find import find

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
    return public_check()


def public_check():
    """Exit status and output of the command that users and continuous integration run."""
    result = CliRunner().invoke(app, ["check", "--no-golden"])
    if isinstance(result.exception, UserError):
        return 2, f"{result.output}{result.exception}"
    return result.exit_code, result.output


def cell(method, seed):
    return EXPERIMENT / f"{method}.tiny.harvest.seed{seed}"


def exchange(one, other):
    one.rename(EXPERIMENT / "aside")
    other.rename(one)
    (EXPERIMENT / "aside").rename(other)


def rename(folder, **coordinates):
    edit_json(folder / "run.json", lambda run: run["cell"].update(coordinates))


def test_the_results_themselves_are_green(repository):
    assert checked()[0] == 0


def test_swapped_methods(repository):
    for seed in range(1, 7):
        exchange(cell("odm", seed), cell("natural", seed))
        rename(cell("odm", seed), method="odm")
        rename(cell("natural", seed), method="natural")
    code, output = checked()
    assert code == 1
    assert "component_name was 'static', the grid says 'odm'" in output
    assert "component_name was 'odm', the grid says 'static'" in output


def test_swapped_folders(repository):
    """Each cell still says what it is; only the folders, which look-ups go by, are exchanged."""
    numbers = reference.measure(read_results(Path("results/demo")), "before")
    reference.write(numbers, Path("reproductions/reference/demo.csv"))
    for seed in range(1, 7):
        exchange(cell("odm", seed), cell("natural", seed))
    digests.write(Path("results/demo"))
    code, output = public_check()
    assert code == 2
    assert "natural.tiny.harvest.seed1 holds the cell mixture/odm.tiny.harvest.seed1" in output
    with pytest.raises(UserError, match="holds the cell"):
        find("demo/mixture/odm")


def shuffle(folder):
    """Give the questions of a run the answers of others, and let its accuracy follow from them."""
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    golds = [line["gold"] for line in lines]
    for line, gold in zip(lines, golds[1:] + golds[:1], strict=True):
        line.update(gold=gold, correct=line["choice"] == gold)
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    edit_json(folder / "metrics.json", lambda metrics: restate(metrics, recomputed(lines, [])))


def restate(metrics, numbers):
    """Set every number of a summary that the outcomes decide, so that the cell agrees with itself."""
    for name, value in numbers.items():
        *path, last = name.split(".")
        part = metrics
        for step in path:
            part = part[step]
        part[last] = value


def test_shuffled_questions(repository):
    shuffle(cell("odm", 1))
    code, output = checked()
    assert code == 1
    assert "odm.tiny.harvest.seed1: its questions have other answers" in output
    assert "is stated as" not in output


def test_all_questions_shuffled_alike(repository):
    """No cell is odd beside the others; the file of questions that their protocol names says otherwise."""
    for folder in EXPERIMENT.iterdir():
        shuffle(folder)
    assert checked()[0] == 0
    shutil.copy(ROOT / "reproductions/reference/answers.csv", "reproductions/reference/answers.csv")
    code, output = checked()
    assert code == 1
    assert output.count("than the file of questions that its protocol names") == 36
    assert "is stated as" not in output


def test_one_experiment_shuffled_alike(repository):
    """Another experiment of the rung was asked the same questions."""
    shutil.copytree(ROOT / "results/demo/weighting", "results/demo/weighting")
    for folder in EXPERIMENT.iterdir():
        if folder.name.startswith(("odm", "natural")):
            shuffle(folder)
        else:
            shutil.rmtree(folder)
    code, output = checked()
    assert code == 1
    assert output.count("than those of most cells of the rung: 133 of 165") == 12


def test_a_tie_names_both_sides(repository):
    for folder in EXPERIMENT.iterdir():
        if folder not in (cell("odm", 1), cell("odm", 2)):
            shutil.rmtree(folder)
    shuffle(cell("odm", 2))
    code, output = checked()
    assert code == 1
    assert output.count("its questions have other answers than those of most cells") == 2


def test_a_wrong_tokenizer(repository):
    """Of one seed some documents are cut otherwise, and everything that is counted by token follows."""

    def cut_otherwise(folder):
        lines = [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]
        for line in lines:
            line["tokens"] += 1
        (folder / "documents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
        edit_json(folder / "metrics.json", lambda metrics: restate(metrics, recomputed(questions, lines)))

    cut_otherwise(cell("odm", 1))
    code, output = checked()
    assert code == 1
    assert "odm.tiny.harvest.seed1: it was evaluated with another tokenizer" in output
    assert "is stated as" not in output


def test_a_wrong_tokenizer_that_cuts_text_alike(repository):
    """Only the digest of the vocabulary tells, in results that have it."""
    for seed in range(1, 7):
        for method in ("odm", "natural"):
            vocabulary = "0" * 64 if (method, seed) == ("odm", 1) else "1" * 64
            edit_json(
                cell(method, seed) / "metrics.json",
                lambda metrics, digest=vocabulary: metrics.update(tokenizer=digest),
            )
    code, output = checked()
    assert code == 1
    assert output.count("it was evaluated with another tokenizer") == 1


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


@pytest.mark.parametrize("to", [("natural", 2), ("odm", 1), ("uniform", 1)])
def test_a_copied_outcome(repository, to):
    """The outcomes of one run stand in the place of another's, under that one's own manifest."""
    for name in ("metrics.json", "questions.jsonl", "documents.jsonl"):
        shutil.copy(cell("natural", 1) / name, cell(*to) / name)
    code, output = checked()
    assert code == 1
    assert "questions.jsonl and documents.jsonl hold the outcomes of mixture/" in output


def respaced(line):
    return json.dumps(json.loads(line), separators=(" , ", " : "))


def rounded(line):
    content = json.loads(line)
    if "logliks" in content:
        content["logliks"] = [round(value, 5) for value in content["logliks"]]
    return json.dumps(content)


@pytest.mark.parametrize("change", [respaced, rounded])
def test_a_copied_outcome_that_is_spelled_otherwise(repository, change):
    """One seed's outcomes in other white space, order and digits, for all six."""
    for seed in range(2, 7):
        shutil.copy(cell("natural", 1) / "metrics.json", cell("natural", seed) / "metrics.json")
        for name in ("questions.jsonl", "documents.jsonl"):
            lines = (cell("natural", 1) / name).read_text().splitlines()
            turned = lines[seed:] + lines[:seed]
            (cell("natural", seed) / name).write_text("\n".join(map(change, turned)) + "\n")
    code, output = checked()
    assert code == 1
    assert output.count("hold the outcomes of mixture/natural.tiny.harvest.seed1") == 5


def test_a_cell_that_the_grid_does_not_have(repository):
    cell("random", 1).rename(cell("own", 1))
    rename(cell("own", 1), method="own")
    shutil.rmtree(cell("random", 2))
    grid = yaml.safe_load((ROOT / "reproductions/demo.yaml").read_text())
    assert "own" not in grid["experiments"]["mixture"]["methods"]
    digests.write(Path("results/demo"))
    shutil.copytree(ROOT / "reproductions/reference", "reproductions/reference")
    _, output = public_check()
    assert "own.tiny.harvest.seed1: the grid has no such cell" in output
