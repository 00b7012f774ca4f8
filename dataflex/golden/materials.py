"""Text, tokenizer and models of the golden runs: made by integer arithmetic, the same bits on every machine.

Nothing is downloaded, nothing depends on what is installed, and no number comes from a library's stream of
normal deviates, whose last bits depend on the processor.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

PAD, END, UNKNOWN = "<pad>", "<end>", "<unknown>"
WORDS = [consonant + vowel for consonant in "bdfghklmnprst" for vowel in "aeiou"][:61]
DOMAINS = {"ring": (1, 7, 0.9), "twice": (2, 3, 0.7), "noise": (1, 1, 0.0)}
"""Of each domain, the next word is ``a * word + b`` modulo the words, or with what is left any word."""
TEXTS = 30
PAIRS = 48
VALIDATION = 8
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
EXPERTS: dict[str, Any] = {
    "head_dim": 8,
    "moe_intermediate_size": 12,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
}
SPREAD = 0.35
"""Weights lie evenly between minus and plus this: far enough for losses and gradients to differ by row."""
_STEPS = 2**15


def make_materials(folder: Path) -> None:
    """Write ``data`` (three domains of text, instructions, a target), ``model`` and ``experts``.

    Args:
        folder: exists; holds none of these yet.
    """
    data = folder / "data"
    data.mkdir()
    rng = random.Random(20260)
    info: dict[str, Any] = {}
    for name in DOMAINS:
        rows = [{"text": " ".join(_walk(rng, name, 9 + _below(rng, 8)))} for _ in range(TEXTS)]
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        info[name] = {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}}
    pairs = [_pair(rng, list(DOMAINS)[number % len(DOMAINS)]) for number in range(PAIRS)]
    target = [_pair(rng, list(DOMAINS)[number % 2]) for number in range(VALIDATION)]
    for name, part in (("pairs", pairs), ("target", target)):
        (data / f"{name}.json").write_text(json.dumps(part, indent=1))
        info[name] = {"file_name": f"{name}.json"}
    (data / "dataset_info.json").write_text(json.dumps(info, indent=1))
    _save_models(folder)


def _below(rng: random.Random, n: int) -> int:
    # Python promises the stream of ``random`` alone across its versions.
    return int(rng.random() * n)


def _walk(rng: random.Random, domain: str, length: int) -> list[str]:
    a, b, fidelity = DOMAINS[domain]
    word = _below(rng, len(WORDS))
    words = [word]
    while len(words) < length:
        word = (a * word + b) % len(WORDS) if rng.random() < fidelity else _below(rng, len(WORDS))
        words.append(word)
    return [WORDS[word] for word in words]


def _pair(rng: random.Random, domain: str) -> dict[str, str]:
    """Draw an instruction and the words that follow on it."""
    words = _walk(rng, domain, 9 + _below(rng, 8))
    cut = 4 + _below(rng, 4)
    return {
        "instruction": " ".join(words[:cut]),
        "input": "",
        "output": " ".join(words[cut:]),
        "subject": domain,
    }


def _save_models(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([PAD, END, UNKNOWN, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=PAD, eos_token=END, unk_token=UNKNOWN
    )
    tokens = {
        "vocab_size": len(vocabulary),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    for number, (name, kind, more) in enumerate(
        (("model", "qwen2", {}), ("experts", "qwen3_moe", EXPERTS), ("reference", "qwen2", {}))
    ):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES | tokens | more))
        _fill(model, number)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


def _fill(model: Any, seed: int) -> None:
    """Give all parameters weights that are whole multiples of a power of two."""
    import torch

    rng = random.Random(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            count = parameter.numel()
            whole = np.array([_below(rng, 2 * _STEPS + 1) - _STEPS for _ in range(count)], np.float32)
            values = torch.from_numpy(whole * np.float32(1 / _STEPS)).reshape(parameter.shape)
            is_norm = "norm" in name
            parameter.copy_(1 + values / 8 if is_norm else values * (round(SPREAD * 64) / 64))
