"""The size of a transformer from the numbers in its published configuration: parameters, and those of LoRA.

Pre-norm decoders with grouped-query attention and gated feed-forward layers (Llama, Mistral, Qwen2, and
Qwen2-MoE with a shared expert). Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflex.corpus.experts import Experts
from dataflex.corpus.markov import ALPHABET, TAGS
from dataflex.corpus.model import ModelShape
from dataflex.errors import UserError

SPECIAL_TOKENS = 3


@dataclass(frozen=True)
class Architecture:
    """Sizes of a model; the names are those of transformers' configurations."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    head_dim: int = 0
    """0: the hidden size divided among the heads."""
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    """Biases of queries, keys and values, as in Qwen2."""
    query_key_norm: bool = False
    """Norms of queries and keys, as in Qwen3."""
    num_experts: int = 0
    """0: one feed-forward layer; else a router, so many experts, and a shared one with a gate."""
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def attention_width(self) -> int:
        """Width of all heads of a layer together."""
        return self.num_attention_heads * self.head_width

    @property
    def key_width(self) -> int:
        """Width of a layer's keys, and of its values."""
        return self.num_key_value_heads * self.head_width

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Return inputs and outputs of the linear layers of a dense block, by name."""
        hidden, attention, key, inner = (
            self.hidden_size,
            self.attention_width,
            self.key_width,
            self.intermediate_size,
        )
        return {
            "q_proj": (hidden, attention),
            "k_proj": (hidden, key),
            "v_proj": (hidden, key),
            "o_proj": (attention, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    def _feed_forward(self, experts: int) -> int:
        """Weights of a layer's feed-forward part with so many of its experts."""
        if not self.num_experts:
            return 3 * self.hidden_size * self.intermediate_size
        widths = experts * self.moe_intermediate_size + self.shared_expert_intermediate_size
        return self.hidden_size * (3 * widths + self.num_experts + 1)

    def _attention(self) -> int:
        return 2 * self.hidden_size * (self.attention_width + self.key_width)

    @property
    def block_weights(self) -> int:
        """Weights that a token is multiplied with in all blocks: of experts, those that it is sent to."""
        return self.num_hidden_layers * (self._attention() + self._feed_forward(self.num_experts_per_tok))

    @property
    def head_weights(self) -> int:
        """Weights that make logits of a token's last state."""
        return self.hidden_size * self.vocab_size

    @property
    def layer_parameters(self) -> int:
        """Parameters of one block."""
        biases = self.attention_width + 2 * self.key_width if self.attention_bias else 0
        norms = 2 * self.hidden_size + (2 * self.head_width if self.query_key_norm else 0)
        return self._attention() + self._feed_forward(self.num_experts) + biases + norms

    @property
    def parameters(self) -> int:
        """Parameters of the model; tied embeddings count once."""
        embeddings = self.head_weights * (1 if self.tie_word_embeddings else 2)
        return embeddings + self.num_hidden_layers * self.layer_parameters + self.hidden_size

    def lora_parameters(self, rank: int, targets: Iterable[str] | None = None) -> int:
        """Parameters of low-rank adapters.

        Args:
            rank: of each adapter.
            targets: names of linear layers; None: all but the output layer.

        Raises:
            UserError: a target is no linear layer.
        """
        layers = self.linear_layers()
        unknown = sorted(set(targets or ()) - set(layers))
        if unknown:
            raise UserError(
                f"lora_target: no linear layer is called {unknown[0]!r}; there are {', '.join(layers)}"
            )
        chosen = [layers[name] for name in (targets or layers)]
        return self.num_hidden_layers * rank * sum(inputs + outputs for inputs, outputs in chosen)


def of_config(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a model's ``config.json``."""
    known = {name: config[name] for name in Architecture.__dataclass_fields__ if config.get(name) is not None}
    if str(config.get("model_type", "")).startswith("qwen2"):
        known["attention_bias"] = True
    return Architecture(**known)


def of_model(entry: Mapping[str, Any]) -> Architecture | None:
    """Return the architecture of a grid's model: declared, or what ``corpus model`` will build; else None."""
    if "architecture" in entry:
        return Architecture(**entry["architecture"])
    if "build" not in entry:
        return None
    options = {key.replace("-", "_"): value for key, value in entry["build"].get("options", {}).items()}
    number, per_token = int(options.pop("experts", 0)), int(options.pop("experts_per_token", 2))
    if "corpus" not in entry["build"]:
        options["vocab_size"] = SPECIAL_TOKENS + len(TAGS) + len(ALPHABET)
    shape = {
        name: options.get(name, field.default) for name, field in ModelShape.__dataclass_fields__.items()
    }
    shape.pop("max_position_embeddings")
    sizes = Experts(number, per_token).sizes(shape["intermediate_size"]) if number else {}
    sizes.pop("norm_topk_prob", None)
    return Architecture(**shape, **sizes, tie_word_embeddings=True, attention_bias=True)
