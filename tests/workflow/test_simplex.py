import copy
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids
from dataflex.corpus.markov import DOMAINS, TARGET
from dataflex.grid.simplex import centroids

REPRODUCTIONS = Path(__file__).resolve().parent.parent.parent / "reproductions"


def test_the_design_by_hand():
    found = centroids(["a", "b"], 0.1, ["z"])
    assert list(found) == ["a", "b", "a-b"]
    assert found["a"] == pytest.approx({"a": 0.9, "b": 0.1, "z": 0.0})
    assert found["b"] == pytest.approx({"a": 0.1, "b": 0.9, "z": 0.0})
    assert found["a-b"] == pytest.approx({"a": 0.5, "b": 0.5, "z": 0.0})


@pytest.mark.parametrize("least", [0.0, 0.05, 0.2])
def test_every_subset_once_and_every_mixture_on_the_simplex(least):
    found = centroids("abcd", least, "z")
    assert len(found) == 15
    assert len({tuple(round(share, 9) for share in shares.values()) for shares in found.values()}) == 15
    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares[name] for name in "abcd") >= least - 1e-12
        assert shares["z"] == 0
    # The design is symmetric: the mean of all mixtures is the centre.
    assert sum(shares["a"] for shares in found.values()) / 15 == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("over", "least", "without"), [("ab", 0.5, ""), ("ab", -0.1, ""), ("", 0.1, ""), ("ab", 0.1, "b")]
)
def test_a_design_that_can_not_be_is_refused(over, least, without):
    with pytest.raises(ValueError, match=r"divide|twice"):
        centroids(list(over), least, list(without))


GRID = yaml.safe_load("""
schema: 1
rung: small
seeds: [1, 2]
corpora: {chains: {source: markov}}
models: {tiny: {build: {options: {hidden-size: 8}}}}
experiments:
  mixed:
    models: [tiny]
    evaluate: mixture
    config: {dataset: "{domains}"}
    scales: {s: {corpus: chains}}
    yardstick: {over: [b, c], without: [a], least: 0.2, config: {static_mix: true}}
    methods: {natural: {config: {mixture_sample_rule: stratified}}}
""")


def load(folder, **changes):
    grid = copy.deepcopy(GRID)
    grid["experiments"]["mixed"].update(changes)
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    return grids.load(folder / "grid.yaml")


def test_a_yardstick_becomes_cells_of_the_grid(tmp_path):
    grid = load(tmp_path)
    found = grids.cells(grid, [4])
    assert [cell.method for cell in found] == ["natural", "static_b", "static_c", "static_b-c"]
    assert [grids.is_yardstick(grid, cell) for cell in found] == [False, True, True, True]
    assert all(grids.reported(grid, cell) for cell in found)
    assert grids.corpus_name(grid, found[1]) == "chains/seed4"
    config = grids.render(grid, found[1], "r", ["a", "b", "c"])
    assert config["init_mixture_proportions"] == pytest.approx({"a": 0.0, "b": 0.8, "c": 0.2})
    assert (config["static_mix"], config["dataset"]) == (True, "a,b,c")
    assert config["dataset_dir"] == "r/chains/seed4"
    assert grids.about(grid["experiments"]["mixed"]) == "mixture"


def test_one_mixture_can_be_asked_for(tmp_path):
    assert [cell.method for cell in grids.cells(load(tmp_path), [1], methods=["static_b-c"])] == [
        "static_b-c"
    ]


def test_a_yardstick_that_does_not_fit_is_refused_with_its_place(tmp_path):
    design = GRID["experiments"]["mixed"]["yardstick"]
    with pytest.raises(grids.GridError, match=r"experiments\.mixed\.yardstick: a least share of 0\.5"):
        load(tmp_path, yardstick={**design, "least": 0.5})
    with pytest.raises(grids.GridError, match="named twice"):
        load(tmp_path, yardstick={**design, "without": ["b"]})
    with pytest.raises(grids.GridError, match="most"):
        load(tmp_path, yardstick={**design, "most": 1})
    with pytest.raises(grids.GridError, match=r"methods\.static_b: the yardstick has this name"):
        load(tmp_path, methods={"natural": {"config": {}}, "static_b": {"config": {}}})


def test_the_demos_yardstick_is_of_the_domains_that_can_be_learned():
    grid = grids.load(REPRODUCTIONS / "demo.yaml")
    design = grid["experiments"]["planted_mixture"]["yardstick"]
    assert sorted(design["over"]) == sorted(TARGET)
    assert set(design["over"]) | set(design["without"]) == {domain.name for domain in DOMAINS}
    found = [c for c in grids.cells(grid, experiments=["planted_mixture"]) if grids.is_yardstick(grid, c)]
    assert len(found) == 15
