import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.corpus.markov import (
    ALPHABET,
    DOMAINS,
    HELD_OUT,
    SYMBOLS,
    TAGS,
    TARGET,
    as_numbers,
    draw_documents,
    make_chains,
    make_markov,
    read_chains,
)
from dataflex.corpus.model import ModelShape, make_model
from dataflex.errors import UserError

SHAPE = ModelShape(
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=64,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("markov") / "seed3"
    return folder, make_markov(folder, seed=3)


def texts(folder, split, domain):
    lines = (folder / split / f"{domain}.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def test_the_folder(made):
    folder, card = made
    assert json.loads((folder / "card.json").read_text()) == card
    info = json.loads((folder / "dataset_info.json").read_text())
    assert list(info) == list(card["domains"]) == [domain.name for domain in DOMAINS]
    assert card["target"] == ["easy", "middle", "source", "kin"]
    for domain in DOMAINS:
        for split, count in (("train", domain.documents), ("test", HELD_OUT)):
            documents = texts(folder, split, domain.name)
            assert len(documents) == count == card["domains"][domain.name][split]["documents"]
            assert {text[0] for text in documents} == {domain.tag}
            assert {len(text) for text in documents} == {SYMBOLS + 1}
            assert set("".join(text[1:] for text in documents)) <= set(ALPHABET)
    with pytest.raises(UserError, match="not empty"):
        make_markov(folder, seed=3)


def test_tags_tell_the_domains():
    assert len(set(TAGS)) == len(DOMAINS)
    assert not set(TAGS) & set(ALPHABET)
    assert len(set(ALPHABET)) == len(ALPHABET)


def test_the_card_has_the_entropies_of_the_chains_that_are_written(made):
    folder, card = made
    chains = read_chains(folder)
    for name, entry in card["domains"].items():
        assert entry["entropy_rate"] == pytest.approx(chains[name].entropy_rate, rel=1e-12)
        assert entry["entropy"] == pytest.approx(chains[name].entropy(SYMBOLS), rel=1e-12)
        # What the chain pays for its held-out text is the entropy, up to chance.
        losses = -chains[name].log_likelihood(as_numbers(texts(folder, "test", name))) / SYMBOLS
        error = losses.std(ddof=1) / math.sqrt(len(losses))
        assert abs(losses.mean() - entry["entropy"]) <= 4 * error + 1e-12


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_domains_are_what_their_names_say(seed):
    chains = make_chains(seed)
    rates = {name: chain.entropy_rate for name, chain in chains.items()}
    assert rates["noise"] == pytest.approx(math.log(len(ALPHABET)))
    assert rates["easy"] < 0.5 * min(rates["middle"], rates["source"], rates["kin"])
    assert max(rates[name] for name in TARGET) < 0.75 * rates["noise"]


EQUAL = 1 / len(ALPHABET)


def bigram(documents, prior=EQUAL, strength=4.0):
    """Transition probabilities counted from documents, beside some counts of a prior.

    A tenth of the prior is spread equally, so that what it holds for impossible can still be learned.
    """
    counts = np.zeros((len(ALPHABET), len(ALPHABET))) + strength * (0.9 * prior + 0.1 * EQUAL)
    np.add.at(counts, (documents[:, :-1], documents[:, 1:]), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def loss(transition, documents):
    return -np.log(transition)[documents[:, :-1], documents[:, 1:]].mean()


@pytest.mark.parametrize("seed", range(1, 7))
def test_what_is_learned_from_the_source_serves_for_kin_alone(seed):
    chains = make_chains(seed)
    drawn = draw_documents(seed, chains)
    source, middle = (bigram(drawn[name]["train"]) for name in ("source", "middle"))
    own, test = drawn["kin"]["train"], drawn["kin"]["test"]
    alone, after_source = loss(bigram(own), test), loss(bigram(own, source), test)
    assert after_source < alone - 0.02
    assert after_source < loss(bigram(own, middle), test) - 0.02
    assert loss(source, test) < math.log(len(ALPHABET)) - 0.5 < loss(middle, test)
    # It has rows of its own too, so that the source alone does not do, and nothing does better than the truth.
    assert loss(source, test) > after_source + 0.02
    assert loss(chains["kin"].transition, test) < after_source


def test_the_seed_draws_chains_and_text(tmp_path):
    first, again, other = (make_markov(tmp_path / name, seed=s) for name, s in (("a", 5), ("b", 5), ("c", 6)))
    assert first == again
    for file in (tmp_path / "a").rglob("*.json*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    assert other["family"] == first["family"]
    assert other["domains"]["kin"]["entropy"] != first["domains"]["kin"]["entropy"]
    hashes = [
        {e[s]["sha256"] for e in card["domains"].values() for s in ("train", "test")}
        for card in (first, other)
    ]
    assert not hashes[0] & hashes[1]


def test_another_design_is_another_family(tmp_path, monkeypatch):
    before = make_markov(tmp_path / "a", seed=1)["family"]
    monkeypatch.setattr("dataflex.corpus.markov.SYMBOLS", 30)
    assert make_markov(tmp_path / "b", seed=1)["family"] != before


def test_what_is_no_markov_corpus_is_told(made, tmp_path):
    (tmp_path / "card.json").write_text('{"made_by": "harvest"}')
    with pytest.raises(UserError, match="corpus markov"):
        read_chains(tmp_path)
    with pytest.raises(UserError, match="not written by a chain"):
        as_numbers(["Nab", "Na!"])
    with pytest.raises(UserError, match="not written by a chain"):
        as_numbers(["Nab", "Na"])


def test_the_command(tmp_path):
    words = ["corpus", "markov", "--output", str(tmp_path / "new"), "--seed", "5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "new/card.json").read_text())["seed"] == 5
    assert "noise 3.466" in result.output


def test_a_symbol_is_a_token_and_a_document_with_its_end_a_row(made, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, card = made
    summary = make_model(None, tmp_path / "model", SHAPE, seed=1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert len(tokenizer) == summary["vocabulary"] == 3 + len(TAGS) + len(ALPHABET)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.vocab_size == len(tokenizer)
    for domain in card["domains"]:
        text = texts(folder, "test", domain)[0]
        tokens = tokenizer(text + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        assert len(tokens) == card["row_tokens"] + 1 == 64
        assert tokens[-1] == tokenizer.eos_token_id
        assert tokenizer.convert_ids_to_tokens(tokens[:-1]) == list(text)
        assert tokenizer.decode(tokens[:-1]) == text
