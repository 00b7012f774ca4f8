"""The laptop's grid: every method once, in an order that tells most when it is interrupted."""

import copy

import pytest
from test_workflow import ROOT, snakemake

from dataflex import grid as grids
from dataflex.config import components_of, split
from dataflex.engine.schedule import make_schedule
from dataflex.registry import components

FILE = ROOT / "reproductions/laptop.yaml"
KINDS = {"selection": "select", "weighting": "weight"}


@pytest.fixture(scope="module")
def grid():
    return grids.load(FILE)


def rendered(grid, experiment):
    """The configs of an experiment's cells, by method."""
    chosen = grids.cells(grid, experiments=[experiment])
    return {cell.method: grids.render(grid, cell, "r", ["a"]) for cell in chosen}


@pytest.mark.parametrize("experiment", KINDS)
def test_every_registered_method_is_there(grid, experiment):
    kind = KINDS[experiment]
    named = set()
    for config in rendered(grid, experiment).values():
        own, _ = split(config)
        if config["train_type"] != "static":
            name, made = components_of(own)[kind]
            named.add(name)
            # What a method compares with is the questions' other half, never what it is evaluated on.
            assert ("validation_set" in made.requirements()) == ("eval_dataset" in config)
            assert config.get("eval_dataset", "questions_validation") == "questions_validation"
    assert named == set(components()[kind])


@pytest.mark.parametrize("experiment", KINDS)
def test_a_run_that_dies_in_a_decision_repeats_no_step(grid, experiment):
    for method, config in rendered(grid, experiment).items():
        assert config["max_steps"] % config["save_steps"] == 0
        if "update_step" not in config:
            continue
        keys = [config[name] for name in ("warmup_step", "update_step", "update_times", "max_steps")]
        phases = list(make_schedule("select", *keys).phases())
        begins = [sum(phase.steps for phase in phases[:place]) for place in range(len(phases) + 1)]
        assert begins[-1] == config["max_steps"], method
        assert all(step % config["save_steps"] == 0 for step in begins)
        assert sum(phase.name == "update" for phase in phases) == 4


def test_what_is_kept_of_the_papers_settings(grid):
    paper = grids.load(ROOT / "reproductions/paper.yaml")
    published, here = rendered(paper, "selection"), rendered(grid, "selection")
    same = ("finetuning_type", "lora_target", "lora_rank", "lora_alpha", "lr_scheduler_type", "warmup_ratio")
    for key in same:
        assert {config[key] for config in here.values()} == {published["less"][key]}
    assert here["less"]["per_device_train_batch_size"] * here["less"]["gradient_accumulation_steps"] == 8
    assert set(published) - {"reweight"} <= set(here)
    ours, theirs = rendered(grid, "weighting")["linupper"], published["reweight"]
    assert ours["component_params"]["strategy"] == theirs["component_params"]["strategy"]


def test_cheap_and_telling_cells_come_first(grid):
    order = {cell.method: grids.priority(grid, cell) for cell in grids.cells(grid, experiments=["selection"])}
    assert order["full"] == order["random"] > order["less"] > max(order[name] for name in ("nice", "custom"))
    assert order["less"] == grids.priority(
        grid, next(cell for cell in grids.cells(grid) if cell.method == "linupper")
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ({"package": "a==1"}, "'sha256' is a dependency of 'package'"),
        ({"package": "a", "sha256": "0" * 64}, "does not match"),
        ({"package": "a==1", "sha256": "0" * 63}, "does not match"),
        ({"package": "a==1", "sha256": "0" * 64, "corpus": "corpus"}, "corpus"),
    ],
)
def test_a_package_is_pinned_and_stands_alone(grid, build, message):
    bad = copy.deepcopy(grid)
    bad["models"]["SmolLM2-135M-Instruct"]["build"] = build
    with pytest.raises(grids.GridError, match=message):
        grids.validate(bad)


@pytest.mark.slow
def test_the_laptops_grid_is_planned(grid):
    result = snakemake(
        ROOT, "-n", "-p", "--configfile", "workflow/config/laptop.yaml", "--config", "output=runs/never"
    )
    assert result.returncode == 0, result.stderr
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    assert {name: counts[name] for name in ("corpus", "model", "tables", "figures")} == dict.fromkeys(
        ("corpus", "model", "tables", "figures"), "1"
    )
    assert {counts[name] for name in ("render", "train", "evaluate", "collect")} == {
        str(len(grids.cells(grid)))
    }
    build = grid["models"]["SmolLM2-135M-Instruct"]["build"]
    assert f"model.py {build['package']} --sha256 {build['sha256']}" in result.stdout
    # What is trained is evaluated before the next cell begins.
    jobs = result.stdout.split("\nrule ")[1:]
    first = {
        job.split(":")[0]: int(job.split("priority: ")[1].split()[0]) for job in jobs if "priority:" in job
    }
    assert first["evaluate"] > first["collect"] > 9
    tables = next(job for job in jobs if job.startswith("tables:"))
    assert "tables/selection.md" in tables
