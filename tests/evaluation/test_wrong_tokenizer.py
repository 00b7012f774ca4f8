"""Negative control: a model that was trained with one tokenizer and is evaluated with another."""

import json
import shutil
from pathlib import Path

import pytest

from dataflex.evaluation.evaluate import evaluate
from dataflex.evidence.coherence import troubles
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import read_results


def file(evaluation: Path, root: Path, seed: int) -> None:
    """Put an evaluation among the results of a grid, as if the model had been trained there."""
    folder = root / "mixture" / f"natural.tiny.harvest.seed{seed}"
    shutil.copytree(evaluation, folder)
    cell = {"experiment": "mixture", "method": "natural", "model": "tiny", "scale": "harvest", "seed": seed}
    config = {"seed": seed}
    manifest = {"seed": seed, "decisions": {}, "config_hash": config_hash(config, {})}
    content = {"cell": cell, "start": None, "corpus": "c", "config": config, "manifest": manifest}
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "curve.csv").write_text(f"step,tokens,loss\n1,1,{seed}\n")
    (folder / "shares.csv").write_text("step,domain,tokens,asked,weight\n")


def permuted(model: Path, folder: Path) -> Path:
    """The model with a tokenizer that cuts text alike and calls every piece by another number."""
    shutil.copytree(model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = {token["content"] for token in tokenizer["added_tokens"]}
    vocabulary = tokenizer["model"]["vocab"]
    pieces = [piece for piece in vocabulary if piece not in special]
    numbers = [vocabulary[piece] for piece in pieces]
    vocabulary.update(zip(pieces, numbers[1:] + numbers[:1], strict=True))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.slow
def test_a_wrong_tokenizer(model, corpus, result, tmp_path):
    evaluate(permuted(model, tmp_path / "wrong"), corpus, tmp_path / "evaluation", quiet=True)
    for seed, evaluation in ((1, result), (2, tmp_path / "evaluation"), (3, result)):
        file(evaluation, tmp_path / "results", seed)
    # Seed 3 has nothing but another loss, so that it counts as a model of its own here.
    documents = tmp_path / "results/mixture/natural.tiny.harvest.seed3/documents.jsonl"
    documents.write_text(documents.read_text() + "\n")
    questions = documents.with_name("questions.jsonl")
    questions.write_text(questions.read_text() + "\n")
    found = read_results(tmp_path / "results")
    assert all(list(contradictions(cell)) == [] for cell in found)
    (told,) = troubles(found)
    assert told[0].seed == 2
    assert told[1] == "it was evaluated with another tokenizer than the cells beside it"
