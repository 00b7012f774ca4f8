"""Reviewed timings: a changed second is told, and a file that says too little or too much is refused."""

import json
import shutil
from pathlib import Path

import pytest
from results_factory import edit_json, write_grid, write_study
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.errors import UserError
from dataflex.evidence import digests
from dataflex.evidence.store import timings
from dataflex.evidence.store.admission import add

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_grid(tmp_path)
    add(write_study(tmp_path / "study"), tmp_path / "results/demo",
        reference_file=tmp_path / "reproductions/reference/demo.csv", measured_on="test")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(ROOT / "results/efficiency", tmp_path / "results/efficiency")


def check():
    result = CliRunner().invoke(app, ["check", "--no-golden"])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_the_repositorys_timings_are_as_they_were_reviewed(folder):
    code, output = check()
    assert code == 0, output
    assert "timings, held against their digests and their form; contradictions: 0" in output


def test_an_edited_second_is_told(folder):
    edit_json(folder / "tsds.json", lambda content: content["runs"][0].update(seconds=0.001))
    code, output = check()
    assert code == 1
    assert "tsds.json: differs from its recorded digest" in output


def test_timings_without_digests_are_refused(folder):
    (folder / digests.NAME).unlink()
    code, message = check()
    assert code == 2
    assert "carry their digests" in message


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["runs"][0].update(seconds=0), "runs/0/seconds"),
        (lambda c: c["runs"][0].pop("load"), "'load' is a required property"),
        (lambda c: c["runs"][0].update(side="nobody"), "nobody knows on what 'nobody' was measured"),
        (lambda c: c["about"].pop("dimension"), "'dimension' is a required property"),
        (lambda c: c["environments"]["library"].pop("processor"), "'processor' is a required property"),
        (
            lambda c: c.update(benchmark="order", about={"domains": 7, "batch": 1}),
            "holds the benchmark 'order'",
        ),
        (lambda c: c.update(extra=1), "extra"),
    ],
)
def test_a_file_of_another_form_is_told_and_not_sealed(folder, change, sentence):
    edit_json(folder / "tsds.json", change)
    digests.write(folder)
    code, output = check()
    assert code == 1
    assert "tsds.json" in output
    assert sentence in " ".join(output.split())
    before = (folder / digests.NAME).read_text()
    with pytest.raises(UserError, match="tsds"):
        timings.seal(folder)
    assert (folder / digests.NAME).read_text() == before


def test_new_timings_are_sealed(folder):
    content = json.loads((folder / "order.json").read_text())
    (folder / "order-again.json").write_text(json.dumps(content))
    assert check()[0] == 1
    assert CliRunner().invoke(app, ["results", "timings"]).exit_code == 0
    assert check()[0] == 0
