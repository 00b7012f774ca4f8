"""Unit vectors of texts, from a sentence-embedding model or from any language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from dataflex.collectives import sum_over_ranks, world
from dataflex.errors import UserError, one_line
from dataflex.signals.passes import Rows
from dataflex.signals.pooling import hidden_state_vectors, unit
from dataflex.signals.products import product_device

Vectors = npt.NDArray[np.float32]

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What of a model is needed; pickled weights, which can hold code, are not loaded."""
_SENTENCES = 128
"""Texts that a sentence-embedding model is handed at once: four of its batches, after which the bar moves."""


def embed_texts(
    model_name: str, texts: Sequence[str], max_tokens: int, *, batch_tokens: int = 16384, what: str = "rows"
) -> Vectors:
    """Return a vector of length one for every text, equal on all ranks.

    A folder with ``modules.json`` is a sentence-transformers model and pools as it says. Any other model is
    read without its head and pooled by the mean over tokens. No code of a model's repository is ever run.

    Args:
        model_name: a folder, or the name of a model on the hub.
        texts: may be empty strings, which are embedded as such.
        max_tokens: longer texts are cut.
        batch_tokens: padded tokens of a batch at the most.
        what: named in the progress bar and in errors.

    Returns:
        Shape ``(len(texts), D)``.

    Raises:
        UserError: no such model, the extra for sentence-transformers is missing, or a vector is not finite.
    """
    folder = model_folder(model_name)
    if not texts:
        raise UserError(f"{what}: there is no text to embed")
    if (folder / "modules.json").is_file():
        return _sentence_vectors(folder, texts, max_tokens, what)
    return _mean_vectors(folder, texts, max_tokens, batch_tokens, what)


def model_folder(name: str) -> Path:
    """Return the folder of a model; one of the hub is fetched, or taken from the local cache.

    Raises:
        UserError: there is no such folder and no such model.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = one_line(error)
        raise UserError(f"embedding_model: no folder and no model on the hub {name!r}: {reason}") from None


def _sentence_vectors(folder: Path, texts: Sequence[str], max_tokens: int, what: str) -> Vectors:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise UserError(
            f"embedding_model: {folder} needs sentence-transformers: pip install 'dataflex[embeddings]'"
        ) from None
    model = SentenceTransformer(
        str(folder),
        device=str(product_device()),
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
    model.max_seq_length = min(max_tokens, model.max_seq_length or max_tokens)
    # Similar lengths together, so that a batch holds little padding.
    order = np.argsort([-len(text) for text in texts], kind="stable")
    rank, size = world()
    vectors: torch.Tensor | None = None
    starts = range(rank * _SENTENCES, len(texts), size * _SENTENCES)
    for start in track(starts, f"Embedding {what}", disable=rank != 0, transient=True):
        rows = order[start : start + _SENTENCES]
        part = model.encode([texts[row] for row in rows], convert_to_tensor=True, show_progress_bar=False)
        if vectors is None:
            vectors = torch.zeros(len(texts), part.shape[1])
        vectors[rows] = part.float().cpu()
    if vectors is None:
        # More ranks than work: this one still takes part in the sum.
        vectors = torch.zeros(len(texts), len(model.encode(texts[0], show_progress_bar=False)))
    return unit(sum_over_ranks(vectors).numpy(), what)


def _mean_vectors(
    folder: Path, texts: Sequence[str], max_tokens: int, batch_tokens: int, what: str
) -> Vectors:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModel.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise UserError(f"embedding_model: {folder}: {one_line(error)}") from None
    limit = getattr(model.config, "max_position_embeddings", None) or max_tokens
    device = product_device()
    model = model.to(device).eval()
    tokens = tokenizer(list(texts), truncation=True, max_length=min(max_tokens, limit))["input_ids"]
    # A tokenizer without special tokens makes nothing of an empty text.
    nothing = next(
        (
            t
            for t in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id)
            if t is not None
        ),
        0,
    )
    rows = [ids or [nothing] for ids in tokens]
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else nothing

    def collate(ids: Sequence[int]) -> dict[str, Any]:
        width = max(len(rows[row]) for row in ids)
        batch = torch.full((len(ids), width), padding)
        mask = torch.zeros(len(ids), width, dtype=torch.long)
        for place, row in enumerate(ids):
            batch[place, : len(rows[row])] = torch.tensor(rows[row])
            mask[place, : len(rows[row])] = 1
        return {"input_ids": batch.to(device), "attention_mask": mask.to(device)}

    lengths = np.array([len(row) for row in rows], np.int64)
    return hidden_state_vectors(model, Rows(lengths, lengths, collate), batch_tokens, what)
