"""The gate around the runs: what must be recorded, what a run that dies is, and how it is told."""

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.golden import gate, show
from dataflex.golden.cases import Case, every_case
from dataflex.golden.commands import check
from dataflex.golden.comparing import Finding
from dataflex.golden.entry import Entry
from dataflex.golden.golden_file import read_golden
from dataflex.golden.materials import make_materials
from dataflex.golden.platforms import differences, fingerprint
from dataflex.golden.recording import refuse_chance
from dataflex.golden.worker import run_forked

from .mutations import RECORDS


@pytest.mark.parametrize("case", every_case(), ids=[case.label for case in every_case()])
def test_the_run_of_every_component_is_recorded(case: Case) -> None:
    golden = read_golden(RECORDS, case.label)
    assert golden is not None, "dataflex-cli check --record-golden"
    assert golden.params == case.params()
    assert golden.entries.keys() == golden.tolerances.keys()
    assert {"steps: loss", "rows in order", "weights: values"} <= golden.entries.keys()
    for name, entry in golden.entries.items():
        if entry.kind == "numbers":
            assert np.isfinite(entry.values).all()
            assert golden.tolerances[name].allowed <= 1e-3 * entry.scale, name
    assert len(golden.repeats) >= 3


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is recorded, in a repository of its own."""
    shutil.copytree(RECORDS, tmp_path / gate.FOLDER)
    monkeypatch.chdir(tmp_path)
    return tmp_path / gate.FOLDER


def test_what_is_recorded_is_complete(records: Path) -> None:
    cases = every_case()
    assert gate.recorded_of(cases, whole=True).keys() == {case.label for case in cases}
    (records / "mix.gone.json").write_text((records / "mix.odm.json").read_text())
    with pytest.raises(UserError, match=r"mix.gone.json is of no component"):
        gate.recorded_of(cases, whole=True)
    gate.recorded_of(cases, whole=False)


def test_a_component_without_a_record_is_refused(records: Path) -> None:
    (records / "select.less.json").unlink()
    with pytest.raises(UserError, match=r"no golden run of select.less is recorded: .*--record-golden"):
        gate.recorded_of(every_case(), whole=True)


def test_a_record_of_other_parameters_is_refused(records: Path) -> None:
    file = records / "select.cluster_less.json"
    file.write_text(file.read_text().replace('"cluster_size": 8', '"cluster_size": 9'))
    with pytest.raises(UserError, match="was recorded with"):
        gate.recorded_of(every_case(), whole=True)


def test_without_records_there_is_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        gate.recorded_of(every_case(), whole=True)


def test_components_are_named_with_or_without_their_kind() -> None:
    assert [case.label for case in gate.chosen_cases("less,mix.random")] == ["mix.random", "select.less"]
    assert [case.label for case in gate.chosen_cases("random")] == ["mix.random", "select.random"]
    with pytest.raises(UserError, match="no component is called 'lass'"):
        gate.chosen_cases("lass")


@pytest.mark.parametrize("words", [["results", "--golden-only"], ["--no-golden", "--record-golden"]])
def test_options_that_exclude_each_other(words: list[str]) -> None:
    app = typer.Typer()
    app.command()(check)
    assert isinstance(CliRunner().invoke(app, words).exception, UserError)


def quantities() -> Mapping[str, Entry]:
    return {"x": Entry.of("x", [np.ones(3)])}


def fails() -> Mapping[str, Entry]:
    raise ValueError("no such thing")


def dies() -> Mapping[str, Entry]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_run_that_dies_leaves_an_error_and_harms_no_other(tmp_path: Path) -> None:
    tasks = {"good": quantities, "bad": fails, "dead": dies, "last": quantities}
    assert sorted(run_forked(tasks, tmp_path, jobs=2)) == sorted(tasks)
    assert {file.stem for file in tmp_path.glob("*.json")} == {"good", "last"}
    assert "no such thing" in (tmp_path / "bad.error").read_text()
    assert "status -9" in (tmp_path / "dead.error").read_text()


def test_a_component_that_leaves_something_to_chance_is_not_recorded() -> None:
    first, second = {"x": Entry.of("x", [np.ones(3)])}, {"x": Entry.of("x", [np.ones(3) + 1e-15])}
    refuse_chance({"mix.a": first}, {"mix.a": dict(first)})
    with pytest.raises(UserError, match=r"mix.a did not repeat bit by bit \(x\)"):
        refuse_chance({"mix.a": first}, {"mix.a": second})


def test_materials_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        make_materials(tmp_path / name)
    files = [file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file()]
    assert len(files) >= 10
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes(), file


def test_another_platform_is_told_apart() -> None:
    here = fingerprint()
    assert differences(here, fingerprint()) == []
    assert differences(here | {"torch": "1.0"}, here) == [f"torch: {here['torch']}, not 1.0"]


def test_what_is_wrong_is_shown_with_value_expected_and_tolerance() -> None:
    console = Console(width=140, record=True)
    many = [Finding("mix.odm", f"q{number}", 2.5, 1.25, 0.125, "out") for number in range(100)]
    show.findings(console, [*many, Finding("mix.random", "shares", None, "there", 0.0, "missing")])
    text = console.export_text()
    for word in ("mix.odm", "2.5", "1.25", "0.125", "mix.random", "missing", "61 more"):
        assert word in text
