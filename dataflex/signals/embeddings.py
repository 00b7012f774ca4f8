"""Unit vectors of rows: from a sentence-embedding model, a language model's hidden states, or a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from dataflex.collectives import from_first_rank, world
from dataflex.errors import UserError
from dataflex.signals.encoders import embed_texts, model_folder
from dataflex.signals.pooling import unit

_VERSION = 1
"""Of what is cached: raised when the same texts get other vectors."""
_READ = 65536
"""Vectors of a file that are looked at at once."""


@dataclass(frozen=True)
class EmbeddingSource:
    """Where vectors come from."""

    model: str | None = None
    """Folder or hub name of a sentence-transformers or Hugging Face model; None: the model in training."""
    vectors: str | None = None
    """A .npy file with the vectors of all rows instead, in their order."""
    validation_vectors: str | None = None
    """A .npy file with the vectors of the validation rows."""
    text: Literal["all", "prompt", "response"] = "all"
    """Part of a row that is embedded."""
    max_tokens: int = 512
    """Tokens of a text that the embedding model reads."""
    centre: bool | None = None
    """Take the pool's mean vector away; None: where vectors are mean hidden states of a language model."""

    @property
    def fixed(self) -> bool:
        """Whether the vectors stay the same while the model trains."""
        return self.model is not None or (self.vectors is not None and self.validation_vectors is not None)


@dataclass(frozen=True)
class Embeddings:
    """Vectors of length one."""

    pool: npt.NDArray[np.float32]
    """Shape ``(rows, D)``; may be a memory map."""
    validation: npt.NDArray[np.float32]
    """Shape ``(validation rows, D)``."""


def embed(
    source: EmbeddingSource,
    texts: Callable[[], list[str]],
    validation_texts: Callable[[], list[str]],
    cache: Path | None,
    *,
    rows: int,
    validation_rows: int,
) -> Embeddings:
    """Return the vectors of pool and validation rows, from files or from a model of their own.

    Each side comes from its file if the source names one, else from the source's model. Texts are asked for
    only then. Vectors that were made before are read from the cache. Equal on all ranks.

    Args:
        source: not one that means the model in training: see ``pooling.hidden_state_vectors``.
        texts: makes the text of every row.
        validation_texts: makes the text of every validation row.
        cache: folder where vectors are kept; made if need be; None keeps nothing.
        rows: number of rows.
        validation_rows: number of validation rows.

    Raises:
        UserError: a file or a model does not fit; says which and why.
    """
    pool = _side(source, "vectors", texts, cache, rows)
    validation = _side(source, "validation_vectors", validation_texts, cache, validation_rows)
    if pool.shape[1] != validation.shape[1]:
        raise UserError(
            f"vectors of rows have {pool.shape[1]} dimensions, those of validation rows "
            f"{validation.shape[1]}: take both from the same model"
        )
    found = Embeddings(pool, np.asarray(validation))
    hidden_states = source.model is not None and not (model_folder(source.model) / "modules.json").is_file()
    centre = hidden_states if source.centre is None else source.centre
    return centred(found) if centre else found


def centred(embeddings: Embeddings) -> Embeddings:
    """Take the pool's mean vector away and scale to length one again.

    Mean hidden states of a language model all point nearly one way: what they share says nothing about rows,
    but makes all distances small beside the scales that methods assume for unit vectors (Mu and Viswanath
    2018, arXiv 1702.01417).

    Raises:
        UserError: a vector is the mean itself.
    """
    mean = np.mean(embeddings.pool, axis=0, dtype=np.float64).astype(np.float32)
    return Embeddings(
        unit(embeddings.pool - mean, "rows without their mean"),
        unit(embeddings.validation - mean, "validation rows without the pool's mean"),
    )


def _side(
    source: EmbeddingSource, key: str, texts: Callable[[], list[str]], cache: Path | None, rows: int
) -> npt.NDArray[np.float32]:
    file = getattr(source, key)
    if file is not None:
        return read_vectors(Path(file), key, rows)
    if source.model is None:
        raise UserError(f"{key} is missing: name a .npy file, or an embedding_model")
    found = texts()
    if len(found) != rows:
        raise RuntimeError(f"{len(found)} texts for {rows} rows")
    what = "validation rows" if key == "validation_vectors" else "rows"
    return _cached(source.model, found, source.max_tokens, cache, what)


def read_vectors(path: Path, key: str, rows: int) -> npt.NDArray[np.float32]:
    """Read a .npy file of vectors; those of length one in fp32 stay on disk as a memory map.

    Raises:
        UserError: no such file, not one array of numbers, a wrong number of rows, a vector that is zero or
            not finite.
    """
    if not path.is_file():
        raise UserError(f"{key}: no file {path}")
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{key}: {path} is not a .npy file of numbers: {error}") from None
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        shape = getattr(vectors, "shape", None)
        raise UserError(f"{key}: {path} must hold one row of numbers a vector, not shape {shape}")
    if len(vectors) != rows:
        raise UserError(
            f"{key}: {path} holds {len(vectors)} vectors for {rows} rows: embed the rows that the run has"
        )
    parts = [vectors[start : start + _READ] for start in range(0, len(vectors), _READ)]
    scaled = [unit(np.asarray(part), f"{key}: {path}") for part in parts]
    if vectors.dtype == np.float32 and all(
        np.abs(part - own).max() < 1e-6 for part, own in zip(parts, scaled, strict=True)
    ):
        return vectors
    return np.concatenate(scaled)


def _cached(
    model: str, texts: list[str], max_tokens: int, cache: Path | None, what: str
) -> npt.NDArray[np.float32]:
    if cache is None:
        return embed_texts(model, texts, max_tokens, what=what)
    file = cache / f"{cache_key(model_folder(model), texts, max_tokens)}.npy"
    kept = np.load(file, allow_pickle=False) if world()[0] == 0 and file.is_file() else None
    # The first rank decides whether there is anything to do: ranks need not share a file system.
    shape = from_first_rank(torch.tensor([0, 0] if kept is None else kept.shape)).tolist()
    if shape[0]:
        mine = torch.from_numpy(kept) if kept is not None else torch.zeros(shape)
        return from_first_rank(mine).numpy()
    vectors = embed_texts(model, texts, max_tokens, what=what)
    if world()[0] == 0:
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.tmp")
        try:
            with unfinished.open("wb") as stream:
                np.save(stream, vectors, allow_pickle=False)
            os.replace(unfinished, file)
        finally:
            unfinished.unlink(missing_ok=True)
    return vectors


def cache_key(folder: Path, texts: Sequence[str], max_tokens: int) -> str:
    """Return a digest of all that vectors depend on: the texts, every file of the model, and the cut."""
    digest = hashlib.sha256(json.dumps([_VERSION, max_tokens, len(texts)]).encode())
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.suffix in (".json", ".txt", ".model", ".safetensors"):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
