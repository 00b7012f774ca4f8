"""Validate what a job made and write its sentinel, last. Exits 1 with one line when something is missing."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
    for domain in card["domains"]:
        for split in ("train", "validation", "test"):
            if not (folder / split / f"{domain}.jsonl").is_file():
                raise NotReadyError(f"{folder / split / domain}.jsonl is missing")
    for name in ("dataset_info.json", "questions/test.jsonl"):
        if not (folder / name).is_file():
            raise NotReadyError(f"{folder / name} is missing")
    return {"domains": list(card["domains"]), "fingerprint": fingerprint(card)}


def hub_instructions(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Fingerprint of a corpus of instructions, which has no domain of text."""
    card = _json(folder / "card.json")
    _require(folder, ("dataset_info.json", "instructions.jsonl", *QUESTIONS))
    hashes = {part: _hashes(card[part]) for part in ("instructions", "questions")}
    return {"domains": [], "fingerprint": _canonical(hashes)}


def packed(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Domains and fingerprint of a built corpus with the text and questions that lie beside it."""
    card, built = _json(folder / "card.json"), _json(folder / "packed" / "card.json")
    _require(folder, ("dataset_info.json", *QUESTIONS))
    _require(folder, [f"test/{domain}.jsonl" for domain in card["domains"]])
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


def planted(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """What identifies a planted pool: its family, which all seeds share, and its own rows."""
    card = _json(folder / "card.json")
    for name in ("planted.json", "dataset_info.json", *(f"{name}.jsonl" for name in card["data"])):
        if not (folder / name).is_file():
            raise NotReadyError(f"{folder / name} is missing")
    return {"domains": [], "fingerprint": card["family"], "data": _hashes(card["data"])}


def markov(folder: Path, _: Sequence[str]) -> dict[str, Any]:
    """Domains of a corpus of Markov chains, its family, which all seeds share, and its own text."""
    card = _json(folder / "card.json")
    files = [f"{split}/{domain}.jsonl" for domain in card["domains"] for split in ("train", "test")]
    for name in ("chains.json", "dataset_info.json", *files):
        if not (folder / name).is_file():
            raise NotReadyError(f"{folder / name} is missing")
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


def main() -> None:
    """Command line: ``seal.py KIND FOLDER --output SENTINEL``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--published", nargs="*", default=[])
    arguments = parser.parse_args()
    try:
        content = KINDS[arguments.kind](arguments.folder, arguments.published)
    except NotReadyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    write(content, arguments.folder, arguments.output)


if __name__ == "__main__":
    main()
