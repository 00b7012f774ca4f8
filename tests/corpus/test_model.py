from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from typer.testing import CliRunner

from dataflex.corpus.commands import app
from dataflex.corpus.experts import Experts
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


FOUR = Experts(4, per_token=2)


@pytest.fixture(scope="module")
def routed(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "experts"
    make_model(corpus, output, SMALL, experts=FOUR, seed=5)
    return output


def test_every_layer_has_the_asked_experts_and_a_shared_one(routed, made):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(routed)
    assert model.config.model_type == "qwen2_moe"
    for layer in model.model.layers:
        assert layer.mlp.gate.weight.shape == (4, 32)
        # 64 wide: 32 shared, 16 of each of the two experts of a token.
        assert layer.mlp.experts.down_proj.shape == (4, 32, 16)
        assert layer.mlp.shared_expert.down_proj.weight.shape == (32, 32)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    card, dense = (json.loads((folder / "card.json").read_text()) for folder in (routed, made))
    assert card["parameters"] == model.num_parameters()
    assert (card["shape"]["num_experts"], card["shape"]["num_experts_per_tok"]) == (4, 2)
    assert card["shape"].items() > dense["shape"].items()
    assert dense["shape"] == asdict(SMALL)
    assert (routed / "tokenizer.json").read_bytes() == (made / "tokenizer.json").read_bytes()


def test_a_token_costs_what_it_costs_the_dense_model(routed, made):
    """Per layer the router and the shared expert's gate come on top; half of the experts' weights are idle."""
    card, dense = (json.loads((folder / "card.json").read_text()) for folder in (routed, made))
    width, expert = SMALL.hidden_size, 3 * SMALL.hidden_size * 16
    on_top = SMALL.num_hidden_layers * (4 * width + width)
    idle = SMALL.num_hidden_layers * 2 * expert
    assert card["parameters"] - idle - on_top == dense["parameters"]


def test_routers_learn_from_the_loss_of_one_expert_a_token_as_well(tmp_path):
    from transformers import AutoModelForCausalLM

    for per_token in (1, 2):
        make_model(None, tmp_path / str(per_token), SMALL, experts=Experts(3, per_token))
        model = AutoModelForCausalLM.from_pretrained(tmp_path / str(per_token))
        tokens = torch.arange(20)[None]
        model(input_ids=tokens, labels=tokens).loss.backward()
        assert all(layer.mlp.gate.weight.grad.abs().max() > 1e-8 for layer in model.model.layers)


def test_seed_decides_the_experts(corpus, routed, tmp_path):
    make_model(corpus, tmp_path / "same", SMALL, experts=FOUR, seed=5)
    make_model(corpus, tmp_path / "other", SMALL, experts=FOUR, seed=6)
    for name in ("model.safetensors", "config.json", "card.json"):
        assert (tmp_path / "same" / name).read_bytes() == (routed / name).read_bytes()
    other = (tmp_path / "other/model.safetensors").read_bytes()
    assert other != (routed / "model.safetensors").read_bytes()


def test_the_dense_model_is_transformers_own(tmp_path):
    """Bytes that runs from before experts could be asked for were made with."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    card = make_model(None, tmp_path / "model", SMALL, seed=5)
    assert set(card) == {"parameters", "vocabulary", "shape", "seed", "corpus"}
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(5)
    Qwen2ForCausalLM(Qwen2Config(**card["shape"], tie_word_embeddings=True, **ids)).save_pretrained(
        tmp_path / "own"
    )
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experts", "1"], "--experts is 1; it must be at least 2, or 0"),
        (["--experts", "-4"], "--experts is -4"),
        (["--experts", "4", "--experts-per-token", "5"], r"--experts-per-token is 5; .* --experts \(4\)"),
        (["--experts", "4", "--experts-per-token", "0"], "--experts-per-token is 0"),
        (["--experts-per-token", "2"], "--experts-per-token needs --experts"),
        (["--experts", "4", "--intermediate-size", "90"], "--intermediate-size 90 must be a multiple"),
    ],
)
def test_impossible_experts_are_told_before_anything_is_written(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(app, ["model", "--output", str(tmp_path / "m"), *words], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_the_command_makes_a_model_with_experts(tmp_path):
    small = ["--hidden-size", "16", "--intermediate-size", "24", "--num-hidden-layers", "1"]
    words = ["model", "--output", str(tmp_path / "m"), "--experts", "3", *small]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    shape = json.loads((tmp_path / "m/card.json").read_text())["shape"]
    assert (shape["num_experts"], shape["num_experts_per_tok"], shape["moe_intermediate_size"]) == (3, 2, 6)
