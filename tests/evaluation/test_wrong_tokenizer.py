"""Negative control: a model that was trained with one tokenizer and is evaluated with another."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from dataflex.evaluation.evaluate import evaluate
from dataflex.evidence.coherence import troubles
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import read_results
from dataflex.evidence.store.schema import misfits


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


def trained_again(model: Path, folder: Path) -> Path:
    """A model of its own with the right tokenizer: the first one's weights a percent larger."""
    shutil.copytree(model, folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.01)
    network.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_wrong_tokenizer(model, corpus, result, tmp_path):
    others = {2: permuted(model, tmp_path / "wrong"), 3: trained_again(model, tmp_path / "again")}
    file(result, tmp_path / "results", 1)
    for seed, other in others.items():
        evaluate(other, corpus, tmp_path / f"evaluation{seed}", quiet=True)
        file(tmp_path / f"evaluation{seed}", tmp_path / "results", seed)
    found = read_results(tmp_path / "results")
    assert all(list(contradictions(cell)) == [] for cell in found)
    # What an evaluation writes has the form of the newest version.
    assert {cell.metrics["schema"] for cell in found} == {2}
    assert not [told for cell in found for told in misfits(cell) if told.startswith("metrics.json")]
    (told,) = troubles(found)
    assert told[0].seed == 2
    assert told[1] == "it was evaluated with another tokenizer than most cells of its model"
