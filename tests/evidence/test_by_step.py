import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from results_factory import edit_json, write_cell, write_steps

from dataflex.errors import UserError
from dataflex.evidence import by_step
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.results import read_results
from dataflex.evidence.store.admission import add

ROOT = Path(__file__).resolve().parent.parent.parent


def evaluation(folder, right, asked=40, nll=1.25, **protocol):
    folder.mkdir(parents=True)
    content = {
        "mmlu": {"acc": right / asked, "answer_nll": nll, "n": asked},
        "protocol": {"batch_size": 8, "dtype": "bfloat16", "perplexity": None, **protocol},
    }
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_steps_are_gathered_in_order_with_the_end_last(tmp_path):
    folders = {step: evaluation(tmp_path / "steps" / str(step), step // 100) for step in (1000, 200, 400)}
    end = evaluation(tmp_path / "cell", 13, nll=1.1, perplexity={"documents": {}})
    by_step.gather({**folders, 1600: end}, end)
    assert (end / "by_step.csv").read_text() == (
        "step,acc,answer_nll,n\n200,0.05,1.25,40\n400,0.1,1.25,40\n1000,0.25,1.25,40\n1600,0.325,1.1,40\n"
    )
    assert by_step.read(end / "by_step.csv")[-1] == by_step.Point(1600, 0.325, 1.1, 40)


def test_every_number_is_read_as_it_was_written(tmp_path):
    rng = random.Random(0)
    folders = {
        step: evaluation(tmp_path / str(step), rng.randrange(997), 997, rng.expovariate(1))
        for step in range(1, 30)
    }
    by_step.gather(folders, folders[29])
    for point in by_step.read(folders[29] / "by_step.csv"):
        stated = json.loads((folders[point.step] / "metrics.json").read_text())["mmlu"]
        assert (point.acc, point.answer_nll, point.n) == (stated["acc"], stated["answer_nll"], stated["n"])


def test_the_script_of_the_rule(tmp_path):
    for step in (20, 40):
        evaluation(tmp_path / "steps" / str(step), step)
    evaluation(tmp_path / "cell", 4)
    words = [tmp_path / "steps", "--steps", "20", "40", "--end", "60", "--output", tmp_path / "cell"]
    script = [sys.executable, ROOT / "workflow/scripts/by_step.py", *words]
    subprocess.run(script, check=True, env={"PYTHONPATH": str(ROOT)})
    assert [point.step for point in by_step.read(tmp_path / "cell/by_step.csv")] == [20, 40, 60]
    (tmp_path / "steps/40/metrics.json").unlink()
    failed = subprocess.run(script, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {tmp_path / 'steps/40/metrics.json'} is missing")


@pytest.mark.parametrize("part", ["batch_size", "dtype", "device"])
def test_what_was_measured_in_another_way_is_not_put_beside_it(tmp_path, part):
    other = evaluation(tmp_path / "200", 3, **{part: "other"})
    end = evaluation(tmp_path / "cell", 4)
    with pytest.raises(UserError, match=rf"200: {part} is not that of"):
        by_step.gather({200: other, 400: end}, end)
    assert not (end / "by_step.csv").exists()


def test_an_evaluation_that_lacks_a_number_is_named(tmp_path):
    end = evaluation(tmp_path / "cell", 4)
    edit_json(end / "metrics.json", lambda content: content["mmlu"].pop("answer_nll"))
    with pytest.raises(UserError, match=r"cell/metrics\.json lacks 'answer_nll'"):
        by_step.gather({400: end}, end)


def test_a_cell_is_the_same_with_and_without_its_curve(tmp_path):
    folder = write_cell(tmp_path, "selection", "less")
    (before,) = read_results(tmp_path)
    names = before.files
    write_steps(folder, [0.25, 0.5])
    (after,) = read_results(tmp_path)
    assert after.files == (*names, "by_step.csv")
    assert after.numbers() == before.numbers()
    assert list(contradictions(after)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[:-1], "does not end with the numbers of metrics.json"),
        (lambda rows: rows[:1], "does not end with the numbers of metrics.json"),
        (lambda rows: [*rows[:-1], rows[-1].replace(",40", ",41")], "does not end"),
        (lambda rows: [rows[0], rows[2], rows[1], rows[3]], "do not ascend"),
        (lambda rows: [rows[0], rows[1], rows[1], rows[3]], "do not ascend"),
        (lambda rows: [rows[0], "200,0.26,1.4,40", *rows[2:]], "step 200: 0.26 is no share of 40 questions"),
        (lambda rows: [rows[0], "200,1.25,1.4,40", *rows[2:]], "step 200: 1.25 is no share"),
        (lambda rows: [rows[0], "200,nan,1.4,40", *rows[2:]], "step 200: nan is no share"),
        (lambda rows: [rows[0], "200,0.25,1.4,20", *rows[2:]], "step 200: 20 questions, at the end 40"),
        (lambda rows: [rows[0], "200,0.25,inf,40", *rows[2:]], "step 200: inf is no loss"),
        (lambda rows: [rows[0], "200,0.25,-1,40", *rows[2:]], "step 200: -1.0 is no loss"),
        (lambda rows: ["step,acc", *rows[1:]], "must have the columns"),
        (lambda rows: [rows[0], "200,0.25,much,40"], "could not convert"),
    ],
)
def test_an_altered_curve_is_told(tmp_path, change, sentence):
    folder = write_cell(tmp_path, "selection", "less")
    write_steps(folder, [0.25, 0.5])
    file = folder / "by_step.csv"
    rows = file.read_text().splitlines()
    assert list(contradictions(read_results(tmp_path)[0])) == []
    file.write_text("\n".join(change(copy.copy(rows))) + "\n")
    assert any(sentence in said for said in contradictions(read_results(tmp_path)[0]))


def test_reviewed_results_keep_the_curve(tmp_path):
    folder = write_cell(tmp_path / "study", "selection", "less")
    write_steps(folder, [0.25, 0.5])
    write_cell(tmp_path / "study", "mixture", "natural")
    target = tmp_path / "reviewed"
    add(tmp_path / "study", target)
    kept = target / "selection" / folder.name / "by_step.csv"
    assert kept.read_bytes() == (folder / "by_step.csv").read_bytes()
    assert f"selection/{folder.name}/by_step.csv" in (target / "SHA256SUMS").read_text()
    assert not list((target / "mixture").glob("*/by_step.csv"))
