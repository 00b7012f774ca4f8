import csv
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from dataflex.corpus.markov import HELD_OUT, SYMBOLS, TAGS, make_markov, read_chains
from dataflex.corpus.model import ModelShape, make_model
from dataflex.errors import UserError
from dataflex.evaluation.held_out import held_out

SHAPE = ModelShape(
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
    max_position_embeddings=64,
)


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """A corpus and an untrained model."""
    folder = tmp_path_factory.mktemp("held_out")
    make_markov(folder / "corpus", seed=1)
    make_model(None, folder / "model", SHAPE)
    return folder


def lines(folder):
    with (folder / "held_out.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_model_without_opinion_pays_for_every_symbol_alike(chains, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(chains / "model")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.save_pretrained(tmp_path / "zero")
    for file in (chains / "model").glob("token*"):
        (tmp_path / "zero" / file.name).write_bytes(file.read_bytes())
    losses = held_out(tmp_path / "zero", chains / "corpus", tmp_path / "out")
    assert set(losses) == {"noise", "easy", "middle", "source", "kin"}
    assert all(loss == pytest.approx(math.log(3 + len(TAGS) + 32)) for loss in losses.values())


def test_each_document_is_scored_after_its_tag(chains, tmp_path):
    """Against a forward of one document at a time, and against the chain itself."""
    losses = held_out(chains / "model", chains / "corpus", tmp_path, batch_size=7)
    rows = lines(tmp_path)
    assert len(rows) == 5 * HELD_OUT
    assert {int(row["symbols"]) for row in rows} == {SYMBOLS}

    from dataflex.corpus.layout import read_texts
    from dataflex.corpus.markov import as_numbers

    texts = list(read_texts(chains / "corpus", "test", "kin"))
    own = [row for row in rows if row["domain"] == "kin"]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chains / "model")
    model = AutoModelForCausalLM.from_pretrained(chains / "model").eval()
    for number in (0, 100):
        ids = tokenizer(texts[number], return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            expected = -model(input_ids=ids, labels=ids).loss * SYMBOLS
        assert float(own[number]["loglik"]) == pytest.approx(float(expected), rel=1e-5)
    chain = read_chains(chains / "corpus")["kin"].log_likelihood(as_numbers(texts))
    assert [float(row["chain_loglik"]) for row in own] == chain.tolist()
    assert losses["kin"] == pytest.approx(-sum(float(row["loglik"]) for row in own) / SYMBOLS / HELD_OUT)


def test_what_does_not_fit_is_told(chains, tmp_path):
    with pytest.raises(UserError, match="batch-size"):
        held_out(chains / "model", chains / "corpus", tmp_path, batch_size=0)
    with pytest.raises(UserError, match="not a folder"):
        held_out(tmp_path / "none", chains / "corpus", tmp_path)
    with pytest.raises(UserError, match="not a corpus"):
        held_out(chains / "model", tmp_path, tmp_path)


def test_another_tokenizer_is_told(chains, tiny, tmp_path):
    with pytest.raises(UserError, match="one token a symbol"):
        held_out(tiny / "model", chains / "corpus", tmp_path)
