"""A user's mistake: one line on stderr, exit 2, no model loaded, nothing written."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataflex.cli import main
from dataflex.errors import UserError

MIX = {"train_type": "dynamic_mix", "component_name": "random", "warmup_step": 1, "update_step": 1}
SELECT = {"train_type": "dynamic_select", "component_name": "loss", "warmup_step": 1, "update_step": 1}
WEIGHT = {"train_type": "dynamic_weight", "train_step": 4}

LESS = SELECT | {"component_name": "less", "eval_dataset": "docs"}

MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"learning_rte": 1e-3},
        "unknown key 'learning_rte' in the configuration, did you mean 'learning_rate'?",
    ),
    (SELECT | {"warmup_steps_": 3}, "did you mean 'warmup_steps'?"),
    ({"train_type": "dynamic_selekt"}, "train_type: input should be 'static', 'dynamic_select'"),
    (SELECT | {"component_name": "los"}, "no selector is called 'los': did you mean 'loss'?"),
    (MIX | {"component_name": "doremy"}, "no mixer is called 'doremy'"),
    (SELECT | {"component_params": {"focuss": "low"}}, "unknown key 'focuss', did you mean 'focus'?"),
    (SELECT | {"component_params": {"focus": 3}}, "focus: input should be 'low', 'medium' or 'high', not 3"),
    (SELECT | {"update_step": "ten"}, "update_step: input should be a valid integer, not 'ten'"),
    (SELECT | {"warmup_step": -1}, "warmup_step: input should be greater than or equal to 0, not -1"),
    (SELECT | {"update_step": 0}, "update_step is 0: a select decision needs the number of steps"),
    (SELECT | {"warmup_step": 5, "train_step": 5}, "warmup_step is 5 but the run has only 5 steps"),
    (SELECT | {"update_step": 10_000}, "out of 1649: use at most update_step: 412"),
    (WEIGHT | {"update_step": 2}, "update_step has no meaning for weights"),
    (WEIGHT | {"max_steps": 5}, "train_step is 4 and max_steps is 5: keep one of the two"),
    (MIX | {"init_mixture_proportions": [0.5, 0.5]}, "2 numbers for 3 datasets (code, more_code, docs)"),
    (MIX | {"init_mixture_proportions": [1.5, -0.5, 0.1]}, "holds a negative number"),
    (MIX | {"init_mixture_proportions": [0, 0, 0]}, "zero for every dataset"),
    (MIX | {"init_mixture_proportions": [float("nan"), 1, 1]}, "not finite"),
    (
        MIX | {"init_mixture_proportions": {"code": 1, "docs": 1}},
        "init_mixture_proportions has no proportion for more_code: write one for every dataset, `more_code: 0`",
    ),
    (
        MIX | {"init_mixture_proportions": {"code": 1, "docs": 1, "more_code": 1, "dox": 1}},
        "init_mixture_proportions names 'dox', which dataset lacks (code, more_code, docs): remove it",
    ),
    (
        MIX | {"component_name": "static", "component_params": {"proportions": [1]}},
        "1 numbers for 3 datasets",
    ),
    (
        SELECT | {"init_mixture_proportions": [1, 1, 1]},
        "init_mixture_proportions needs train_type: dynamic_mix",
    ),
    (MIX | {"mixture_sample_rule": "mixture"}, "mixture_sample_rule: mixture needs init_mixture_proportions"),
    (MIX | {"mixture_sample_rule": "natural"}, "'mixture', 'stratified' or 'uniform', not 'natural'"),
    (MIX | {"static_mix": True}, "static_mix keeps one mixture, which contradicts component_name: random"),
    (MIX | {"dataset": "code,code"}, "dataset names 'code' twice"),
    (MIX | {"dataset": "code,docz"}, "dataset 'docz' is not in"),
    (MIX | {"dataset": "code,gone"}, "dataset 'gone': no file"),
    (MIX | {"dataset": "code,empty"}, "dataset 'empty' is empty"),
    (MIX | {"dataset": "code,nearly_empty"}, "dataset 'nearly_empty'"),
    (MIX | {"dataset_dir": "nowhere"}, "no file nowhere/dataset_info.json"),
    (MIX | {"model_name_or_path": "nowhere/model"}, "no tokenizer at model_name_or_path nowhere/model"),
    (MIX | {"components_cfg_file": "nowhere.yaml"}, "components_cfg_file: no file nowhere.yaml"),
    (MIX | {"max_steps": "many"}, "max_steps must be of type int, not 'many'"),
    (MIX | {"stage": "dpo"}, "stage: dpo does not work in a dynamic run"),
    (MIX | {"streaming": True, "max_steps": 9}, "streaming: true does not work in a dynamic run"),
    (WEIGHT | {"label_smoothing_factor": 0.1}, "label_smoothing_factor: 0.1 does not work in a dynamic run"),
    ({"component_name": "loss", "update_step": 5}, "component_name needs train_type: dynamic_select"),
    ({"train_type": "static", "train_step": 7}, "with train_type: static say max_steps"),
    (
        {"decisions": [{"kind": "weight", "component_name": "loss"}], "warmup_step": 3},
        "stands beside decisions",
    ),
    (SELECT | {"component_params": {"seed": -1}}, "seed: input should be greater than or equal to 0"),
    (WEIGHT | {"component_params": {"r": float("inf")}}, "r: input should be a finite number"),
    (WEIGHT | {"components_cfg_file": "COMPONENTS"}, "weighters.loss.params: unknown key 'reg', there are"),
    (SELECT | {"components_cfg_file": "COMPONENTS"}, "selectors must hold keys and values, not ['loss']"),
    (MIX | {"template": "qwenn"}, "template"),
    (MIX | {"dataset": "code,damaged"}, "dataset 'damaged' can't be loaded"),
    (MIX | {"dataset": "code,listed"}, "listed must hold keys and values"),
    (WEIGHT | {"ignore_pad_token_for_loss": False}, "ignore_pad_token_for_loss: false does not work"),
    (MIX | {"decisions": [{"kind": "mix", "component_name": "random"}]}, "either train_type or decisions"),
    (LESS | {"eval_dataset": None}, "component 'less' needs a validation set: name one in eval_dataset"),
    (LESS | {"eval_dataset": "empty"}, "dataset 'empty' is empty"),
    (LESS | {"eval_dataset": "damaged"}, "dataset 'damaged' can't be loaded"),
    (LESS | {"eval_dataset": "docz"}, "dataset 'docz' is not in"),
    (
        LESS | {"eval_dataset": "nearly_empty"},
        "dataset 'nearly_empty' can't be loaded: Cannot find sufficient samples",
    ),
    (LESS | {"component_params": {"validation_subtask": "topic"}}, "has no column 'topic', only dataset"),
    (LESS | {"optim": "adafactor"}, "needs Adam's moments, which optim: adafactor"),
    (LESS | {"component_name": "nice"}, "generates answers to prompts, which stage: pt does not have"),
    (
        LESS | {"component_name": "nice", "stage": "sft", "dataset": "sft", "eval_dataset": "target"},
        "right answers in eval_dataset name no option A to J: row 0 ('",
    ),
    (LESS | {"component_params": {"checkpoints": ["nowhere"]}}, "checkpoints: no folder nowhere"),
    (LESS | {"component_name": "custom"}, "path is missing"),
    (SELECT | {"component_name": "delta_loss"}, "needs 2 updates between warm-ups, the schedule has 1"),
    (LESS | {"component_params": {"keep_gradients": True}}, "keep_gradients needs backend: projected"),
    (LESS | {"component_params": {"proj_dim": 64}}, "proj_dim needs backend: projected"),
    (
        LESS
        | {"component_name": "cluster_less"}
        | {"component_params": {"backend": "projected", "keep_gradients": True}},
        "keeps no gradients",
    ),
    (
        WEIGHT | {"component_name": "adapt"},
        "component 'adapt' needs a validation set: name one in eval_dataset",
    ),
    (
        WEIGHT | {"component_name": "adapt", "eval_dataset": "docs", "component_params": {"anchors": 10_000}},
        "anchors: 10000 are more than the",
    ),
    (MIX | {"component_name": "dynamic_moe"}, "is a Qwen2ForCausalLM, which has no router"),
    (WEIGHT | {"component_name": "custom"}, "path is missing: name a function or a Weighter class"),
    (
        {"decisions": [{"kind": "mix", "component_name": "static"}] * 2},
        "decisions holds two of one kind",
    ),
]


@pytest.fixture
def broken_data(tiny: Path) -> None:
    """Add datasets that can't be used to the tiny folder's index."""
    data = tiny / "data"
    info = json.loads((data / "dataset_info.json").read_text())
    (data / "empty.jsonl").write_text("")
    (data / "nearly_empty.jsonl").write_text('{"text": "x"}\n')
    (data / "damaged.jsonl").write_text('{"text": "x"}\n{"text": \n')
    info["listed"] = ["listed.jsonl"]
    for name in ("gone", "empty", "nearly_empty", "damaged"):
        info[name] = {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}}
    (data / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.usefixtures("broken_data")
@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistakes(
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    import llamafactory.model

    def load_model(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(llamafactory.model, "load_model", load_model)
    monkeypatch.setenv("LLAMAFACTORY_VERBOSITY", "ERROR")
    components = tmp_path / "components.yaml"
    components.write_text("selectors: [loss]\nweighters:\n  loss:\n    params: {reg: 0.4}\n")
    if changes.get("components_cfg_file") == "COMPONENTS":
        changes = changes | {"components_cfg_file": str(components)}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config | changes))
    monkeypatch.setattr(sys, "argv", ["dataflex-cli", "train", str(file)])
    with pytest.raises(SystemExit) as exit_:
        main()
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dataflex-cli: ")]
    assert exit_.value.code == 2
    assert len(told) == 1
    assert message in told[0]
    assert not Path(config["output_dir"]).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"component_params": {"validation_subtask": "topic"}},
            "has no column 'topic', only dataset, input,",
        ),
        ({"component_params": {"validation_subtask": "subject"}, "eval_dataset": "target,sft"}, "'subject'"),
        ({"component_params": {"validation_subtask": "topic"}, "stage": "pt", "packing": False}, "'topic'"),
        ({"eval_dataset": "damaged"}, "dataset 'damaged' can't be loaded"),
    ],
)
@pytest.mark.usefixtures("broken_data")
def test_a_column_that_is_not_there_is_told_before_anything_is_tokenised(
    config: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    from dataflex.host.prepare import check

    sft = config | {"stage": "sft", "dataset": "sft", "eval_dataset": "target"}
    less = sft | LESS | {"eval_dataset": "target"}
    check(less | {"component_params": {"validation_subtask": "subject"}})
    check(less | {"component_params": {"validation_subtask": "dataset"}, "eval_dataset": "target,sft"})
    with pytest.raises(UserError, match=message):
        check(less | changes)


def test_packed_texts_may_be_more_rows_than_the_file_has(config: dict[str, Any]) -> None:
    """So that anchors are not counted before they are packed."""
    from dataflex.host.prepare import check

    weight = WEIGHT | {"component_name": "adapt", "eval_dataset": "docs"}
    check(config | weight | {"component_params": {"anchors": 10_000}})
    with pytest.raises(UserError, match="anchors: 10000 are more than the"):
        check(config | weight | {"packing": False, "component_params": {"anchors": 10_000}})


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no configuration file"), ("a: [1", "can't be read"), ("- 1\n", "keys and values")],
)
def test_unreadable_configurations(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    message: str,
) -> None:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(sys, "argv", ["dataflex-cli", "train", str(file)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_a_component_whose_needs_the_run_cannot_meet() -> None:
    from dataflex.engine.selector import Selector
    from dataflex.host.capabilities import check_needs

    class Greedy(Selector):
        needs = frozenset({"per_sample_loss", "reference_model"})

        def select(self, context: Any, n: int) -> Any: ...

    with pytest.raises(UserError, match="component 'greedy' needs a reference model, but names none"):
        check_needs("greedy", Greedy(), None)  # type: ignore[arg-type]
