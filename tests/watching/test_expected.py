from pathlib import Path

import pytest

from dataflex.errors import UserError
from dataflex.evidence.results import FILES
from dataflex.grid import cells, load
from dataflex.watching.expected import expected

from .conftest import Rung

REPRODUCTIONS = Path(__file__).resolve().parent.parent.parent / "reproductions"


def methods(rung: Rung) -> list[str]:
    return [cell.name.split(".")[0] for cell in expected(rung.root).cells]


def test_the_grid_that_the_workflow_noted(rung: Rung) -> None:
    what = expected(rung.root)
    assert what.note is None
    assert methods(rung) == ["natural", "uniform", "proxy", "doremi"]
    assert {cell.name.split(".")[0]: cell.reported for cell in what.cells}["proxy"] is False
    assert what.corpora == {"corpus": rung.root / "corpus.ready.json"}
    assert what.models == {"tiny": rung.root / "models/tiny.ready.json"}
    needs = dict(what.cells[3].needs)
    assert (
        needs["mixture/proxy.tiny.harvest.seed1"]
        == rung.root / "train/mixture/proxy.tiny.harvest.seed1.done.json"
    )
    assert set(needs) == {"corpus", "tiny", "mixture/proxy.tiny.harvest.seed1"}


def test_a_part_with_what_it_builds_on(rung: Rung) -> None:
    rung.write("grid.json", {"grid": "reproductions/little.yaml", "methods": ["doremi"], "seeds": [3, 4]})
    names = [cell.name for cell in expected(rung.root).cells]
    assert names == [
        f"{method}.tiny.harvest.seed{seed}" for method in ("doremi", "proxy", "natural") for seed in (3, 4)
    ]


def test_what_the_targets_of_the_command_line_were(rung: Rung) -> None:
    """One experiment at one scale, or one cell: nothing else will ever be done."""
    cell = "mixture/uniform.tiny.harvest.seed1"
    base = "mixture/natural.tiny.harvest.seed1"
    asked = {"trained": [cell, base], "evaluated": [cell], "by_step": [], "benchmarks": []}
    rung.write("grid.json", {"grid": "reproductions/little.yaml", "asked": asked})
    what = expected(rung.root)
    assert what.note is None
    assert {one.path: one.reported for one in what.cells} == {cell: True, base: False}


def test_the_demo_grid_is_as_the_workflow_has_it(tmp_path: Path) -> None:
    file = REPRODUCTIONS / "demo.yaml"
    what = expected(tmp_path, file)
    assert {cell.path for cell in what.cells} == {cell.path for cell in cells(load(file))}
    assert {cell.kind for cell in what.cells} == set(FILES)
    assert set(what.corpora) == {"corpus", "planted/seed1", "markov/seed1"}
    assert set(what.models) == {"tiny", "tiny_moe", "chain"}
    experiments = [cell.experiment for cell in what.cells]
    assert experiments == sorted(experiments, key=list(dict.fromkeys(experiments)).index)


def test_the_papers_models_are_not_made_here(tmp_path: Path) -> None:
    what = expected(tmp_path, REPRODUCTIONS / "paper.yaml")
    assert not what.models
    assert set(what.corpora) == {"openhermes_100k", "slimpajama_6b", "slimpajama_30b"}


def test_without_a_grid_it_is_what_is_found(rung: Rung) -> None:
    (rung.root / "grid.json").unlink()
    assert expected(rung.root).cells == ()
    rung.ready()
    rung.write("markov/seed1.ready.json", {})
    rung.done("natural")
    rung.run_dir("natural")
    rung.lock("uniform", silent=5)
    rung.events("proxy", {"event": "start", "time": 5})
    rung.job("doremi", submitted=3)
    rung.results("raw", "mixture")
    what = expected(rung.root)
    assert what.note is not None
    assert "no grid.json" in what.note
    assert methods(rung) == ["doremi", "natural", "proxy", "raw", "uniform"]
    assert what.cells[3].kind == "mixture"
    assert list(what.corpora) == ["corpus", "markov/seed1"]
    assert list(what.models) == ["tiny"]


@pytest.mark.parametrize(
    ("noted", "why"),
    [
        ({"grid": "reproductions/gone.yaml"}, "gone.yaml does not exist"),
        ({"grid": "reproductions/little.yaml", "methods": ["magic"]}, "no method is called 'magic'"),
        ({}, "does not exist"),
    ],
)
def test_a_noted_grid_that_is_gone_is_told(rung: Rung, noted: dict[str, object], why: str) -> None:
    rung.done("natural")
    rung.write("grid.json", noted)
    what = expected(rung.root)
    assert [cell.name for cell in what.cells] == ["natural.tiny.harvest.seed1"]
    assert what.note is not None
    assert why in what.note


def test_mistakes_are_the_users(rung: Rung) -> None:
    with pytest.raises(UserError, match="name the folder of a grid"):
        expected(rung.root / "nowhere")
    with pytest.raises(UserError, match="does not exist"):
        expected(rung.root, Path("nothing.yaml"))
    rung.write("grid.json", '{"grid": "repro')
    assert expected(rung.root).cells == ()
