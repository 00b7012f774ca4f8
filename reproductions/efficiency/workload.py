"""A model with LoRA, real rows and Adam's moments in one folder, which every environment reads.

Needs nothing but torch, transformers and peft.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from efficiency import instructions
from efficiency.batches import Row, by_length
from efficiency.processes import mine

PROMPT = "### Instruction:\n{instruction}\n\n### Response:\n"
TINY = "tiny"
TINY_CONFIG: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
IGNORED = -100
PLAIN = "plain, by length"
"""The yardstick that limits are set in; ``plain`` is the one in pool order."""


def make(
    folder: Path,
    *,
    data: Path,
    model: str,
    rows: int,
    validation: int,
    cutoff: int,
    rank: int,
    batch: int,
    precision: str = "float32",
) -> dict[str, Any]:
    """Write a workload; return what it is made of.

    Args:
        folder: where it goes.
        data: see ``instructions.read``.
        model: ``tiny``, the folder of a model or its name on the hub.
        rows: rows of the pool, drawn from the data.
        validation: further rows, to aim at.
        cutoff: tokens of a row at the most.
        rank: of LoRA, on all linear layers.
        batch: rows of a training batch, for the two steps that fill Adam's moments.
        precision: of the model below the adapter, a type of torch; the adapter stays in float32.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    texts = instructions.read(data)
    random.Random(0).shuffle(texts)
    tokenizer = _tokenizer(model, texts)
    usable = (row for row in (_row(tokenizer, text, cutoff) for text in texts) if _is_supervised(row))
    found = [row for row, _ in zip(usable, range(rows + validation), strict=False)]
    if len(found) < rows + validation:
        raise SystemExit(f"{data} gives {len(found)} rows, {rows + validation} are needed: ask for fewer")
    pool, held_out = found[:rows], found[rows:]
    if model == TINY:
        (folder / "model").mkdir(parents=True, exist_ok=True)
        Qwen2ForCausalLM(Qwen2Config(**TINY_CONFIG)).save_pretrained(folder / "model")
        where = str(folder / "model")
    else:
        where = str(Path(model).resolve()) if Path(model).is_dir() else model
    base = AutoModelForCausalLM.from_pretrained(where, dtype=getattr(torch, precision))
    adapted: Any = get_peft_model(base, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-3)
    for start in (0, batch):
        adapted(**collate(pool[start : start + batch] or pool[:batch])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(folder / "adapter")
    moments = {name: optimizer.state[p] for name, p in adapted.named_parameters() if p.requires_grad}
    torch.save(moments, folder / "moments.pt")
    about = {
        "model": Path(model).name,
        "parameters": sum(p.numel() for p in adapted.parameters()),
        "trainable": sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        "lora_rank": rank,
        "rows": rows,
        "validation": validation,
        "batch": batch,
        "cutoff": cutoff,
        "precision": precision,
        "mean_tokens": sum(len(row["input_ids"]) for row in pool) / rows,
        "longest": max(len(row["input_ids"]) for row in pool),
        "data": data.name,
    }
    content = {"base": where, "about": about, "pool": pool, "validation": held_out}
    (folder / "rows.json").write_text(json.dumps(content))
    return about


def _tokenizer(model: str, texts: list[dict[str, str]]) -> Any:
    """Return the model's tokenizer; for the tiny model one trained on the texts."""
    if model != TINY:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(model)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_CONFIG["vocab_size"], special_tokens=["<eos>"], show_progress=False
    )
    made.train_from_iterator((f"{_prompt(text)}{text['output']}" for text in texts), trainer)
    return made


def _prompt(text: dict[str, str]) -> str:
    parts = (text["instruction"], text.get("input", ""))
    return PROMPT.format(instruction="\n".join(part for part in parts if part))


def _row(tokenizer: Any, text: dict[str, str], cutoff: int) -> Row:
    encoded = [tokenizer.encode(part) for part in (_prompt(text), text["output"])]
    prompt, answer = (list(getattr(part, "ids", part)) for part in encoded)
    ids, labels = prompt + answer, [IGNORED] * len(prompt) + answer
    return {"input_ids": ids[:cutoff], "labels": labels[:cutoff]}


def _is_supervised(row: Row) -> bool:
    return any(label != IGNORED for label in row["labels"][1:])


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Pad rows on the right into a batch."""
    width = max(len(row["input_ids"]) for row in rows)

    def padded(values: Sequence[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([value + [fill] * (width - len(value)) for value in values])

    ids = [row["input_ids"] for row in rows]
    return {
        "input_ids": padded(ids, 0),
        "attention_mask": padded([[1] * len(value) for value in ids], 0),
        "labels": padded([row["labels"] for row in rows], IGNORED),
    }


@dataclass(frozen=True)
class Workload:
    """A workload in memory, the model on its device and in evaluation mode."""

    about: dict[str, Any]
    model: Any
    optimizer: torch.optim.Optimizer
    pool: list[Row]
    validation: list[Row]
    device: torch.device

    @property
    def budget(self) -> int:
        """Padded tokens of a batch at the most: those of ``batch`` rows of full length."""
        return int(self.about["batch"] * self.about["longest"])

    def batch(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Make a batch on the model's device."""
        return {key: value.to(self.device) for key, value in collate(rows).items()}


def load(folder: str, device: torch.device, checkpointing: bool = False) -> Workload:
    """Read a workload. ``checkpointing``: activations are computed again in the backward pass."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    content = json.loads((Path(folder) / "rows.json").read_text())
    precision = getattr(torch, content["about"]["precision"])
    base = AutoModelForCausalLM.from_pretrained(content["base"], dtype=precision)
    adapter = Path(folder) / "adapter"
    model: Any = PeftModel.from_pretrained(base, adapter, is_trainable=True).to(device)
    model.eval()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
        model.train()
    moments = torch.load(Path(folder) / "moments.pt", map_location=device, weights_only=True)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if named.keys() != moments.keys():
        raise SystemExit("this environment names the adapter's parameters differently")
    optimizer = torch.optim.AdamW(named.values(), lr=1e-3)
    for name, parameter in named.items():
        optimizer.state[parameter] = moments[name]
    return Workload(content["about"], model, optimizer, content["pool"], content["validation"], device)


def in_order(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    """Cut rows into batches in their order."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def plain_backward(work: Workload, batches: Iterable[Sequence[Row]]) -> None:
    """Forward and backward passes as training makes them."""
    for rows in batches:
        work.model(**work.batch(rows)).loss.backward()
        work.model.zero_grad()


def plain_in_order(work: Workload, rows: Sequence[Row], size: int) -> None:
    """Plain passes in pool order: rows of any length lie in a batch, and are padded to its longest."""
    plain_backward(work, in_order(mine(rows), size))


def plain_by_length(work: Workload, pool: Sequence[Row]) -> None:
    """The yardstick of gradient methods: plain passes over the validation rows and a pool.

    In the batches of this library's exact pass, so that it isn't ours that pads less.
    """
    for rows in (work.validation, pool):
        plain_backward(work, mine(by_length(rows, work.budget)))


def plain_forward(work: Workload, rows: Sequence[Row], size: int) -> None:
    """The yardstick of loss methods: forward passes without gradients."""
    with torch.no_grad():
        for part in in_order(mine(rows), size):
            work.model(**work.batch(part)).loss.item()
