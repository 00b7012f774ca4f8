"""Which checkpoints are evaluated: steps counted by hand, and every grid that asks for what it can't get."""

import copy
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids

REPRODUCTIONS = Path(__file__).resolve().parent.parent.parent / "reproductions"

GRID = yaml.safe_load("""
schema: 1
rung: small
seeds: [1]
corpora: {text: {source: harvest}}
models: {tiny: {name_or_path: hub/tiny}}
experiments:
  tuned:
    models: [tiny]
    evaluate_steps: 200
    config: {stage: sft, save_steps: 100, max_steps: 1600}
    scales: {s: {corpus: text}}
    methods:
      full: {config: {train_type: static}}
      helper: {report: false, config: {train_type: static}}
""")


def grid_with(experiment=None, **config):
    grid = copy.deepcopy(GRID)
    spec = grid["experiments"]["tuned"]
    spec |= experiment or {}
    spec["config"] |= config
    spec["config"] = {key: value for key, value in spec["config"].items() if value is not None}
    return grid


def steps(grid, method="full"):
    return grids.steps_to_evaluate(grid, grids.Cell("tuned", method, "tiny", "s", 1))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, (0, 200, 400, 600, 800, 1000, 1200, 1400)),
        ({"max_steps": 1700}, (0, 200, 400, 600, 800, 1000, 1200, 1400, 1600)),
        ({"max_steps": 201}, (0, 200)),
        ({"max_steps": -1, "train_step": 500}, (0, 200, 400)),
        # Nothing is to be learned from weights that were drawn at random.
        ({"train_from_scratch": True, "max_steps": 500}, (200, 400)),
        ({"save_steps": 200}, (0, 200, 400, 600, 800, 1000, 1200, 1400)),
    ],
)
def test_steps_before_the_end_of_the_run(config, expected):
    assert steps(grid_with(**config)) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # 100 + 50 x 9 = 550
        ({"train_type": "dynamic_select", "update_step": 50, "update_times": 9}, 550),
        # Two and a half cycles of 550
        (
            {"train_type": "dynamic_select", "update_step": 50, "update_times": 9, "num_train_epochs": 2.5},
            1375,
        ),
        # A mixture's last decision is kept, however often the rows are gone through.
        ({"train_type": "dynamic_mix", "update_step": 50, "update_times": 9, "num_train_epochs": 2.5}, 550),
    ],
)
def test_a_schedule_fixes_the_number_of_steps(method, expected):
    grid = grid_with(max_steps=None, warmup_step=100, num_train_epochs=1)
    grid["experiments"]["tuned"]["methods"]["full"]["config"] = method
    cell = grids.Cell("tuned", "full", "tiny", "s", 1)
    assert grids.total_steps(grid, cell) == expected
    assert steps(grid) == tuple(range(0, expected, 200))


def test_llama_factorys_own_epochs_are_three():
    grid = grid_with(max_steps=None, warmup_step=100, update_step=100, update_times=1)
    grid["experiments"]["tuned"]["methods"]["full"]["config"] = {"train_type": "dynamic_select"}
    assert steps(grid) == (0, 200, 400)


def test_nothing_where_nothing_is_asked_or_reported():
    grid = grid_with()
    assert steps(grid, "helper") == ()
    del grid["experiments"]["tuned"]["evaluate_steps"]
    assert steps(grid) == ()


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (grid_with(save_steps=150), "save_steps 150, .*a multiple of save_steps"),
        (grid_with(save_steps=None), "save_steps 500"),
        (grid_with(save_steps=0.1), r"save_steps 0\.1"),
        (grid_with(save_total_limit=2), "leave out save_total_limit"),
        (grid_with(save_strategy="epoch"), "save_strategy is 'epoch': it must be steps"),
        (grid_with(max_steps=None, num_train_epochs=2), "depends on the size of the corpus: give max_steps"),
        (grid_with(max_steps=200), "the run has 200 steps: lower it"),
        (grid_with({"evaluate": "mixture"}), "no model is evaluated"),
        (grid_with({"evaluate_steps": 0}), "experiments.tuned.evaluate_steps: 0 is less than"),
    ],
)
def test_a_grid_that_leaves_no_such_checkpoints_is_refused(grid, message):
    with pytest.raises(grids.GridError, match=message):
        grids.validate(grid)


def test_updates_without_a_fixed_count_leave_the_number_of_steps_open():
    grid = grid_with(max_steps=None, warmup_step=100, update_step=50, update_times=0)
    grid["experiments"]["tuned"]["methods"]["full"]["config"] = {"train_type": "dynamic_mix"}
    with pytest.raises(grids.GridError, match="give max_steps"):
        grids.validate(grid)


def test_a_curve_is_no_reason_to_train_again():
    without = grid_with()
    del without["experiments"]["tuned"]["evaluate_steps"]
    cell = grids.Cell("tuned", "full", "tiny", "s", 1)
    assert grids.recipe(grid_with(), cell, "r") == grids.recipe(without, cell, "r")


def test_the_papers_curves():
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    found = {cell: grids.steps_to_evaluate(grid, cell) for cell in grids.cells(grid)}
    assert {steps for cell, steps in found.items() if cell.experiment == "selection"} == {
        (0, 200, 400, 600, 800, 1000, 1200, 1400)
    }
    assert not any(steps for cell, steps in found.items() if cell.experiment == "mixture")
    assert {grids.total_steps(grid, cell) for cell, steps in found.items() if steps} == {1600}
