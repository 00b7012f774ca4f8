"""Evaluation during training: real checkpoints against a forward pass of their own weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.corpus.questions import heading, read_questions
from dataflex.errors import UserError
from dataflex.evaluation.evaluate import evaluate
from dataflex.evaluation.target import Target, resolve_checkpoint
from dataflex.evidence import by_step
from dataflex.host.prepare import check
from dataflex.host.train import train

from .test_evaluate import letter_logliks, metrics, rows

RUNS: dict[str, dict[str, Any]] = {
    "lora": {
        "finetuning_type": "lora",
        "lora_rank": 2,
        "train_type": "dynamic_weight",
        "component_name": "loss",
        "warmup_step": 1,
    },
    "full": {"finetuning_type": "full", "train_type": "static"},
}


def weights_after(run: Path, step: int, base: Path) -> Any:
    folder = run / f"checkpoint-{step}"
    if (folder / "adapter_config.json").is_file():
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_scored_after_some_of_its_steps(kind, config, model, corpus, tmp_path):
    run = tmp_path / "run"
    train(
        check(
            config
            | {
                "model_name_or_path": str(model),
                "stage": "sft",
                "dataset": "sft",
                "template": "alpaca",
                "learning_rate": 2e-2,
                "max_steps": 4,
                "save_strategy": "steps",
                "save_steps": 2,
                "output_dir": str(run),
            }
            | RUNS[kind]
        )
    )
    base = ["--base-model", str(model)] if kind == "lora" else []
    step, end = tmp_path / "2", tmp_path / "end"
    words = ["evaluate", str(run), "--corpus", str(corpus), *base, "--output"]
    said = CliRunner().invoke(app, [*words, str(step), "--step", "2"], catch_exceptions=False)
    assert said.exit_code == 0
    assert "perplexity" not in said.output
    evaluate(run, corpus, end, base_model=str(model) if base else None, documents_per_domain=1, quiet=True)

    # The questions alone, by the same protocol as at the end of the run.
    assert sorted(file.name for file in step.iterdir()) == ["metrics.json", "questions.jsonl"]
    assert by_step.differences(metrics(step)["protocol"], metrics(end)["protocol"]) == []
    assert "perplexity" not in metrics(step)

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = weights_after(run, 2, model)
    asked = read_questions(corpus / "questions" / "test.jsonl")
    for row, question in zip(rows(step / "questions.jsonl"), asked, strict=True):
        prompt = heading(question.subject) + question.prompt()
        assert row["logliks"] == pytest.approx(letter_logliks(network, tokenizer, prompt), abs=1e-3)
    assert rows(step / "questions.jsonl") != rows(end / "questions.jsonl")

    # Step 0 is the model that the run began with.
    start = tmp_path / "0"
    CliRunner().invoke(app, [*words, str(start), "--step", "0"], catch_exceptions=False)
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    for row, question in zip(rows(start / "questions.jsonl"), asked, strict=True):
        prompt = heading(question.subject) + question.prompt()
        assert row["logliks"] == pytest.approx(letter_logliks(network, tokenizer, prompt), abs=1e-3)
    assert rows(start / "questions.jsonl") != rows(step / "questions.jsonl")

    by_step.gather({0: start, 2: step, 4: end}, end)
    for point, place in zip(by_step.read(end / "by_step.csv"), (start, step, end), strict=True):
        score = metrics(place)["mmlu"]
        assert (point.acc, point.answer_nll, point.n) == (score["acc"], score["answer_nll"], len(asked))


def test_documents_are_scored_where_they_are_asked_for(model, corpus, result, tmp_path):
    """A checkpoint with the weights of the model itself says what the model says."""
    shutil.copytree(model, tmp_path / "run/checkpoint-7")
    output = tmp_path / "7"
    words = [
        "evaluate",
        str(tmp_path / "run"),
        "--step",
        "7",
        "--corpus",
        str(corpus),
        "--output",
        str(output),
    ]
    CliRunner().invoke(app, [*words, "--documents"], catch_exceptions=False)
    assert metrics(output) == metrics(result)
    assert rows(output / "documents.jsonl") == rows(result / "documents.jsonl")
    # Without them none of an earlier evaluation is left.
    evaluate(tmp_path / "run", corpus, output, step=7, documents=False, quiet=True)
    assert metrics(output)["mmlu"] == metrics(result)["mmlu"]
    assert not (output / "documents.jsonl").exists()


def checkpoint(run: Path, step: int, *files: str) -> Path:
    folder = run / f"checkpoint-{step}"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["config.json", "global_step2/zero_pp_rank_0_mp_rank_00_model_states.pt", "zero_to_fp32.py"],
            "stage3_gather_16bit_weights_on_model_save.*zero_to_fp32.py.*as model.safetensors",
        ),
        (
            ["adapter_config.json", "global_step2/zero_pp_rank_0_mp_rank_00_model_states.pt"],
            "DeepSpeed.*as adapter_model.safetensors",
        ),
        (["config.json", "pytorch_model_fsdp_0/__0_0.distcp"], "FSDP.*merge-weights"),
        (["config.json", "pytorch_model_fsdp.bin"], "FSDP"),
        (["config.json", "trainer_state.json"], "model.safetensors is missing or empty"),
        # An adapter's weights are no model's and the other way round.
        (["adapter_config.json", "model.safetensors"], "adapter_model.safetensors is missing"),
        (["config.json", "adapter_model.safetensors"], "model.safetensors is missing"),
    ],
)
def test_a_checkpoint_without_weights_says_what_to_do(tmp_path, files, message):
    checkpoint(tmp_path, 2, *files)
    with pytest.raises(UserError, match=rf"checkpoint-2 holds no weights that can be loaded: .*{message}"):
        resolve_checkpoint(tmp_path, 2, None)


def test_a_run_began_with_what_its_config_says(tmp_path):
    run, adapter = tmp_path / "run", tmp_path / "adapter"
    for folder in (run, adapter):
        folder.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))

    def start(base=None, **config):
        (run / "config.yaml").write_text(yaml.safe_dump({"model_name_or_path": "hub/m"} | config))
        return resolve_checkpoint(run, 0, base)

    assert start() == Target("hub/m", "hub/m", None)
    assert start("other/m") == Target("other/m", "other/m", None)
    assert start(adapter_name_or_path=str(adapter)) == Target(str(tmp_path), str(tmp_path), str(adapter))
    (run / "tokenizer_config.json").touch()
    assert start() == Target("hub/m", str(run), None)
    with pytest.raises(UserError, match="drawn at random"):
        start(train_from_scratch=True)
    with pytest.raises(UserError, match=r"config\.yaml is missing"):
        resolve_checkpoint(adapter, 0, None)


def test_empty_weights_are_none(tmp_path):
    (checkpoint(tmp_path, 2, "config.json") / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"model\.safetensors is missing or empty"):
        resolve_checkpoint(tmp_path, 2)


def test_a_step_without_a_checkpoint_names_those_that_are_there(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint of step 3 \(there is none\)"):
        resolve_checkpoint(tmp_path, 3)
    for step in (20, 4, 100):
        checkpoint(tmp_path, step, "config.json")
    (tmp_path / "checkpoint-old").mkdir()
    with pytest.raises(UserError, match=r"\(there are those of 4, 20, 100\); save_steps"):
        resolve_checkpoint(tmp_path, 3)


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors"])
def test_a_tokenizer_that_the_checkpoint_lacks_is_the_runs(tmp_path, weights):
    folder = checkpoint(tmp_path, 2, "config.json", weights)
    assert resolve_checkpoint(tmp_path, 2) == Target(str(folder), str(folder), None)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert resolve_checkpoint(tmp_path, 2) == Target(str(folder), str(tmp_path), None)
    (folder / "tokenizer_config.json").write_text("{}")
    assert resolve_checkpoint(tmp_path, 2) == Target(str(folder), str(folder), None)


def test_documents_of_a_domain_belong_to_documents(model, corpus, tmp_path):
    with pytest.raises(UserError, match="--documents-per-domain is given, but no documents are scored"):
        evaluate(model, corpus, tmp_path / "out", documents=False, documents_per_domain=3, quiet=True)
