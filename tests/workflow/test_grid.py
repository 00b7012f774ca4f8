import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids
from dataflex.config import components_of, split
from dataflex.corpus.planted import CLASSES, Design
from dataflex.engine.schedule import make_schedule
from dataflex.planning.work import is_packed

REPRODUCTIONS = Path(__file__).resolve().parent.parent.parent / "reproductions"

SMALL = yaml.safe_load("""
schema: 1
rung: small
seeds: [1, 2]
corpora: {text: {source: harvest}}
models:
  tiny: {build: {corpus: text, options: {hidden-size: 8}}, config: {template: a}}
  big: {name_or_path: hub/big}
experiments:
  pre:
    models: [tiny, big]
    baseline: base
    config: {stage: pt, dataset: "{domains}", max_steps: 5, component_params: {a: 1, b: 1}}
    scales: {s: {corpus: text, config: {max_steps: 6}}, l: {corpus: text}}
    methods:
      base: {config: {train_type: dynamic_mix}}
      helper: {report: false, models: [tiny], config: {}}
      main:
        needs: {helper: {method: helper, model: tiny}}
        config: {max_steps: 7, component_params: {b: 2}, reference: "{helper}/x"}
        at: {l: {max_steps: 8}}
  post:
    models: [tiny]
    needs: {start: {experiment: pre, method: base, scale: s}}
    config: {stage: sft, finetuning_type: lora}
    scales: {s: {corpus: text}}
    methods: {full: {config: {train_type: static}}}
""")


def cell(path):
    return grids.cell_from_path(SMALL, path)


def test_cells_are_the_product_in_the_files_order():
    names = [c.path for c in grids.cells(SMALL, seeds=[3])]
    assert names == [
        "pre/base.tiny.s.seed3",
        "pre/base.big.s.seed3",
        "pre/helper.tiny.s.seed3",
        "pre/main.tiny.s.seed3",
        "pre/main.big.s.seed3",
        "pre/base.tiny.l.seed3",
        "pre/base.big.l.seed3",
        "pre/helper.tiny.l.seed3",
        "pre/main.tiny.l.seed3",
        "pre/main.big.l.seed3",
        "post/full.tiny.s.seed3",
    ]
    assert len(grids.cells(SMALL)) == 22


def test_long_cells_come_first_and_marks_last():
    grid = copy.deepcopy(SMALL)
    cell = grids.Cell("pre", "main", "tiny", "s", 1)
    assert grids.priority(grid, cell) == 5
    grid["experiments"]["pre"]["methods"]["main"]["priority"] = 9
    assert grids.priority(grid, cell) == 9
    grid["experiments"]["post"]["evaluate"] = "selection"
    assert grids.priority(grid, grids.Cell("post", "full", "tiny", "s", 1)) == 0


def test_a_part_of_the_grid():
    assert {c.method for c in grids.cells(SMALL, methods=["base", "full"])} == {"base", "full"}
    assert {c.experiment for c in grids.cells(SMALL, experiments=["post"])} == {"post"}
    with pytest.raises(grids.GridError, match="no method is called 'bse'"):
        grids.cells(SMALL, methods=["bse"])
    with pytest.raises(grids.GridError, match="no experiment is called"):
        grids.cells(SMALL, experiments=["x"])


def test_render_layers_and_placeholders():
    config = grids.render(SMALL, cell("pre/main.tiny.l.seed2"), "runs/r", ["code", "prose"])
    assert config == {
        "template": "a",
        "stage": "pt",
        "dataset": "code,prose",
        "max_steps": 8,
        "component_params": {"a": 1, "b": 2},
        "reference": "runs/r/train/pre/helper.tiny.l.seed2/x",
        "model_name_or_path": "runs/r/models/tiny",
        "dataset_dir": "runs/r/text",
        "output_dir": "runs/r/train/pre/main.tiny.l.seed2",
        "seed": 2,
    }
    assert grids.render(SMALL, cell("pre/base.big.s.seed1"), "r", [])["max_steps"] == 6
    assert grids.render(SMALL, cell("pre/base.big.s.seed1"), "r", [])["model_name_or_path"] == "hub/big"


def test_a_tuned_cell_starts_from_the_run_of_its_own_seed():
    config = grids.render(SMALL, cell("post/full.tiny.s.seed2"), "r", [])
    assert config["model_name_or_path"] == "r/train/pre/base.tiny.s.seed2"


def test_render_leaves_the_grid_as_it_was():
    before = copy.deepcopy(SMALL)
    grids.render(SMALL, cell("pre/main.tiny.l.seed2"), "r", ["a"])
    assert before == SMALL


def test_an_unknown_placeholder_is_refused():
    changed = copy.deepcopy(SMALL)
    changed["experiments"]["pre"]["config"]["x"] = ["{nothing}"]
    with pytest.raises(grids.GridError, match=r"nothing is called \{nothing\}"):
        grids.render(changed, cell("pre/base.tiny.s.seed1"), "r", [])


def test_recipe_changes_with_what_the_config_is_made_of():
    base = grids.recipe(SMALL, cell("pre/main.tiny.s.seed1"), "r")
    for place, value in (
        (("experiments", "pre", "config", "max_steps"), 99),
        (("experiments", "pre", "scales", "s", "config", "max_steps"), 99),
        (("experiments", "pre", "methods", "main", "config", "max_steps"), 99),
        (("experiments", "pre", "methods", "main", "at", "s"), {"max_steps": 99}),
        (("models", "tiny", "config", "template"), "b"),
    ):
        changed = copy.deepcopy(SMALL)
        inner = changed
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
        assert grids.recipe(changed, cell("pre/main.tiny.s.seed1"), "r") != base, place
    other = copy.deepcopy(SMALL)
    other["experiments"]["pre"]["methods"]["base"]["config"]["max_steps"] = 99
    assert grids.recipe(other, cell("pre/main.tiny.s.seed1"), "r") == base


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("schema",), 2, "schema: 1 was expected"),
        (("seeds",), [], "seeds"),
        (("seeds",), [1, 1], "seeds"),
        (("sedes",), [1], "sedes"),
        (("models", "tiny", "name_or_path"), "x", "models.tiny"),
        (("corpora", "text", "source"), "web", "corpora.text.source"),
        (("corpora", "text"), {"source": "directory"}, "path"),
        (("experiments", "pre", "methods", "a.b"), {"config": {}}, "a.b"),
        (("experiments", "pre", "scales", "s", "corpus"), "txt", "no corpus is called 'txt'"),
        (("experiments", "pre", "models"), ["small"], "no model is called 'small'"),
        (("experiments", "pre", "baseline"), "bas", "no method is called 'bas'"),
        (("experiments", "post", "needs", "start", "method"), "bas", "needs.start"),
        (("experiments", "pre", "methods", "main", "at"), {"xl": {}}, "no scale is called 'xl'"),
        (("experiments", "pre", "resources"), {"train": {"gpu": 1}}, "gpu"),
    ],
)
def test_a_bad_grid_is_refused_with_its_place(place, value, message):
    bad = copy.deepcopy(SMALL)
    inner = bad
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(grids.GridError, match=message):
        grids.validate(bad)


def test_a_missing_or_broken_file(tmp_path):
    with pytest.raises(grids.GridError, match="does not exist"):
        grids.load(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(grids.GridError, match="not valid YAML"):
        grids.load(tmp_path / "broken.yaml")


PART = yaml.safe_load("""
corpora: {pool: {source: planted, corpus: text}}
experiments:
  picks:
    models: [tiny]
    evaluate: selection
    config: {dataset: planted, eval_dataset: target_validation}
    scales: {p: {corpus: pool}}
    methods:
      less: {target: [relevant], why: gradients, decision: 1, config: {component_name: less}}
""")


def write_grid(folder, part=PART, **changes):
    (folder / "part.yaml").write_text(yaml.safe_dump(part))
    (folder / "grid.yaml").write_text(yaml.safe_dump({**SMALL, "include": ["part.yaml"], **changes}))
    return folder / "grid.yaml"


def test_an_included_file_adds_to_the_grid(tmp_path):
    grid = grids.load(write_grid(tmp_path))
    assert list(grid["experiments"]) == ["post", "pre", "picks"]
    own = grids.cells(grid, experiments=["picks"])
    assert [c.path for c in own] == ["picks/less.tiny.p.seed1", "picks/less.tiny.p.seed2"]
    assert grids.target(grid, own[0]) == {"target": ["relevant"], "decision": 1}


def test_a_planted_pool_is_drawn_for_each_seed(tmp_path):
    grid = grids.load(write_grid(tmp_path))
    cell = grids.cells(grid, [7], ["picks"])[0]
    assert grids.corpus_name(grid, cell) == "pool/seed7"
    assert grids.corpus_spec(grid, "pool/seed7") == {"source": "planted", "corpus": "text", "seed": 7}
    assert grids.render(grid, cell, "r", [])["dataset_dir"] == "r/pool/seed7"
    assert grids.corpus_spec(grid, "text") == {"source": "harvest"}


def test_a_target_is_no_reason_to_train_again(tmp_path):
    grid = grids.load(write_grid(tmp_path))
    (cell,) = grids.cells(grid, [1], ["picks"])
    before = grids.recipe(grid, cell, "r")
    grid["experiments"]["picks"]["methods"]["less"]["target"] = ["learned"]
    assert grids.recipe(grid, cell, "r") == before


def test_an_included_file_that_does_not_fit(tmp_path):
    again = {"corpora": {"text": {"source": "harvest"}}}
    with pytest.raises(grids.GridError, match=r"corpora\.text is in the grid already"):
        grids.load(write_grid(tmp_path, again))
    with pytest.raises(grids.GridError, match="nothing else"):
        grids.load(write_grid(tmp_path, {"seeds": [1]}))
    with pytest.raises(grids.GridError, match=r"none\.yaml does not exist"):
        grids.load(write_grid(tmp_path, include=["none.yaml"]))
    nowhere = copy.deepcopy(PART)
    nowhere["corpora"]["pool"]["corpus"] = "txt"
    with pytest.raises(grids.GridError, match=r"corpora\.pool\.corpus: no corpus is called 'txt'"):
        grids.load(write_grid(tmp_path, nowhere))


def test_a_target_belongs_to_a_marked_selection(tmp_path):
    without = copy.deepcopy(PART)
    del without["experiments"]["picks"]["methods"]["less"]["target"]
    with pytest.raises(grids.GridError, match=r"picks\.methods\.less: a target"):
        grids.load(write_grid(tmp_path, without))
    elsewhere = copy.deepcopy(PART)
    del elsewhere["experiments"]["picks"]["evaluate"]
    with pytest.raises(grids.GridError, match=r"picks\.methods\.less: a target"):
        grids.load(write_grid(tmp_path, elsewhere))


def test_every_target_of_the_demo_is_planted_and_larger_than_the_selection():
    grid = grids.load(REPRODUCTIONS / "demo.yaml")
    sizes = Design()
    for cell in grids.cells(grid, experiments=["planted"]):
        config = grids.render(grid, cell, "r", [])
        keys = [config[name] for name in ("warmup_step", "update_step", "update_times", "max_steps")]
        phases = [phase for phase in make_schedule("select", *keys).phases() if phase.name == "update"]
        asked = grids.target(grid, cell)
        picked = phases[asked["decision"]].steps * config["per_device_train_batch_size"]
        target = asked["target"]
        assert picked == 64
        assert set(target) <= set(CLASSES)
        assert sum(getattr(sizes, name) for name in target) >= picked
        assert grids.method_spec(grid, cell)["why"]


@pytest.mark.parametrize(
    ("file", "scale", "reference"),
    [("demo", "harvest", "natural.tiny"), ("paper", "6B", "doremi_reference.Qwen2.5-0.5B")],
)
def test_doremi_is_three_cells_that_build_on_each_other(file, scale, reference):
    """Every key of theirs is one that the library knows, and nobody has to edit a file between them."""
    grid = grids.load(REPRODUCTIONS / f"{file}.yaml")
    small = reference.split(".", 1)[1]
    proxy = next(
        c for c in grids.cells(grid) if (c.method, c.model, c.scale) == ("doremi_proxy", small, scale)
    )
    main = next(c for c in grids.cells(grid) if (c.method, c.scale) == ("doremi", scale))
    assert [need.path for need in grids.needed(grid, main).values()] == [proxy.path]
    (first,) = grids.needed(grid, proxy).values()
    assert first.path == f"mixture/{reference}.{scale}.seed{proxy.seed}"
    configs = [grids.render(grid, cell, "r", ["a", "b"]) for cell in (first, proxy, main)]
    _, learner, keeper = (components_of(split(config)[0])["mix"][1] for config in configs)
    assert learner.reference().model == f"r/train/{first.path}" == configs[0]["output_dir"]
    assert keeper.proportions_from == f"r/train/{proxy.path}" == configs[1]["output_dir"]
    # The weights that a proxy has learned are in its results, and the paper gives them.
    assert [grids.reported(grid, cell) for cell in (first, proxy, main)] == [file == "demo", True, True]


def test_mixtures_by_experts_differ_from_their_baseline_in_the_mixer_alone():
    grid = grids.load(REPRODUCTIONS / "demo.yaml")
    (base, mixed) = grids.cells(grid, experiments=["mixture_moe"])
    configs = [grids.render(grid, one, "r", ["a", "b"]) for one in (base, mixed)]
    (own, host), (_, other) = (split(config) for config in configs)
    assert {key for key in host if host[key] != other[key]} == {"output_dir"}
    assert host["model_name_or_path"] == "r/models/tiny_moe"
    _, moe = (components_of(split(config)[0])["mix"][1] for config in configs)
    assert own.mixture_sample_rule == configs[1]["mixture_sample_rule"] == "stratified"
    assert [config["component_name"] for config in configs] == ["static", "dynamic_moe"]
    # Of a model that starts from scratch the routers have to learn.
    assert host["train_from_scratch"]
    assert not moe.freeze_gate
    keys = [configs[1][name] for name in ("warmup_step", "update_step", "update_times", "max_steps")]
    assert sum(phase.name == "update" for phase in make_schedule("mix", *keys).phases()) == 4
    dense, routed = (grid["models"][name]["build"]["options"] for name in ("tiny", "tiny_moe"))
    assert routed.items() > dense.items()
    assert set(routed) - set(dense) == {"experts", "experts-per-token"}


def test_the_papers_grid_is_complete():
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    reported = [cell for cell in grids.cells(grid) if grids.reported(grid, cell)]
    selection = {(c.method, c.model) for c in reported if c.experiment == "selection"}
    methods = ("full", "random", "loss", "delta_loss", "less", "nice", "near", "tsds", "reweight")
    assert selection == {(m, model) for m in methods for model in ("Mistral-7B-v0.1", "Llama-3.2-3B")}
    mixture = {(c.method, c.scale) for c in reported if c.experiment == "mixture"}
    assert mixture == {
        (m, scale) for m in ("baseline", "doremi_proxy", "doremi", "odm") for scale in ("6B", "30B")
    }
    assert {c.seed for c in reported} == {42}


@pytest.mark.parametrize("file", ["paper", "laptop"])
def test_the_plan_can_be_calibrated_by_every_run(file):
    """Of rows that are not packed nobody knows the length but the trainer, which counts them if it is asked to."""
    grid = grids.load(REPRODUCTIONS / f"{file}.yaml")
    for cell in grids.cells(grid):
        config = grids.render(grid, cell, "r", ["a", "b"])
        assert is_packed(config) or config["include_num_input_tokens_seen"] == "all", cell.path


def test_the_papers_published_settings():
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    less = grids.render(
        grid, grids.cell_from_path(grid, "selection/less.Llama-3.2-3B.openhermes_100k.seed42"), "r", []
    )
    published = {
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": 32,
        "lora_alpha": 64,
        "learning_rate": 5e-7,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "train_type": "dynamic_select",
        "component_name": "less",
        "warmup_step": 100,
        "update_step": 50,
        "update_times": 30,
    }
    assert {key: less[key] for key in published} == published
    gpus = grids.resources(grid, grids.cells(grid)[0], "train")["gpus"]
    assert gpus * less["per_device_train_batch_size"] * less["gradient_accumulation_steps"] == 8
    for scale, interval, nodes in (("6B", 100, 1), ("30B", 500, 4)):
        proxy = grids.cell_from_path(grid, f"mixture/doremi_proxy.Qwen2.5-0.5B.{scale}.seed42")
        config = grids.render(grid, proxy, "r", [])
        assert (config["update_step"], config["update_times"]) == (interval, 100)
        assert config["component_params"]["eta"] == 0.1
        assert config["component_params"]["reference_model_path"].endswith(
            f"doremi_reference.Qwen2.5-0.5B.{scale}.seed42"
        )
        assert config["model_name_or_path"] == "r/assets/models/Qwen/Qwen2.5-0.5B"
        assert config["train_from_scratch"] is True
        assert grids.resources(grid, proxy, "train")["nodes"] == nodes


def test_the_documents_examples_start_from_what_the_demo_makes():
    text = (REPRODUCTIONS.parent / "docs/training.md").read_text()
    named = set(re.findall(r"runs/demo/\S+", " ".join(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))))
    demo = grids.load(REPRODUCTIONS / "demo.yaml")
    made = {grids.run_dir("runs/demo", one) for one in grids.cells(demo)}
    made |= {grids.model_path(demo, "runs/demo", name) for name in demo["models"]}
    made |= {grids.corpus_dir(demo, "runs/demo", name) for name in demo["corpora"]}
    assert len(named) >= 3
    assert named <= made


def test_the_papers_grid_takes_everything_pinned_or_says_that_it_is_not():
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    taken = grids.assets(grid)
    assert {name for name, asset in taken.items() if not asset.pinned} == {
        "datasets/OpenDCAI/DataFlex-selector-openhermes-10w",
        "datasets/OpenDCAI/dataflex-selector-MMLUSubset-valid-cot",
    }
    assert [name for name, asset in taken.items() if asset.gated] == ["models/meta-llama/Llama-3.2-3B"]
    assert not [name for name, spec in grid["models"].items() if "name_or_path" in spec]
    # Whatever the paper's base models start from is scored, with a source; what starts from nothing is not.
    assert set(grid["preflight"]["scores"]) == set(grid["experiments"]["selection"]["models"])
    assert all(spec["assumed"] and spec["why"] for spec in grid["preflight"]["scores"].values())


def test_a_packed_mixture_and_a_named_encoder_are_rendered():
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    odm = grids.cell_from_path(grid, "mixture/odm.Qwen2.5-1.5B.6B.seed42")
    config = grids.render(grid, odm, "r", ["a", "b"])
    assert (config["packed_corpus"], config["dataset_dir"]) == ("r/slimpajama_6b/packed", "r/slimpajama_6b")
    assert (config["eval_dataset"], config["dataset"]) == ("held_out", "a,b")
    near = grids.cell_from_path(grid, "selection/near.Llama-3.2-3B.openhermes_100k.seed42")
    encoder = grids.render(grid, near, "r", [])["component_params"]["embedding_model"]
    assert (
        encoder
        == grids.model_path(grid, "r", "Qwen3-Embedding-0.6B")
        == "r/assets/models/Qwen/Qwen3-Embedding-0.6B"
    )
    assert grids.models_of(grid, near) == ["Llama-3.2-3B", "Qwen3-Embedding-0.6B"]
    # The encoder is part of what decides the cell; a cell without one has the recipe that it always had.
    assert "Qwen3-Embedding-0.6B" in grids.recipe(grid, near, "r")
    assert "others" not in json.loads(grids.recipe(grid, odm, "r"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["preflight"]["scores"]["Llama-3.2-3B"].update(band=[0.6, 0.5]), "0.6 and 0.5 are no band"),
        (lambda g: g["preflight"]["scores"]["Llama-3.2-3B"].update(corpus="no"), "corpora has no 'no'"),
        (lambda g: g["preflight"]["scores"].update(no=g["preflight"]["scores"]["Llama-3.2-3B"]), "models has no 'no'"),
        (lambda g: g["corpora"]["slimpajama_6b"].update(tokenizer="no"), "models has no 'no'"),
        (lambda g: g["corpora"]["slimpajama_6b"].pop("tokenizer"), "'tokenizer' is a required property"),
        (lambda g: g["corpora"]["slimpajama_6b"].update(text={**g["corpora"]["slimpajama_6b"]["text"], "files": ["x"]}), "taken in two ways"),
        (lambda g: g["experiments"]["selection"]["methods"]["near"]["config"].update(component_params={"embedding_model": "{model:no}"}), "models has no 'no'"),
    ],
)  # fmt: skip
def test_mistakes_in_what_a_grid_takes_are_told(change, message):
    grid = yaml.safe_load((REPRODUCTIONS / "paper.yaml").read_text())
    grids.validate(grid)
    grid = json.loads(json.dumps(grid))
    change(grid)
    with pytest.raises(grids.GridError, match=message):
        grids.validate(grid)
