"""Text and models that every training run of the benchmark of steps reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dataflex.corpus.model import ModelShape, train_tokenizer
from efficiency.workload import TINY, TINY_CONFIG

MOE = "moe"
MOE_CONFIG: dict[str, Any] = {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 344}
"""A small Mixtral: what differs from the tiny Qwen2."""
ANCHORS = "anchors"
"""Name of the held-out rows."""


@dataclass(frozen=True)
class Needs:
    """Rows of one length that a run is to find."""

    rows: int
    """To train on, over all domains."""
    anchors: int
    """Held out."""
    cutoff: int
    """Tokens of a row."""


@dataclass(frozen=True)
class StepWorkload:
    """What was made."""

    corpus: Path
    """Folder with ``dataset_info.json``."""
    domains: list[str]
    model: Path


def make(folder: Path, corpus: Path, model: str, needs: Needs) -> StepWorkload:
    """Write as much of a corpus as runs need, so that none begins a second epoch, and a model.

    Args:
        folder: where they go.
        corpus: a folder of plain text as the demo harvests it, with ``dataset_info.json``.
        model: ``tiny``, ``moe`` or the folder of a model.
        needs: what runs read.
    """
    texts = read(corpus)
    where = Path(model).resolve()
    if model in (TINY, MOE):
        where = folder / "model"
        _make_model(where, model, (text for of_domain in texts.values() for text in of_domain))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(where)
    target = folder / "corpus"
    target.mkdir()
    # A row more a domain, because the tokens behind its last whole row are dropped.
    share = -(-needs.rows // len(texts)) + 1
    held_out: list[str] = []
    rows = 0
    for name, of_domain in texts.items():
        kept, tokens = _first(tokenizer, of_domain, share * needs.cutoff)
        rows += tokens // needs.cutoff
        held_out += of_domain[len(kept) :]
        _write(target / f"{name}.jsonl", kept)
    kept, tokens = _first(tokenizer, held_out, (needs.anchors + 1) * needs.cutoff)
    if rows < needs.rows or tokens < needs.anchors * needs.cutoff:
        raise SystemExit(
            f"{corpus} gives {rows} rows of {needs.cutoff} tokens, {needs.rows} are needed: lower --steps or "
            "--batch"
        )
    _write(target / f"{ANCHORS}.jsonl", kept)
    info = {name: {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}} for name in (*texts, ANCHORS)}
    (target / "dataset_info.json").write_text(json.dumps(info))
    return StepWorkload(target, list(texts), where)


def read(corpus: Path) -> dict[str, list[str]]:
    """Return the texts of each domain of plain text."""
    index = corpus / "dataset_info.json"
    if not index.is_file():
        raise SystemExit(
            f"no file {index}: harvest a corpus first (make demo, or dataflex-cli corpus harvest)"
        )
    found = {}
    for name, about in json.loads(index.read_text()).items():
        if about.get("columns") == {"prompt": "text"}:
            lines = (corpus / about["file_name"]).read_text().splitlines()
            found[name] = [json.loads(line)["text"] for line in lines]
    if len(found) < 2:
        raise SystemExit(f"{corpus} holds {len(found)} domains of plain text, two or more are needed")
    return found


def _first(tokenizer: Any, texts: list[str], tokens: int) -> tuple[list[str], int]:
    """Return the first texts that together hold a number of tokens, or all, and their tokens."""
    counted = 0
    for number, text in enumerate(texts):
        if counted >= tokens:
            return texts[:number], counted
        counted += len(tokenizer(text, add_special_tokens=False)["input_ids"])
    return texts, counted


def _write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def _make_model(folder: Path, kind: str, texts: Iterator[str]) -> None:
    """Write a tokenizer that is trained on the texts, and a model with random weights."""
    from transformers import MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM

    tokenizer = train_tokenizer(texts, ModelShape(vocab_size=TINY_CONFIG["vocab_size"]))
    sizes = TINY_CONFIG | {"vocab_size": len(tokenizer)}
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    model: Any
    if kind == MOE:
        model = MixtralForCausalLM(MixtralConfig(**sizes | MOE_CONFIG, bos_token_id=None, **special))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, bos_token_id=None, **special))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
