import shutil
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids

from .hub_server import COMMIT


@pytest.fixture
def mirror(tiny, tmp_path):
    """A mirror with the tiny model, as the hub's client leaves it, and files that must not be taken."""
    folder = tmp_path / "mirror" / "models" / "org" / "small"
    shutil.copytree(tiny / "model", folder)
    (folder / "modeling_own.py").write_text("raise SystemExit('code of the repository was run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    note_commit(folder, COMMIT)
    return tmp_path / "mirror"


def note_commit(folder: Path, commit: str) -> None:
    """Leave what ``hf download --local-dir`` leaves beside the files."""
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file():
            (notes / f"{path.name}.metadata").write_text(f"{commit}\netag\n0.0\n")


@pytest.fixture
def small_grid(tmp_path):
    """A grid file that takes the mirror's model at its commit; a function that changes the model's `hub`."""
    file = tmp_path / "small.yaml"

    def write(**hub):
        content = {
            "schema": 1,
            "rung": "small",
            "seeds": [1],
            "corpora": {"text": {"source": "directory", "path": "nowhere"}},
            "models": {"small": {"hub": {"repo": "org/small", "revision": COMMIT, **hub}}},
            "experiments": {
                "one": {
                    "models": ["small"],
                    "scales": {"only": {"corpus": "text"}},
                    "methods": {"plain": {"config": {}}},
                }
            },
        }
        file.write_text(yaml.safe_dump(content))
        return file

    write()
    return file, write


@pytest.fixture
def asset(small_grid):
    """The asset of the small grid."""
    return grids.assets(grids.load(small_grid[0]))["models/org/small"]
