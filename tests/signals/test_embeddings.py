"""Vectors from files, models and the cache; the text of tokenised rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich
import torch
from datasets import Dataset
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from dataflex.errors import UserError
from dataflex.signals import embeddings, encoders
from dataflex.signals.embeddings import Embeddings, EmbeddingSource, cache_key, centred, embed
from dataflex.signals.encoders import embed_texts
from dataflex.signals.passes import Rows
from dataflex.signals.pooling import hidden_state_vectors
from dataflex.signals.scores import row_keys
from dataflex.signals.texts import row_texts

from .vectors import unit

TEXTS = ["the mean of data", "", "a variance is never negative", "mean", "quantiles cut the data " * 5]


def never() -> list[str]:
    raise AssertionError("no text is needed")


def by_hand(folder: Path, texts: list[str], max_tokens: int) -> np.ndarray:
    """One text at a time, without padding: the mean of the last layer, scaled."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text)["input_ids"][:max_tokens] or [tokenizer.eos_token_id]
        with torch.no_grad():
            rows.append(model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy())
    return unit(np.array(rows))


@pytest.mark.parametrize("batch_tokens", [1, 64, 10_000])
def test_a_language_models_vectors_are_means_over_tokens(tiny: Path, batch_tokens: int) -> None:
    found = embed_texts(str(tiny / "model"), TEXTS, 12, batch_tokens=batch_tokens)
    assert found.dtype == np.float32
    assert found == pytest.approx(by_hand(tiny / "model", TEXTS, 12), abs=2e-6)


def test_ranks_share_the_texts(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataflex.signals import passes, pooling

    parts: list[torch.Tensor] = []
    monkeypatch.setattr(pooling, "sum_over_ranks", lambda part: parts.append(part) or torch.ones_like(part))
    for rank in range(3):
        monkeypatch.setattr(passes, "world", lambda rank=rank: (rank, 3))
        embed_texts(str(tiny / "model"), TEXTS, 12, batch_tokens=16)
    total = unit(torch.stack(parts).sum(0).numpy())
    assert total == pytest.approx(by_hand(tiny / "model", TEXTS, 12), abs=2e-6)


@pytest.mark.parametrize("sentences", [False, True], ids=["language model", "sentence model"])
def test_the_first_rank_shows_how_far_it_is(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sentences: bool,
) -> None:
    from dataflex.signals import passes, pooling

    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    # An earlier test may have made the console that is shared, when there was no terminal.
    monkeypatch.setattr(rich, "_console", None)
    for module in (pooling, encoders):
        monkeypatch.setattr(module, "sum_over_ranks", torch.ones_like)
    folder = sentence_model(tiny, tmp_path) if sentences else tiny / "model"
    texts = [text for text in TEXTS if text] * 80
    for rank in range(2):
        for module in (passes, encoders):
            monkeypatch.setattr(module, "world", lambda rank=rank: (rank, 2))
        embed_texts(str(folder), texts, 12, batch_tokens=64, what="rows of the pool")
        assert ("Embedding rows of the pool" in capsys.readouterr().out) == (rank == 0)


@pytest.mark.parametrize("left", [False, True], ids=["right-padded", "left-padded"])
def test_the_model_in_training_gives_the_same_without_its_head(
    tiny: Path, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(tiny / "model").eval()
    texts = [text for text in TEXTS if text]
    rows = [tokenizer(text)["input_ids"][:12] for text in texts]

    def collate(ids: Any) -> dict[str, torch.Tensor]:
        tokenizer.padding_side = "left" if left else "right"
        batch = tokenizer.pad({"input_ids": [rows[i] for i in ids]}, return_tensors="pt")
        return dict(batch) | {"labels": batch["input_ids"]}

    def no_logits(*_: Any, **__: Any) -> None:
        raise AssertionError("the head was called")

    monkeypatch.setattr(model.lm_head, "forward", no_logits)
    lengths = np.array([len(row) for row in rows])
    found = hidden_state_vectors(model, Rows(lengths, lengths, collate), 40)
    assert found == pytest.approx(by_hand(tiny / "model", texts, 12), abs=5e-6)


def test_centred_vectors_have_no_common_direction() -> None:
    rng = np.random.default_rng(0)
    crowded = Embeddings(*(unit(9 + rng.standard_normal((n, 8))) for n in (50, 4)))
    found = centred(crowded)
    assert np.linalg.norm(found.pool.mean(0)) < 0.2 < 0.9 < np.linalg.norm(crowded.pool.mean(0))
    expected = crowded.validation[2] - crowded.pool.mean(0)
    assert found.validation[2] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


@pytest.mark.parametrize(("centre", "moved"), [(None, True), (True, True), (False, False)])
def test_hidden_states_are_centred_unless_told_otherwise(
    tiny: Path, centre: bool | None, moved: bool
) -> None:
    source = EmbeddingSource(model=str(tiny / "model"), centre=centre)
    texts = [text for text in TEXTS if text]
    found = embed(source, lambda: texts, lambda: texts[:2], None, rows=len(texts), validation_rows=2)
    plain = Embeddings(*(embed_texts(str(tiny / "model"), part, 512) for part in (texts, texts[:2])))
    expected = centred(plain) if moved else plain
    assert found.pool == pytest.approx(expected.pool, abs=1e-6)


def test_packed_rows_are_refused(tiny: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny / "model").eval()
    batch = {"input_ids": torch.ones(1, 4, dtype=torch.long), "attention_mask": torch.ones(1, 1, 4, 4)}
    with pytest.raises(UserError, match="neat_packing"):
        hidden_state_vectors(model, Rows(np.array([4]), np.array([4]), lambda ids: dict(batch)), 10)


def test_vectors_are_cached_by_text_model_and_cut(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = encoders.embed_texts
    monkeypatch.setattr(
        embeddings, "embed_texts", lambda *args, **kwargs: calls.append(args) or original(*args, **kwargs)
    )

    def go(texts: list[str], **changes: Any) -> Any:
        source = EmbeddingSource(**{"model": str(tiny / "model"), "max_tokens": 12} | changes)
        return embed(
            source, lambda: texts, lambda: TEXTS[:2], tmp_path / "c", rows=len(texts), validation_rows=2
        )

    first, again = go(TEXTS), go(TEXTS)
    assert len(calls) == 2
    assert np.array_equal(first.pool, again.pool)
    assert np.array_equal(first.validation, first.pool[:2])
    go(TEXTS[::-1])
    assert len(calls) == 3
    go(TEXTS, max_tokens=5)
    assert len(calls) == 5
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_cache_knows_other_weights(tiny: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(tiny / "model", tmp_path / "model")
    before = cache_key(copy, TEXTS, 12)
    assert before == cache_key(tiny / "model", TEXTS, 12)
    weights = copy / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert cache_key(copy, TEXTS, 12) != before
    assert cache_key(tiny / "model", ["ab", "c"], 12) != cache_key(tiny / "model", ["a", "bc"], 12)


def test_files_of_vectors_are_scaled_or_mapped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((9, 4))
    np.save(tmp_path / "pool.npy", unit(raw))
    np.save(tmp_path / "validation.npy", 3 * raw[:2])
    source = EmbeddingSource(
        vectors=str(tmp_path / "pool.npy"), validation_vectors=str(tmp_path / "validation.npy")
    )
    found = embed(source, never, never, None, rows=9, validation_rows=2)
    assert isinstance(found.pool, np.memmap)
    assert np.array_equal(found.pool, unit(raw))
    assert found.validation == pytest.approx(unit(raw[:2]), abs=1e-7)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (np.ones((8, 4)), "8 vectors for 9 rows"),
        (np.ones(9), r"not shape \(9,\)"),
        (np.full((9, 4), np.nan), "not finite, the first is that of row 0"),
        (np.eye(9, 4), "5 vectors are zero or not finite, the first is that of row 4"),
        (np.array(["a"] * 9), "must hold one row of numbers"),
        (np.array([{}] * 9), "not a .npy file of numbers"),
        (np.ones((9, 5)), "5 dimensions, those of validation rows 4"),
        (None, "no file"),
    ],
)
def test_files_that_do_not_fit_are_told(pool: Any, message: str, tmp_path: Path) -> None:
    if pool is not None:
        np.save(tmp_path / "pool.npy", pool, allow_pickle=True)
    np.save(tmp_path / "validation.npy", np.ones((2, 4)))
    source = EmbeddingSource(
        vectors=str(tmp_path / "pool.npy"), validation_vectors=str(tmp_path / "validation.npy")
    )
    with pytest.raises(UserError, match=message) as caught:
        embed(source, never, never, None, rows=9, validation_rows=2)
    assert "\n" not in str(caught.value)


def test_models_that_are_not_there_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with pytest.raises(UserError, match="no folder and no model on the hub 'nobody/nothing'"):
        embed_texts("nobody/nothing", TEXTS, 12)
    with pytest.raises(UserError, match="embedding_model"):
        embed_texts(str(tmp_path), TEXTS, 12)
    (tmp_path / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r"pip install 'dataflex\[embeddings\]'"):
        embed_texts(str(tmp_path), TEXTS, 12)


def sentence_model(tiny: Path, folder: Path) -> Path:
    """Save a sentence-transformers model that takes the mean over the tiny model's tokens."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    word = Transformer(str(tiny / "model"), max_seq_length=64)
    pooling = Pooling(word.get_embedding_dimension(), pooling_mode="mean")
    library.SentenceTransformer(modules=[word, pooling]).save(str(folder / "st"))
    return folder / "st"


def test_a_sentence_transformers_model(tiny: Path, tmp_path: Path) -> None:
    texts = [text for text in TEXTS if text]
    found = embed_texts(str(sentence_model(tiny, tmp_path)), texts, 12)
    assert found == pytest.approx(by_hand(tiny / "model", texts, 12), abs=5e-6)


def test_the_text_of_a_row_and_of_its_parts(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
    prompt, response = tokenizer("What is a mean?")["input_ids"], tokenizer("A sum by n.")["input_ids"]
    end = [tokenizer.eos_token_id]
    rows = Dataset.from_list(
        [
            {
                "input_ids": prompt + response + end,
                "labels": [-100] * len(prompt) + response + end,
                "attention_mask": [1] * (len(prompt) + len(response) + 1),
            }
        ]
    )
    assert row_texts(rows, tokenizer, "all") == ["What is a mean?A sum by n."]
    assert row_texts(rows, tokenizer, "prompt") == ["What is a mean?"]
    assert row_texts(rows, tokenizer, "response") == ["A sum by n."]
    plain = rows.remove_columns("labels")
    assert row_texts(plain, tokenizer, "response") == ["What is a mean?A sum by n."]
    with pytest.raises(UserError, match="no row has a prompt"):
        row_texts(plain, tokenizer, "prompt")


def test_keys_are_of_the_tokens() -> None:
    import hashlib

    rows = Dataset.from_list([{"input_ids": ids} for ids in ([1, 2, 3], [], [1, 2, 3], [7])])
    expected = [
        hashlib.sha256(np.array(ids, "<i8").tobytes()).hexdigest()[:16]
        for ids in ([1, 2, 3], [], [1, 2, 3], [7])
    ]
    assert row_keys(rows) == expected
    assert row_keys(rows.select([3, 0])) == [expected[3], expected[0]]
