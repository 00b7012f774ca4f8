"""Unit vectors of rows: from a sentence-embedding model, a language model's hidden states, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt


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


@dataclass(frozen=True)
class Embeddings:
    """Vectors of length one."""

    pool: npt.NDArray[np.float32]
    """Shape ``(rows, D)``."""
    validation: npt.NDArray[np.float32]
    """Shape ``(validation rows, D)``."""
