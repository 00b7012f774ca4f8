"""Copies are told from two runs of one model by what was decided; the numbers alone are the same in both."""

import json
import shutil

import pytest
from results_factory import edit_json, write_cell, write_mixture

from dataflex.evidence.coherence import never_diverged, troubles
from dataflex.evidence.copies import copies
from dataflex.evidence.results import read_results

OUTCOMES = ("metrics.json", "questions.jsonl", "documents.jsonl")


def write_log(folder, component, *decisions):
    """The plan log of a run whose manifest names the component."""
    lines = [{"step": step, "component": component, "decided": value} for step, value in enumerate(decisions)]
    (folder / "plan_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    edit_json(
        folder / "run.json", lambda run: run["manifest"].update(decisions={"mix": {"component": component}})
    )


def pair(root, seeds=(1, 1), files=(*OUTCOMES, "curve.csv"), decisions=((1, 2), (1, 2))):
    """Two cells, the second with files of the first; each has a component of its own."""
    one, other = (
        write_cell(root, method=method, seed=seed)
        for method, seed in zip(("natural", "odm"), seeds, strict=True)
    )
    for name in files:
        shutil.copy(one / name, other / name)
    write_log(one, "static", *decisions[0])
    write_log(other, "odm", *decisions[1])
    return one, other


def found(root):
    refused, told = copies(read_results(root))
    return len(refused), len(told)


def test_two_runs_are_no_copies(tmp_path):
    pair(tmp_path, files=())
    assert found(tmp_path) == (0, 0)


def test_methods_that_decided_the_same_are_told_and_not_refused(tmp_path):
    pair(tmp_path)
    assert found(tmp_path) == (0, 1)
    (sentence,) = never_diverged(read_results(tmp_path))
    assert (
        "mixture/odm.tiny.harvest.seed1 and mixture/natural.tiny.harvest.seed1 have the same outcomes"
        in sentence
    )
    assert "copy" not in str(list(troubles(read_results(tmp_path))))


@pytest.mark.parametrize(
    "difference",
    [
        {"seeds": (1, 2)},
        {"files": OUTCOMES},
        {"decisions": ((1, 2), (1, 3))},
    ],
    ids=["another seed", "another curve", "other decisions"],
)
def test_outcomes_without_a_training_that_gives_them_are_refused(tmp_path, difference):
    pair(tmp_path, **difference)
    assert found(tmp_path) == (1, 0)


def test_a_plan_log_of_another_component_is_refused(tmp_path):
    one, other = pair(tmp_path)
    shutil.copy(one / "plan_log.jsonl", other / "plan_log.jsonl")
    assert found(tmp_path) == (1, 0)


def test_a_copy_with_some_outcomes_altered_is_refused(tmp_path):
    _, other = pair(tmp_path, seeds=(1, 2), files=("questions.jsonl",))
    lines = [json.loads(line) for line in (other / "questions.jsonl").read_text().splitlines()]
    for line in lines[:3]:
        line["logliks"] = [value - 0.5 for value in line["logliks"]]
    (other / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert found(tmp_path) == (1, 0)


def test_held_out_losses_are_compared_too(tmp_path):
    write_mixture(tmp_path, "natural", 1, excess=0.2)
    other = write_mixture(tmp_path, "odm", 2, excess=0.3)
    assert found(tmp_path) == (0, 0)
    text = (tmp_path / "planted_mixture/natural.chain.chains.seed1/held_out.csv").read_text().splitlines()
    (other / "held_out.csv").write_text("\n".join([text[0], *reversed(text[1:])]) + "\n")
    assert found(tmp_path) == (1, 0)
