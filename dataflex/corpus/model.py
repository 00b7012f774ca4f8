"""A tokenizer, trained on a corpus or of single symbols, and a tiny, randomly initialised model of Qwen2.5's
architecture, dense or with experts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflex.corpus.experts import Experts
from dataflex.corpus.files import write_json
from dataflex.corpus.layout import read_card, read_texts, require_new
from dataflex.corpus.markov import ALPHABET, TAGS
from dataflex.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Bytes and special tokens: no byte-level vocabulary is smaller.
SMALLEST_VOCABULARY = 256 + 3

# Qwen2.5's split before the merges: contractions, words, single digits, signs, white space.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of the tiny model; the names are those of transformers' Qwen2Config."""

    vocab_size: int = 4096
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 512

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
        if self.vocab_size < SMALLEST_VOCABULARY:
            raise UserError(
                f"--vocab-size is {self.vocab_size}; "
                f"a byte-level vocabulary needs at least {SMALLEST_VOCABULARY}"
            )
        if self.hidden_size % (2 * self.num_attention_heads):
            raise UserError(
                f"--hidden-size {self.hidden_size} must be a multiple of twice --num-attention-heads "
                f"({self.num_attention_heads}), because rotary positions turn pairs of numbers"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"--num-attention-heads {self.num_attention_heads} must be a multiple of "
                f"--num-key-value-heads ({self.num_key_value_heads})"
            )


def train_tokenizer(texts: Iterator[str], shape: ModelShape) -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's special tokens and chat form; every text comes back whole.

    `<|im_end|>` ends documents and turns (eos), `<|endoftext|>` pads: they differ, so that padding is never
    mistaken for an end that is to be learned.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocab_size,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _for_qwen(tokenizer, shape)


def symbol_tokenizer(shape: ModelShape) -> PreTrainedTokenizerFast:
    """One token a symbol of the Markov domains, so that their entropies are entropies a token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    names = [END_OF_TEXT, START, END, *TAGS, *ALPHABET]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}))
    tokenizer.add_special_tokens([END_OF_TEXT, START, END])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return _for_qwen(tokenizer, shape)


def _for_qwen(tokenizer: Tokenizer, shape: ModelShape) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END_OF_TEXT,
        model_max_length=shape.max_position_embeddings,
        chat_template=_CHAT,
        clean_up_tokenization_spaces=False,
    )


def make_model(
    corpus: Path | None, output: Path, shape: ModelShape, *, experts: Experts | None = None, seed: int = 0
) -> dict[str, Any]:
    """Make a tokenizer and save it with a randomly initialised model.

    Args:
        corpus: a corpus folder whose train split the tokenizer learns from; None: one token a symbol.
        output: a folder that is absent or empty.
        shape: sizes; the vocabulary may turn out smaller.
        experts: in place of the feed-forward layers; None: a dense model.
        seed: of the initial weights.

    Returns:
        {"parameters", "vocabulary", "shape", "seed", "corpus"}, also written to card.json as the last file.

    Raises:
        UserError: there is no such corpus, the output is in use, or the width can't be divided among experts.
    """
    of_experts = {} if experts is None else experts.sizes(shape.intermediate_size)
    learned_from: dict[str, str] = {}
    if corpus is not None:
        domains = read_card(corpus)["domains"]
        learned_from = {name: domains[name]["train"]["sha256"] for name in sorted(domains)}
    require_new(output)
    if corpus is not None:
        texts = (text for domain in learned_from for text in read_texts(corpus, "train", domain))
        tokenizer = train_tokenizer(texts, shape)
    else:
        tokenizer = symbol_tokenizer(shape)

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

    make_config: Any = Qwen2Config if experts is None else Qwen2MoeConfig
    make: Any = Qwen2ForCausalLM if experts is None else Qwen2MoeForCausalLM
    sizes = {**asdict(shape), "vocab_size": len(tokenizer), **of_experts}
    config = make_config(
        **sizes,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(config)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        summary = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "vocabulary": len(tokenizer),
            "shape": sizes,
            "seed": seed,
            "corpus": learned_from,
        }
        write_json(temporary / "card.json", summary)
        if output.exists():
            output.rmdir()
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return summary
