from __future__ import annotations

import json

import pytest

from dataflex.corpus.model import ModelShape, make_model
from dataflex.errors import UserError

SMALL = ModelShape(
    vocab_size=600,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
)


@pytest.fixture(scope="module")
def made(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "model"
    make_model(corpus, output, SMALL, seed=5)
    return output


def test_loads_as_qwen2_with_the_asked_sizes(made):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(made)
    tokenizer = AutoTokenizer.from_pretrained(made)
    assert model.config.model_type == "qwen2"
    assert len(tokenizer) == model.config.vocab_size == 600
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (model.config.eos_token_id, model.config.pad_token_id) == (
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    )
    assert json.loads((made / "card.json").read_text())["parameters"] == model.num_parameters()


def test_every_text_comes_back(made):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    text = "  def f(x):\n\treturn x  # ü 漢字 🙂 don't 12345\r\n"
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.encode("12345") == [token for digit in "12345" for token in tokenizer.encode(digit)]


def test_chat_form(made):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    messages = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.encode("<|im_start|>") == [tokenizer.convert_tokens_to_ids("<|im_start|>")]


def test_seed_decides_the_weights(corpus, made, tmp_path):
    make_model(corpus, tmp_path / "same", SMALL, seed=5)
    make_model(corpus, tmp_path / "other", SMALL, seed=6)
    weights = "model.safetensors"
    assert (tmp_path / "same" / weights).read_bytes() == (made / weights).read_bytes()
    assert (tmp_path / "other" / weights).read_bytes() != (made / weights).read_bytes()
    assert (tmp_path / "same" / "tokenizer.json").read_bytes() == (made / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("sizes", "option"),
    [
        ({"vocab_size": 100}, "--vocab-size"),
        ({"hidden_size": 30}, "--hidden-size"),
        ({"num_attention_heads": 3, "hidden_size": 60}, "--num-key-value-heads"),
        ({"num_hidden_layers": 0}, "--num-hidden-layers"),
        ({"max_position_embeddings": -1}, "--max-position-embeddings"),
    ],
)
def test_impossible_sizes(sizes, option):
    with pytest.raises(UserError, match=option):
        ModelShape(**sizes)


def test_not_a_corpus(tmp_path):
    with pytest.raises(UserError, match="not a corpus"):
        make_model(tmp_path, tmp_path / "model", SMALL)
