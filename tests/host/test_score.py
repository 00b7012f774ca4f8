"""The command that scores rows: aligned with the rows of a run, whatever format they have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dataflex.cli import app
from dataflex.errors import UserError
from dataflex.host.prepare import check, prepare
from dataflex.host.score import score
from dataflex.signals.encoders import embed_texts
from dataflex.signals.scores import row_keys
from dataflex.signals.texts import row_texts

Config = dict[str, Any]


@pytest.fixture
def scored(config: Config, tiny: Path, tmp_path: Path) -> Callable[..., Any]:
    def go(method: str, changes: Config | None = None, **params: Any) -> Any:
        whole = config | {
            "eval_dataset": "docs",
            "dataset": "code,more_code",
            "component_params": {"embedding_model": str(tiny / "model"), **params},
        }
        score(method, whole | (changes or {}), tmp_path / f"{method}.parquet")
        return pq.read_table(tmp_path / f"{method}.parquet")

    return go


def test_near_scores_are_of_the_runs_own_rows(scored: Callable[..., Any], config: Config, tiny: Path) -> None:
    table = scored("near")
    run = config | {"dataset": "code,more_code", "eval_dataset": "docs", "train_type": "dynamic_select"}
    prepared = prepare(check(run | {"component_name": "random", "update_step": 1, "train_step": 1}))
    rows = prepared.domains.rows
    assert table["sample"].to_pylist() == row_keys(rows)
    assert table["dataset"].to_pylist() == np.repeat(["code", "more_code"], prepared.facts.rows).tolist()
    assert table["row"].to_pylist() == list(range(len(rows)))
    tokenizer = prepared.tokenizer_module["tokenizer"]
    vectors = embed_texts(str(tiny / "model"), row_texts(rows, tokenizer, "all"), 512)
    wanted = prepare(
        check(run | {"dataset": "docs", "component_name": "random", "update_step": 1, "train_step": 1})
    )
    targets = embed_texts(str(tiny / "model"), row_texts(wanted.domains.rows, tokenizer, "all"), 512)
    best = int(np.argmax(table["score"].to_numpy()))
    assert best == int(np.argmax(vectors @ targets[0]))
    about = json.loads(table.schema.metadata[b"dataflex"])
    assert about["method"] == "near"
    assert about["params"]["embedding_model"] == str(tiny / "model")


def test_tsds_scores_are_probabilities_and_repeat(scored: Callable[..., Any]) -> None:
    first, again = scored("tsds", alpha=0.3), scored("tsds", alpha=0.3)
    assert first.equals(again)
    assert first["score"].to_numpy().sum() == pytest.approx(1)


def test_instructions_of_several_formats_are_scored(
    scored: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    alpaca = json.loads((tiny / "data" / "sft.json").read_text())[:20]
    turns = [
        {
            "conversations": [
                {"from": "human", "value": r["instruction"]},
                {"from": "gpt", "value": r["output"]},
            ]
        }
        for r in alpaca
    ]
    (data / "alpaca.json").write_text(json.dumps(alpaca))
    (data / "sharegpt.json").write_text(json.dumps(turns))
    info = {"alpaca": {"file_name": "alpaca.json"}}
    info["sharegpt"] = {"file_name": "sharegpt.json", "formatting": "sharegpt"}  # type: ignore[dict-item]
    (data / "dataset_info.json").write_text(json.dumps(info))
    host = {"stage": "sft", "dataset_dir": str(data), "dataset": "alpaca,sharegpt", "eval_dataset": "alpaca"}
    table = scored("near", host, text="response")
    samples, half = table["sample"].to_pylist(), len(table) // 2
    assert samples[:half] == samples[half:]
    assert table["score"].to_numpy()[:half].max() == 0


def test_a_run_selects_by_the_file_alone(scored: Callable[..., Any], config: Config, tmp_path: Path) -> None:
    scored("tsds")
    run = config | {
        "dataset": "code,more_code",
        "train_type": "dynamic_select",
        "component_name": "tsds",
        "component_params": {"scores": str(tmp_path / "tsds.parquet")},
        "update_step": 1,
        "train_step": 1,
    }
    prepare(check(run))
    for changes in ({"dataset": "more_code,code"}, {"cutoff_len": 16}):
        with pytest.raises(UserError, match=r"score it again"):
            prepare(check(run | changes))


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("random", {}, "random has no scores of rows: near, tsds have"),
        ("near", {"eval_dataset": None}, "name one in eval_dataset"),
        ("near", {"component_params": {}}, "embedding_model is missing"),
        ("tsds", {"component_params": {"alpha": 0}}, "alpha"),
    ],
)
def test_mistakes_are_told(
    method: str, changes: Config, message: str, scored: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        scored(method, changes)
    assert not list(tmp_path.glob("*.parquet"))


LESS = {
    "train_type": "dynamic_select",
    "component_name": "less",
    "component_params": {"validation_subtask": "dataset"},
    "update_step": 5,
}


@pytest.mark.parametrize(
    ("selects", "unused"),
    [
        (LESS, "component_params of the configuration (validation_subtask) are for less and not used"),
        (
            {
                "decisions": [
                    {"kind": "select", "component_name": "loss", "component_params": {"focus": "low"}},
                    {"kind": "weight", "component_name": "loss", "component_params": {"r": 0.5}},
                ]
            },
            "component_params of the configuration (focus) are for loss and not used",
        ),
        ({"train_type": "dynamic_select", "component_name": "tsds", "update_step": 5}, None),
    ],
    ids=["short", "decisions", "no parameters"],
)
def test_parameters_of_the_command_line_are_for_the_method_that_scores(
    config: Config, tiny: Path, tmp_path: Path, selects: Config, unused: str | None
) -> None:
    """Whatever the file selects by; what it gives to another method is not used, and that is told."""
    from typer.testing import CliRunner

    file, output = tmp_path / "run.yaml", tmp_path / "near.parquet"
    file.write_text(yaml.safe_dump(config | {"dataset": "code", "eval_dataset": "docs"} | selects))
    override = f"component_params={{embedding_model: {tiny / 'model'}, max_tokens: 7}}"
    done = CliRunner().invoke(app, ["score", "near", str(file), "--output", str(output), override])
    assert done.exit_code == 0, done.output
    about = json.loads(pq.read_table(output).schema.metadata[b"dataflex"])
    assert about["params"]["max_tokens"] == 7
    assert about["params"]["embedding_model"] == str(tiny / "model")
    if unused is None:
        assert "not used" not in done.stderr
    else:
        assert unused in done.stderr
        assert "give those for near on the command line: component_params='{...}'" in done.stderr


@pytest.mark.parametrize("several", [False, True], ids=["short", "decisions"])
def test_the_files_parameters_of_the_method_itself_are_used(
    config: Config, tiny: Path, tmp_path: Path, several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = {
        "component_name": "near",
        "component_params": {"embedding_model": str(tiny / "model"), "max_tokens": 7},
        "update_step": 5,
    }
    selects = (
        {"decisions": [decision | {"kind": "select"}]}
        if several
        else decision | {"train_type": "dynamic_select"}
    )
    whole = config | {"dataset": "code", "eval_dataset": "docs"} | selects
    about = score("near", whole, tmp_path / "near.parquet")
    assert about["params"]["max_tokens"] == 7
    if several:
        given = {"max_tokens": 9}
        about = score("near", whole | {"component_params": given}, tmp_path / "near.parquet", given)
        assert about["params"]["max_tokens"] == 9
        assert about["params"]["embedding_model"] == str(tiny / "model")
    assert "not used" not in capsys.readouterr().err


def test_the_command(config: Config, tiny: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    file, output = tmp_path / "run.yaml", tmp_path / "near.parquet"
    file.write_text(yaml.safe_dump(config | {"dataset": "code", "eval_dataset": "docs"}))
    override = f"component_params={{embedding_model: {tiny / 'model'}}}"
    done = CliRunner().invoke(app, ["score", "near", str(file), "--output", str(output), "--json", override])
    assert done.exit_code == 0, done.output
    assert output.is_file()
    assert '"method": "near"' in done.output
