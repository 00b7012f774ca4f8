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

# Tests run beside each other, and models this small are no faster on several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    DISABLE_VERSION_CHECK="1",
    LLAMAFACTORY_VERBOSITY="WARN",
)

import pytest

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
"""Of the tiny model and its siblings with experts."""


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
    from transformers import PreTrainedTokenizerFast

    from .models import dense

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
    model = dense(
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        **SIZES,
    )
    tokenizer.save_pretrained(folder / "model")
    model.save_pretrained(folder / "model")
    return folder


EXPERTS: dict[str, Any] = {
    "head_dim": 16,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
}
"""Of the siblings with experts alone."""


@pytest.fixture(scope="session")
def experts(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of untrained mixture-of-experts models, by architecture, with the tiny model's tokenizer."""
    from transformers import AutoConfig

    from .models import KINDS_OF_EXPERTS, with_experts

    like = AutoConfig.from_pretrained(tiny / "model")
    tokens = {key: getattr(like, key) for key in ("vocab_size", "eos_token_id", "pad_token_id")}
    folders = {}
    for kind in KINDS_OF_EXPERTS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        with_experts(kind, **tokens, **SIZES, **EXPERTS).save_pretrained(folders[kind])
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
