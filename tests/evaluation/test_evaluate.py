"""Every number of an evaluation against one that is computed here from the model's logits."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dataflex.corpus.questions import heading, read_questions
from dataflex.errors import UserError
from dataflex.evaluation import perplexity
from dataflex.evaluation.evaluate import evaluate
from dataflex.evaluation.perplexity import DocumentOutcome

from .conftest import CONTEXT, SUBJECTS


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def metrics(result: Path) -> dict:
    return json.loads((result / "metrics.json").read_text())


@pytest.fixture(scope="module")
def network(model):
    return AutoModelForCausalLM.from_pretrained(model).eval()


@pytest.fixture(scope="module")
def tokenizer(model):
    return AutoTokenizer.from_pretrained(model)


@torch.no_grad()
def letter_logliks(network, tokenizer, prompt: str) -> list[float]:
    """Log-probability of " A" .. " D" after the prompt, cut on the left to the model's context."""
    found = []
    for letter in "ABCD":
        whole = tokenizer.encode(f"{prompt} {letter}")
        context = tokenizer.encode(prompt)
        answer = whole[len(context) :]
        sequence = torch.tensor([(context + answer)[-(CONTEXT + 1) :]])
        logits = network(sequence[:, :-1]).logits.log_softmax(-1)
        targets = sequence[0, -len(answer) :]
        found.append(
            sum(float(logits[0, -len(answer) + place, token]) for place, token in enumerate(targets))
        )
    return found


@torch.no_grad()
def document_loglik(network, tokenizer, text: str, window: int = CONTEXT) -> tuple[float, int]:
    """Total log-probability in windows that share nothing but one token of context, and the token count."""
    tokens = tokenizer.encode(text)
    sequence = [tokenizer.eos_token_id, *tokens]
    total = 0.0
    start = 0
    while start < len(tokens):
        # The last window reaches back over tokens that were scored, to be as long as the others.
        end = min(start + window, len(tokens))
        first = max(0, end - window) if start else 0
        inputs = torch.tensor([sequence[first:end]])
        logits = network(inputs).logits.log_softmax(-1)[0]
        total += sum(float(logits[place - first, tokens[place]]) for place in range(start, end))
        start = end
    return total, len(tokens)


def test_questions_against_a_direct_forward_pass(result, corpus, network, tokenizer):
    asked = read_questions(corpus / "questions" / "test.jsonl")
    found = rows(result / "questions.jsonl")
    assert [row["subject"] for row in found] == [question.subject for question in asked]
    assert len({row["id"] for row in found}) == len(asked) == sum(SUBJECTS.values())
    for row, question in zip(found, asked, strict=True):
        expected = letter_logliks(network, tokenizer, heading(question.subject) + question.prompt())
        assert row["logliks"] == pytest.approx(expected, abs=1e-3)
        assert row["gold"] == question.answer
        assert row["choice"] == expected.index(max(expected))
        assert row["correct"] == (row["choice"] == question.answer)


def test_mmlu_summary(result):
    score, found = metrics(result)["mmlu"], rows(result / "questions.jsonl")
    n = len(found)
    correct = Counter(row["subject"] for row in found if row["correct"])
    by_subject = {subject: correct[subject] / count for subject, count in SUBJECTS.items()}
    nlls = [
        -math.log(math.exp(row["logliks"][row["gold"]]) / sum(map(math.exp, row["logliks"]))) for row in found
    ]
    assert score["n"] == n
    assert score["answer_nll"] == pytest.approx(sum(nlls) / n)
    assert score["acc"] == pytest.approx(sum(correct.values()) / n)
    assert score["acc"] == pytest.approx(sum(by_subject[name] * SUBJECTS[name] for name in SUBJECTS) / n)
    assert score["macro_acc"] == pytest.approx(sum(by_subject.values()) / len(SUBJECTS))
    assert {name: entry["acc"] for name, entry in score["subjects"].items()} == by_subject
    assert {name: entry["n"] for name, entry in score["subjects"].items()} == SUBJECTS
    stem = (correct["anatomy"] + correct["astronomy"]) / (SUBJECTS["anatomy"] + SUBJECTS["astronomy"])
    assert score["groups"] == pytest.approx({"stem": stem, "humanities": by_subject["philosophy"]})
    assert score["stderr"] == pytest.approx(math.sqrt(score["acc"] * (1 - score["acc"]) / n))
    assert score["at_chance"] == (abs(score["acc"] - 0.25) <= 2 * math.sqrt(0.25 * 0.75 / n))


def test_documents_against_a_direct_forward_pass(result, corpus, network, tokenizer):
    found = rows(result / "documents.jsonl")
    place = 0
    for domain in ("numbers", "prose"):
        for number, document in enumerate(rows(corpus / "test" / f"{domain}.jsonl")):
            row, text = found[place], document["text"]
            place += 1
            loglik, tokens = document_loglik(network, tokenizer, text)
            assert (row["id"], row["domain"]) == (f"{domain}/{number}", domain)
            assert row["tokens"] == tokens
            assert row["bytes"] == len(text.encode())
            assert row["loglik"] == pytest.approx(loglik, rel=1e-5)
    assert place == len(found)
    assert max(row["tokens"] for row in found) > 2 * CONTEXT


def test_perplexity_summary(result):
    parts, found = metrics(result)["perplexity"], rows(result / "documents.jsonl")
    assert set(parts) == {"numbers", "prose", "all"}
    for name, part in parts.items():
        chosen = [row for row in found if name in ("all", row["domain"])]
        loglik = sum(row["loglik"] for row in chosen)
        assert part["documents"] == len(chosen)
        for unit in ("token", "word", "byte"):
            total = sum(row[f"{unit}s"] for row in chosen)
            assert part[f"{unit}s"] == total
            if part[unit] is not None:
                assert math.log(part[unit]) == pytest.approx(-loglik / total)
        assert part["bits_per_byte"] == pytest.approx(-loglik / math.log(2) / part["bytes"])


def test_windows_are_as_long_as_asked_for(result, model, corpus, tmp_path, network, tokenizer):
    """A model from scratch may have more positions than it was trained on."""
    found = evaluate(model, corpus, tmp_path / "short", context=40, quiet=True)
    assert found["protocol"]["context_length"] == 40
    assert found["protocol_hash"] != metrics(result)["protocol_hash"]
    texts = [row["text"] for name in ("numbers", "prose") for row in rows(corpus / f"test/{name}.jsonl")]
    for row, text in zip(rows(tmp_path / "short/documents.jsonl"), texts, strict=True):
        assert row["loglik"] == pytest.approx(document_loglik(network, tokenizer, text, 40)[0], rel=1e-5)


def test_batch_size_changes_nothing_but_rounding(result, model, corpus, tmp_path):
    evaluate(model, corpus, tmp_path / "one", batch_size=1, quiet=True)
    for name, key in (("questions.jsonl", "logliks"), ("documents.jsonl", "loglik")):
        for one, eight in zip(rows(tmp_path / "one" / name), rows(result / name), strict=True):
            assert one["id"] == eight["id"]
            assert one[key] == pytest.approx(eight[key], rel=1e-5, abs=1e-4)
    assert metrics(tmp_path / "one")["protocol_hash"] != metrics(result)["protocol_hash"]


def test_second_evaluation_sees_changed_data(result, model, corpus, tmp_path):
    """The data sets library keeps copies by path; ours must never be an old one."""
    changed = tmp_path / "corpus"
    shutil.copytree(corpus, changed)
    path = changed / "questions" / "test.jsonl"
    lines = rows(path)
    for row in lines:
        row["choices"].reverse()
        row["answer"] = 3 - row["answer"]
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    evaluate(model, changed, result.parent / "changed", documents_per_domain=2, quiet=True)
    found = metrics(result.parent / "changed")
    assert [row["gold"] for row in rows(result.parent / "changed" / "questions.jsonl")] == [
        3 - row["gold"] for row in rows(result / "questions.jsonl")
    ]
    assert found["protocol_hash"] != metrics(result)["protocol_hash"]
    assert found["perplexity"]["prose"]["documents"] == found["perplexity"]["numbers"]["documents"] == 2
    kept = {row["id"]: row["loglik"] for row in rows(result / "documents.jsonl")}
    for row in rows(result.parent / "changed" / "documents.jsonl"):
        assert row["loglik"] == pytest.approx(kept[row["id"]], rel=1e-5)


def test_shots_put_validation_questions_into_the_prompt(model, corpus, tmp_path, network, tokenizer):
    evaluate(model, corpus, tmp_path / "shots", shots=1, documents_per_domain=1, quiet=True)
    examples = {}
    for question in read_questions(corpus / "questions" / "validation.jsonl"):
        examples.setdefault(question.subject, question)
    asked = read_questions(corpus / "questions" / "test.jsonl")
    for row, question in zip(rows(tmp_path / "shots" / "questions.jsonl"), asked, strict=True):
        example = examples[question.subject]
        prompt = (
            f"{heading(question.subject)}{example.prompt()} {'ABCD'[example.answer]}\n\n{question.prompt()}"
        )
        assert row["logliks"] == pytest.approx(letter_logliks(network, tokenizer, prompt), abs=1e-3)


def test_adapter_is_merged_into_its_base(model, corpus, result, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "not/there"}))
    with pytest.raises(UserError, match="--base-model"):
        evaluate(tmp_path / "adapter", corpus, tmp_path / "out", quiet=True)
    evaluate(
        tmp_path / "adapter",
        corpus,
        tmp_path / "out",
        base_model=str(model),
        documents_per_domain=1,
        quiet=True,
    )
    merged = adapted.merge_and_unload().eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    asked = read_questions(corpus / "questions" / "test.jsonl")
    for row, question in zip(rows(tmp_path / "out" / "questions.jsonl"), asked, strict=True):
        expected = letter_logliks(merged, tokenizer, heading(question.subject) + question.prompt())
        assert row["logliks"] == pytest.approx(expected, abs=1e-3)
    assert rows(tmp_path / "out" / "questions.jsonl") != rows(result / "questions.jsonl")


def test_nothing_is_left_behind(result, corpus):
    assert sorted(path.name for path in result.iterdir()) == [
        "documents.jsonl",
        "metrics.json",
        "questions.jsonl",
    ]


def test_files_in_use_are_not_beside_the_output(model, corpus, tmp_path, monkeypatch):
    """`datasets` maps them: a folder on NFS that holds one can't be removed, and no result would be written."""
    node, shared = tmp_path / "node", tmp_path / "shared"
    node.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(node))
    removed = os.rmdir

    def on_nfs(path, *args, **kwargs):
        if "evaluate-" in str(path) or kwargs.get("dir_fd") is not None:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        removed(path, *args, **kwargs)

    monkeypatch.setattr(os, "rmdir", on_nfs)
    evaluate(model, corpus, shared / "out", quiet=True, documents=False)
    assert (shared / "out/metrics.json").is_file()
    assert [path.name for path in shared.iterdir()] == ["out"]


def natural(found, shares):
    return perplexity.summarise(found, shares)["natural"]


def test_the_corpus_own_mixture_weighs_domains_by_their_tokens():
    found = [
        DocumentOutcome("a/0", "a", -60.0, tokens=30, words=20, bytes=100),
        DocumentOutcome("a/1", "a", -20.0, tokens=10, words=10, bytes=50),
        DocumentOutcome("b/0", "b", -900.0, tokens=1000, words=500, bytes=3000),
    ]
    parts = perplexity.summarise(found)
    assert set(parts) == {"a", "b", "all"}
    units = ("token", "word", "byte", "bits_per_byte")
    scored = perplexity.natural_shares({"a": 40, "b": 1000}, ["b", "a"])
    assert scored == {"a": 40 / 1040, "b": 1000 / 1040}
    for shares, name in ((scored, "all"), ({"a": 1.0, "b": 0.0}, "a"), ({"b": 1.0}, "b")):
        assert natural(found, shares) == pytest.approx({unit: parts[name][unit] for unit in units})
    # A book of a thousand tokens weighs no more than its domain does.
    half = natural(found, {"a": 0.5, "b": 0.5})
    assert math.log(half["token"]) == pytest.approx((80 / 40 + 900 / 1000) / 2)
    assert half["bits_per_byte"] == pytest.approx((2 + 0.9) / (150 / 40 + 3) / math.log(2))


def test_the_corpus_says_its_mixture(model, corpus, tmp_path, result):
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps(card | {"train_tokens": {"numbers": 300, "prose": 100}}))
    found = evaluate(model, copy, tmp_path / "out", quiet=True)
    read = [DocumentOutcome(**row) for row in rows(tmp_path / "out" / "documents.jsonl")]
    assert found["protocol"]["perplexity"]["shares"] == {"numbers": 0.75, "prose": 0.25}
    assert found["perplexity"]["natural"] == natural(read, {"numbers": 0.75, "prose": 0.25})
    assert found["protocol_hash"] != metrics(result)["protocol_hash"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch-size"),
        ({"context": 1}, "--context"),
        ({"context": CONTEXT + 1}, f"{CONTEXT} positions"),
        ({"shots": -1}, "--shots"),
        ({"shots": 3}, "--shots 3 needs"),
        ({"documents_per_domain": 0}, "--documents-per-domain"),
        ({"base_model": "x"}, "full model"),
    ],
)
def test_impossible_options(model, corpus, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(model, corpus, tmp_path / "out", quiet=True, **options)
    assert not (tmp_path / "out").exists()


def test_wrong_folders(model, corpus, tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        evaluate(tmp_path / "none", corpus, tmp_path / "out")
    with pytest.raises(UserError, match="neither a model"):
        evaluate(corpus, corpus, tmp_path / "out")
    with pytest.raises(UserError, match="not a corpus"):
        evaluate(model, tmp_path, tmp_path / "out")


def test_unknown_subject(model, corpus, tmp_path):
    changed = tmp_path / "corpus"
    shutil.copytree(corpus, changed)
    with (changed / "questions" / "test.jsonl").open("a") as file:
        file.write('{"question": "q", "subject": "alchemy", "choices": ["a", "b", "c", "d"], "answer": 0}\n')
    with pytest.raises(UserError, match="'alchemy' is not one of MMLU's 57 subjects"):
        evaluate(model, changed, tmp_path / "out", quiet=True)
