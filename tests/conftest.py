"""A tiny model and small real texts that most tests share; made once a session, without a network."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import statistics
import textwrap
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    DISABLE_VERSION_CHECK="1",
    LLAMAFACTORY_VERBOSITY="WARN",
)

import pytest


def paragraphs(module: Any) -> list[str]:
    """Split a module's source into pieces of a few lines."""
    return [part for part in inspect.getsource(module).split("\n\n") if len(part) > 40]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model`` (77k parameters) and ``data`` (three text domains, one of instructions)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("tiny")
    data = folder / "data"
    data.mkdir()
    texts = {"code": paragraphs(statistics), "more_code": paragraphs(textwrap), "docs": []}
    for thing in vars(statistics).values():
        texts["docs"] += (inspect.getdoc(thing) or "").split("\n\n")
    texts["docs"] = [text for text in texts["docs"] if len(text) > 30]
    info: dict[str, Any] = {}
    for name, rows in texts.items():
        (data / f"{name}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        info[name] = {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}}
    pairs = list(zip(texts["docs"], texts["code"] * 2, strict=False))
    sft = [
        {"instruction": a[:60], "input": "", "output": b[: 20 + 7 * (i % 13)]}
        for i, (a, b) in enumerate(pairs)
    ]
    long = [row | {"output": row["output"] * 4} for row in sft[::-1][:40]]
    # Held out from the pool by no means: the fit of rows to themselves is an oracle.
    target = [row | {"subject": ("even", "odd")[number % 2]} for number, row in enumerate(sft[:10])]
    for name, part in (("sft", sft), ("sft_long", long), ("target", target)):
        (data / f"{name}.json").write_text(json.dumps(part))
        info[name] = {"file_name": f"{name}.json"}
    (data / "dataset_info.json").write_text(json.dumps(info))

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(
        (row for rows in texts.values() for row in rows),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=special[2], pad_token=special[0])
    set_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
    tokenizer.save_pretrained(folder / "model")
    model.save_pretrained(folder / "model")
    return folder


SHAPE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "tie_word_embeddings",
    "eos_token_id",
    "pad_token_id",
)
EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "head_dim": 16,
}
"""Keys of a tiny mixture-of-experts model; every architecture reads its own."""


@pytest.fixture(scope="session")
def experts(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of untrained mixture-of-experts models, by architecture, with the tiny model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    dense = AutoConfig.from_pretrained(tiny / "model")
    shape = {key: getattr(dense, key) for key in SHAPE} | EXPERTS
    folders = {}
    for kind in ("mixtral", "qwen2_moe", "qwen3_moe"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        set_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape))
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                # Far enough apart that domains differ in their experts.
                torch.nn.init.normal_(parameter)
        model.save_pretrained(folders[kind])
        for file in (tiny / "model").glob("*token*"):
            shutil.copy(file, folders[kind])
    return folders


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration of LLaMA-Factory for a few steps on the tiny model; tests add to it."""
    return {
        "model_name_or_path": str(tiny / "model"),
        "stage": "pt",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": str(tiny / "data"),
        "dataset": "code,more_code,docs",
        "template": "qwen",
        "cutoff_len": 32,
        "output_dir": str(tmp_path / "run"),
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
