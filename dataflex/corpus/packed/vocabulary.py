"""The tokenizer of a build: what identifies it, and a batch encoder that workers make from its JSON alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.errors import UserError, one_line

TokenArray = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

TOKENIZER = "tokenizer.json"
"""File of a built corpus."""
_DECIDES = ("normalizer", "pre_tokenizer", "model")


@dataclass(frozen=True)
class Vocabulary:
    """What the numbers in the shards mean."""

    sha256: str
    """Of the parts that decide how text becomes tokens; special tokens are not among them."""
    size: int
    """One more than the largest token."""
    end: int
    """Token behind every document."""
    end_text: str
    special: tuple[int, ...]
    """Special tokens; the index says how often each occurs."""

    @property
    def dtype(self) -> str:
        """Type of a token in a file: little-endian, of two bytes where they are enough."""
        return "<u2" if self.size <= 2**16 else "<u4"

    def as_dict(self) -> dict[str, Any]:
        """JSON types; `from_dict` reads them."""
        return asdict(self) | {"special": list(self.special)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Vocabulary:
        """Read what `as_dict` made."""
        return cls(**values | {"special": tuple(values["special"])})


def fingerprint(tokenizer_json: str) -> str:
    """SHA-256 of a fast tokenizer's normaliser, splitting and model (vocabulary and merges)."""
    content = json.loads(tokenizer_json)
    decides = {key: content.get(key) for key in _DECIDES}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def load_tokenizer(name: str) -> tuple[str, Vocabulary]:
    """JSON and vocabulary of a tokenizer, by folder or name on the hub.

    Raises:
        UserError: there is none, it is not a fast one, or it has no token that ends a text.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(f"--tokenizer {name}: {one_line(error)}") from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"--tokenizer {name} is not a fast tokenizer (it has no tokenizer.json)")
    if tokenizer.eos_token_id is None:
        raise UserError(f"--tokenizer {name} has no eos_token, which stands between documents; set one")
    content = backend.to_str()
    special = sorted(index for index, token in tokenizer.added_tokens_decoder.items() if token.special)
    size = max(tokenizer.get_vocab().values()) + 1
    return content, Vocabulary(
        fingerprint(content), size, int(tokenizer.eos_token_id), str(tokenizer.eos_token), tuple(special)
    )


class Encoder:
    """Texts to tokens with the end token behind each.

    Args:
        tokenizer_json: of a fast tokenizer.
        vocabulary: its vocabulary.
    """

    def __init__(self, tokenizer_json: str, vocabulary: Vocabulary) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._end = vocabulary.end
        self._dtype = np.dtype(vocabulary.dtype)

    def __call__(self, texts: Sequence[str]) -> list[TokenArray]:
        """Encode texts; one array a text."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array([*one.ids, self._end], self._dtype) for one in encoded]
