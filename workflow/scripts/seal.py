"""Validate what a job made and write its sentinel, last."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hold import Hold

QUESTIONS = ("questions/validation.jsonl", "questions/validation_sft.jsonl", "questions/test.jsonl")
WEIGHTS = ("model*.safetensors", "adapter_model.safetensors", "pytorch_model*.bin")


class NotReadyError(Exception):
    """The job's product is missing or incomplete."""


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise NotReadyError(f"{file} is missing") from None
    except json.JSONDecodeError as error:
        raise NotReadyError(f"{file} is not valid JSON: {error}") from None


def _canonical(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def corpus(folder: Path, published: Sequence[str]) -> dict[str, Any]:
    """Domains and fingerprint of a corpus in the layout of ``dataflex-cli corpus``."""
    if not folder.is_dir():
        where = f" (published as: {'; '.join(published)})" if published else ""
        raise NotReadyError(
            f"corpus {folder} does not exist{where}: name your files with the config key corpus_files, or "
            "put the data there in the layout that `dataflex-cli corpus read` writes"
        )
    card = _json(folder / "card.json")
    splits = ("train", "validation", "test")
    _require(folder, [f"{split}/{domain}.jsonl" for domain in card["domains"] for split in splits])
    _require(folder, ("dataset_info.json", "questions/test.jsonl"))
    _verify(folder, card)
    return {"domains": list(card["domains"]), "fingerprint": fingerprint(card)}


def hub_instructions(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Fingerprint of a corpus of instructions, which has no domain of text."""
    card = _json(folder / "card.json")
    _require(folder, ("dataset_info.json", "instructions.jsonl", *QUESTIONS))
    _verify(folder, card)
    hashes = {part: _hashes(card[part]) for part in ("instructions", "questions")}
    return {"domains": [], "fingerprint": _canonical(hashes)}


def packed(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Domains and fingerprint of a built corpus with the text and questions that lie beside it."""
    card, built = _json(folder / "card.json"), _json(folder / "packed" / "card.json")
    _require(folder, ("dataset_info.json", *QUESTIONS))
    _require(folder, [f"test/{domain}.jsonl" for domain in card["domains"]])
    _verify(folder, card)
    _verify_shards(folder / "packed")
    hashes = {part: _hashes(card[part]) for part in ("domains", "questions")}
    for split, domains in built["statistics"].items():
        for domain in domains:
            index = folder / "packed" / split / domain / "index.json"
            _json(index)
            hashes[f"{split}/{domain}"] = hashlib.sha256(index.read_bytes()).hexdigest()
    return {"domains": list(built["statistics"]["train"]), "fingerprint": _canonical(hashes)}


def _require(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise NotReadyError(f"{folder / name} is missing")


def _verify(folder: Path, card: Any) -> None:
    """Hold every file that a card has a digest of against it: a file may be cut off, or another job's."""
    entries = {
        f"{split}/{domain}.jsonl": entry
        for domain, splits in card.get("domains", {}).items()
        for split, entry in splits.items()
    }
    entries |= {f"questions/{name}.jsonl": entry for name, entry in card.get("questions", {}).items()}
    entries |= {f"{name}.jsonl": entry for name, entry in card.get("data", {}).items()}
    entries |= {"instructions.jsonl": card.get("instructions")}
    digests = {
        name: entry["sha256"]
        for name, entry in entries.items()
        if isinstance(entry, dict) and "sha256" in entry
    }
    _require(folder, list(digests))
    for name, digest in digests.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise NotReadyError(
                    f"{folder / name} is not the file that card.json beside it was written for: remove "
                    f"{folder} and make the corpus again"
                )


def _verify_shards(folder: Path) -> None:
    # Only here: what seals a run has nothing to do with corpora.
    from dataflex.corpus.packed.card import verify_digests
    from dataflex.errors import UserError

    try:
        verify_digests(folder)
    except UserError as error:
        raise NotReadyError(str(error)) from None


def planted(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """What identifies a planted pool: its family, which all seeds share, and its own rows."""
    card = _json(folder / "card.json")
    _require(folder, ("planted.json", "dataset_info.json", *(f"{name}.jsonl" for name in card["data"])))
    _verify(folder, card)
    return {"domains": [], "fingerprint": card["family"], "data": _hashes(card["data"])}


def markov(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Domains of a corpus of Markov chains, its family, which all seeds share, and its own text."""
    card = _json(folder / "card.json")
    files = [f"{split}/{domain}.jsonl" for domain in card["domains"] for split in ("train", "test")]
    _require(folder, ("chains.json", "dataset_info.json", *files))
    _verify(folder, card)
    hashes = _hashes(card["domains"])
    return {"domains": list(card["domains"]), "fingerprint": card["family"], "data": hashes}


def fingerprint(card: Any) -> str:
    """SHA-256 of a corpus, from the hashes in its card: domains' splits, instructions and questions."""
    return _canonical({part: _hashes(card[part]) for part in ("domains", "instructions", "questions")})


def _hashes(entry: Any) -> Any:
    """The ``sha256`` fields below an entry of the card, at their places."""
    if not isinstance(entry, dict):
        return None
    inner = {name: found for name, value in entry.items() if (found := _hashes(value))}
    return {**inner, "sha256": entry["sha256"]} if "sha256" in entry else inner


def model(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Hashes of a model's config and tokenizer, and of its weights where it has been trained."""
    files = ["config.json", "tokenizer.json"]
    for name in files:
        _json(folder / name)
    files += sorted(file.name for file in folder.glob("*.safetensors"))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


def run(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """What identifies a finished run: its manifest says completed and its weights are there."""
    manifest = _json(folder / "manifest.json")
    if manifest.get("status") != "completed":
        raise NotReadyError(f"{folder}: the manifest's status is {manifest.get('status')!r}, not 'completed'")
    weights = sorted(file for name in WEIGHTS for file in folder.glob(name))
    if not weights:
        raise NotReadyError(f"{folder} holds no model and no adapter")
    return {
        "config_hash": manifest["config_hash"],
        "wall_seconds": manifest["wall_seconds"],
        "weights": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in weights},
    }


KINDS: dict[str, Callable[[Path, Sequence[str]], dict[str, Any]]] = {
    "corpus": corpus,
    "hub_instructions": hub_instructions,
    "markov": markov,
    "model": model,
    "packed": packed,
    "planted": planted,
    "run": run,
}


def write(content: dict[str, Any], folder: Path, output: Path) -> None:
    """Write the sentinel of what lies in a folder, whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(output.name + ".tmp")
    with temporary.open("w") as stream:
        stream.write(json.dumps({"folder": str(folder), **content}, indent=2, sort_keys=True) + "\n")
        stream.flush()
        # A loss of power must not leave an empty sentinel, which Snakemake would take for a finished job.
        os.fsync(stream.fileno())
    os.replace(temporary, output)


def close(hold: Hold, find: Callable[[], dict[str, Any]], folder: Path, output: Path) -> int:
    """Validate what a held job made and write its sentinel; how the job ends.

    Args:
        find: validates, and gives the sentinel's content.
    """
    hold.status = 1
    try:
        content = find()
        if not hold.lost:
            write(content, folder, output)
            hold.status = 0
    except (NotReadyError, OSError) as error:
        # The writer that has taken over may be clearing what is validated here: no failure of this job.
        if not hold.lost:
            hold.reason = str(error)
            print(f"error: {error}", file=sys.stderr)
    return hold.status
