"""What a grid takes from a mirror or the hub is verified, locked, and held to the lock."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids
from dataflex.assets.choice import choose
from dataflex.assets.hub import explained
from dataflex.assets.lock import Entry, File, beside, put, read_lock
from dataflex.assets.resolve import resolve
from dataflex.assets.whole import lacking
from dataflex.errors import UserError

from .conftest import note_commit
from .hub_server import COMMIT, Hub

ROOT = Path(__file__).resolve().parent.parent.parent
OTHER = "b" * 40


def take(asset, tmp_path, mirror=None, **options):
    return resolve(
        asset, tmp_path / "cache", tmp_path / "grid.lock.yaml", mirror=mirror, quiet=True, **options
    )


def flip(file: Path) -> None:
    """Change one bit of a file and nothing else of it."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_mirrors_model_is_taken_locked_and_loads(asset, mirror, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = take(asset, tmp_path, mirror)
    assert (found.origin, found.entry.revision) == ("mirror", COMMIT)
    names = {path.name for path in found.folder.iterdir()}
    assert names == set(found.entry.files)
    assert "model.safetensors" in names
    # Neither code nor a pickle comes along.
    assert not {"modeling_own.py", "pytorch_model.bin"} & names
    for name, file in found.entry.files.items():
        content = (mirror / "models/org/small" / name).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    locked = yaml.safe_load((tmp_path / "grid.lock.yaml").read_text())["assets"]["models/org/small"]
    assert locked == found.entry.as_dict()
    assert AutoModelForCausalLM.from_pretrained(found.folder).num_parameters() > 10_000
    assert AutoTokenizer.from_pretrained(found.folder).eos_token == "<|im_end|>"


def test_what_lies_in_the_cache_is_not_taken_again(asset, mirror, tmp_path):
    first = take(asset, tmp_path, mirror)
    before = (tmp_path / "grid.lock.yaml").read_bytes()
    again = take(asset, tmp_path, None)
    assert (again.origin, again.entry) == ("cache", first.entry)
    assert (tmp_path / "grid.lock.yaml").read_bytes() == before
    # A file that came to lie beside it would be loaded, too.
    (first.folder / "extra.safetensors").write_bytes(b"x")
    assert take(asset, tmp_path, mirror).origin == "mirror"
    assert not (first.folder / "extra.safetensors").exists()
    # A mirror that tells no commit does not make the lock forget it.
    shutil.rmtree(mirror / "models/org/small/.cache")
    shutil.rmtree(first.folder)
    assert take(asset, tmp_path, mirror).entry == first.entry


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_one_flipped_bit_is_caught(asset, mirror, tmp_path, name):
    take(asset, tmp_path, mirror)
    flip(mirror / "models/org/small" / name)
    with pytest.raises(UserError, match=f"{name} has SHA-256 .* damaged or another version"):
        take(asset, tmp_path, mirror)


def test_a_cut_off_file_is_caught_by_its_size(asset, mirror, tmp_path):
    take(asset, tmp_path, mirror)
    file = mirror / "models/org/small/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model.safetensors has \d+ bytes, not \d+"):
        take(asset, tmp_path, mirror)


def test_a_file_more_or_less_is_another_version(asset, mirror, tmp_path):
    take(asset, tmp_path, mirror)
    shutil.rmtree(tmp_path / "cache")
    extra = mirror / "models/org/small/extra.safetensors"
    extra.write_bytes(b"x")
    with pytest.raises(UserError, match=r"extra.safetensors is not in the lock file"):
        take(asset, tmp_path, mirror)
    extra.unlink()
    (mirror / "models/org/small/generation_config.json").unlink()
    with pytest.raises(UserError, match=r"generation_config.json is missing"):
        take(asset, tmp_path, mirror)


def test_another_revision_is_refused(asset, mirror, tmp_path):
    note_commit(mirror / "models/org/small", OTHER)
    with pytest.raises(UserError, match=f"holds revision {OTHER}, and {COMMIT} is asked for"):
        take(asset, tmp_path, mirror)
    # The grid against the lock.
    put(tmp_path / "grid.lock.yaml", asset.name, Entry(OTHER, {}))
    with pytest.raises(UserError, match=f"asks for revision {COMMIT}, .* holds {OTHER}: correct"):
        take(asset, tmp_path, mirror)


def test_a_folder_of_two_commits_is_refused(asset, mirror, tmp_path):
    note = mirror / "models/org/small/.cache/huggingface/download/config.json.metadata"
    note.write_text(f"{OTHER}\n")
    with pytest.raises(UserError, match="mixes commits"):
        take(asset, tmp_path, mirror)


def test_an_unpinned_revision_is_decided_by_the_first_taking(asset, mirror, tmp_path):
    loose = replace(asset, revision="main")
    assert take(loose, tmp_path, mirror).entry.revision == COMMIT
    shutil.rmtree(tmp_path / "cache")
    note_commit(mirror / "models/org/small", OTHER)
    with pytest.raises(UserError, match=f"holds revision {OTHER}, and {COMMIT}"):
        take(loose, tmp_path, mirror)
    assert take(loose, tmp_path, mirror, update=True).entry.revision == OTHER


def test_a_mirror_that_tells_no_commit_claims_none(asset, mirror, tmp_path):
    shutil.rmtree(mirror / "models/org/small/.cache")
    first = take(asset, tmp_path, mirror)
    assert (first.entry.revision, first.entry.asked) == (None, COMMIT)
    assert (
        take(asset, tmp_path, mirror).entry
        == first.entry
        == read_lock(tmp_path / "grid.lock.yaml")[asset.name]
    )
    # Of a grid that is changed afterwards, the files are not what it asks for.
    later = replace(asset, revision=OTHER)
    with pytest.raises(UserError, match=f"asks for revision {OTHER}.* taken for {COMMIT}.* lock anew"):
        take(later, tmp_path, mirror)
    assert take(later, tmp_path, mirror, update=True).entry.asked == OTHER
    take(replace(asset, revision="main"), tmp_path, mirror, update=True)
    with pytest.raises(UserError, match="taken for main"):
        take(asset, tmp_path, mirror)


def test_a_commit_that_nobody_told_is_warned_of(mirror, small_grid, tmp_path):
    words = ("assets", "resolve", small_grid[0], "--root", tmp_path / "run", "--mirror", mirror)
    assert "warning" not in cli(*words).stderr
    beside(small_grid[0]).unlink()
    shutil.rmtree(mirror / "models/org/small/.cache")
    shutil.rmtree(tmp_path / "run")
    for _ in range(2):
        told = cli(*words)
        assert told.returncode == 0, told.stderr
        assert "warning: models/org/small: nobody told the revision" in told.stderr


def of_the_client(mirror, tmp_path):
    """The mirror's model as the hub's client keeps it in its own cache."""
    repository = tmp_path / "hub/models--org--small"
    (repository / "blobs").mkdir(parents=True)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    for path in (mirror / "models/org/small").glob("*.*"):
        if path.is_file():
            shutil.copy(path, repository / "blobs" / path.name)
            (repository / "snapshots" / COMMIT / path.name).symlink_to(f"../../blobs/{path.name}")
    return repository


@pytest.mark.parametrize("pinned", [True, False])
def test_the_clients_own_cache_serves_as_a_mirror(asset, mirror, tmp_path, pinned):
    repository = of_the_client(mirror, tmp_path)
    found = take(asset if pinned else replace(asset, revision="main"), tmp_path, tmp_path / "hub")
    assert (found.origin, found.entry.revision) == ("mirror", COMMIT)
    assert (found.folder / "model.safetensors").resolve() == (
        repository / "blobs/model.safetensors"
    ).resolve()


@pytest.mark.parametrize("locked", [True, False])
def test_what_the_client_keeps_in_part_is_taken_from_the_hub(asset, mirror, tmp_path, monkeypatch, locked):
    place, folder = mirror / "models/org/small", tmp_path / "cache/models/org/small"
    if locked:
        take(asset, tmp_path, mirror)
        shutil.rmtree(folder)
    repository = of_the_client(mirror, tmp_path)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (repository / "snapshots" / COMMIT / name).unlink()
    with pytest.raises(UserError, match=r"does not hold all of .*; .* the hub can't be reached"):
        take(asset, tmp_path, tmp_path / "hub")
    assert (tmp_path / "grid.lock.yaml").exists() == locked
    fill_from(place, monkeypatch)
    found = take(asset, tmp_path, tmp_path / "hub")
    assert (found.origin, "model.safetensors" in found.entry.files) == ("hub", True)


def test_a_cache_that_is_named_as_its_own_mirror_is_completed(asset, mirror, tmp_path, monkeypatch):
    place, folder = mirror / "models/org/small", tmp_path / "cache/models/org/small"
    shutil.copytree(place, folder)
    (folder / "model.safetensors").unlink()
    fill_from(place, monkeypatch)
    assert take(asset, tmp_path, tmp_path / "cache").origin == "hub"
    assert (folder / "model.safetensors").is_file()


def break_off(place: Path, what: str) -> None:
    """Leave a model's folder as an incomplete copy does."""
    weights = place / "model.safetensors"
    if what == "index":
        shards = {"a": "first.safetensors", "b": "second.safetensors"}
        (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
        weights.rename(place / "first.safetensors")
    elif what == "row":
        weights.rename(place / "model-00002-of-00003.safetensors")
    elif what == "weights":
        weights.unlink()
        (place / "pytorch_model.bin").unlink()
    else:
        (place / ".cache/huggingface/download/x.incomplete").write_bytes(b"half")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("index", "second.safetensors is missing, which model.safetensors.index.json names"),
        ("row", "model-00001-of-00003.safetensors is missing, and 1 more"),
        ("weights", "it has no weights"),
        ("download", "a download into it has not ended"),
    ],
)
def test_an_incomplete_mirror_is_not_locked(asset, mirror, tmp_path, what, told):
    break_off(mirror / "models/org/small", what)
    with pytest.raises(
        UserError, match=f"does not hold all of models/org/small: {told}.* hf download org/small"
    ):
        take(asset, tmp_path, mirror)
    assert not (tmp_path / "grid.lock.yaml").exists()
    assert not (tmp_path / "cache").exists()


def test_what_the_grid_leaves_out_is_not_missed(asset, mirror, tmp_path):
    break_off(mirror / "models/org/small", "weights")
    (mirror / "models/org/small/model.safetensors.index.json").write_text('{"weight_map": {"a": "b"}}')
    found = take(replace(asset, files=("*.json",)), tmp_path, mirror)
    assert "model.safetensors.index.json" in found.entry.files


def test_numbered_parts_of_a_data_set(tmp_path):
    rows = grids.Asset("datasets", "org/rows")
    names = [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert lacking(rows, tmp_path, names) is None
    assert lacking(rows, tmp_path, names[:2]) == "train-00002-of-00003.parquet is missing"
    assert lacking(rows, tmp_path, [f"x-{n:05d}-of-00002.json" for n in (1, 2)]) is None
    # A grid may want one part of many.
    assert lacking(replace(rows, files=("train-00000*",)), tmp_path, names[:1]) is None


def another_name_of(cache: Path, way: str) -> Path:
    """A mirror that is the cache in truth."""
    if way == "relative":
        return Path(os.path.relpath(cache))
    if way == "links to files":
        for path in (cache / "models/org/small").iterdir():
            if path.is_file():
                link = cache.parent / "links/models/org/small" / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
        return cache.parent / "links"
    (cache.parent / "link").symlink_to(cache)
    return cache.parent / "link"


@pytest.mark.parametrize("lock_is_lost", [True, False])
@pytest.mark.parametrize("way", ["relative", "link", "links to files"])
def test_a_mirror_that_is_the_cache_itself_loses_nothing(asset, mirror, tmp_path, way, lock_is_lost):
    (tmp_path / "cache").mkdir()
    (mirror / "models").rename(tmp_path / "cache/models")
    folder = tmp_path / "cache/models/org/small"
    for name in ("modeling_own.py", "pytorch_model.bin"):
        (folder / name).unlink()
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    place = another_name_of(tmp_path / "cache", way)
    found = take(asset, tmp_path, place)
    if lock_is_lost:
        (tmp_path / "grid.lock.yaml").unlink()
        assert take(asset, tmp_path, place).entry.files == found.entry.files
    assert (found.origin, found.folder) == ("cache", folder)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_a_mirror_with_some_files_of_the_cache_is_refused(asset, mirror, tmp_path):
    take(asset, tmp_path, mirror)
    folder, place = tmp_path / "cache/models/org/small", mirror / "models/org/small"
    (folder / "model.safetensors").unlink()
    (place / "model.safetensors").rename(folder / "model.safetensors")
    (place / "model.safetensors").symlink_to(folder / "model.safetensors")
    (folder / "extra.txt").write_text("x")
    with pytest.raises(UserError, match=r"model.safetensors leads into the cache.* put the file itself"):
        take(asset, tmp_path, mirror)
    assert (folder / "model.safetensors").stat().st_size > 10_000


def test_links_take_the_place_of_files_when_they_are_all_there(asset, mirror, tmp_path, monkeypatch):
    folder = tmp_path / "cache/models/org/small"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(os, "symlink", full)
    with pytest.raises(UserError, match="links to the mirror can't be made"):
        take(asset, tmp_path, mirror)
    assert [path.name for path in folder.parent.rglob("*")] == ["small", "model.safetensors"]
    monkeypatch.undo()
    take(asset, tmp_path, mirror)
    assert (folder / "model.safetensors").resolve() == (
        mirror / "models/org/small/model.safetensors"
    ).resolve()
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("whole", [True, False])
def test_the_hubs_client_does_not_write_through_links(asset, mirror, tmp_path, monkeypatch, whole):
    place, folder = mirror / "models/org/small", tmp_path / "cache/models/org/small"
    take(asset, tmp_path, mirror)
    if whole:
        shutil.rmtree(folder)
        folder.symlink_to(place)
    (folder / "extra.safetensors").write_bytes(b"x")
    before = sorted(place.iterdir())

    fill_from(place, monkeypatch)
    assert take(asset, tmp_path).origin == "hub"
    assert sorted(place.iterdir()) == before
    assert not (folder / "extra.safetensors").exists()


def fill_from(place, monkeypatch):
    """A hub that gives the files of a folder, but none called extra, and its client."""

    def download(asset, commit, names, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            assert not (folder / name).is_symlink()
            shutil.copy(place / name, folder / name)

    names = [path.name for path in place.iterdir() if path.is_file() and path.stem != "extra"]
    monkeypatch.setattr("dataflex.assets.hub.look_up", lambda *_: (COMMIT, names))
    monkeypatch.setattr("dataflex.assets.hub.download", download)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_checksums_of_the_grid_hold_before_anything_is_locked(asset, mirror, tmp_path):
    strict = replace(asset, sha256={"config.json": "0" * 64})
    with pytest.raises(UserError, match=r"config.json has SHA-256 .* the grid asks for 0000"):
        take(strict, tmp_path, mirror)
    assert not (tmp_path / "grid.lock.yaml").exists()


def test_pickles_are_taken_only_when_told_to(asset, mirror, tmp_path):
    (mirror / "models/org/small/model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pickles alone .* say `pickle: true`"):
        take(asset, tmp_path, mirror)
    found = take(replace(asset, pickle=True), tmp_path, mirror)
    assert "pytorch_model.bin" in found.entry.files
    assert "modeling_own.py" not in found.entry.files


def test_choice_of_files():
    model = grids.Asset("models", "a/b")
    names = [
        "model.safetensors",
        "consolidated.safetensors",
        "original/params.json",
        "config.json",
        ".cache/x.json",
        "run.py",
    ]
    assert choose(model, names) == ["config.json", "model.safetensors"]
    assert choose(replace(model, files=("config.json",)), names) == ["config.json"]
    with pytest.raises(UserError, match=r"no file train/\*"):
        choose(replace(model, files=("train/*",)), names)
    with pytest.raises(UserError, match="no file that could be taken"):
        choose(model, ["run.py"])


def test_a_damaged_lock_file_is_told(tmp_path):
    file = tmp_path / "x.lock.yaml"
    file.write_text("assets: [")
    with pytest.raises(UserError, match="no lock file"):
        read_lock(file)
    file.write_text("schema: 9\nassets: {}\n")
    with pytest.raises(UserError, match="schema 9"):
        read_lock(file)


def test_entries_written_at_the_same_time_are_all_kept(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    file = tmp_path / "x.lock.yaml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(file, f"models/o/{n}", Entry(None, {"f": File(n, "0" * 64)})), range(24)))
    assert {name: entry.bytes for name, entry in read_lock(file).items()} == {
        f"models/o/{n}": n for n in range(24)
    }


def cli(*words, **environment):
    kept = {
        k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN")
    }
    return subprocess.run(
        [sys.executable, "-m", "dataflex.cli", *map(str, words)],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def hub(mirror, tmp_path):
    """The mirror's files, served as the hub serves them."""
    served = tmp_path / "served"
    shutil.copytree(mirror, served, ignore=shutil.ignore_patterns(".cache"))
    found = Hub(served)
    yield found
    found.close()


def test_the_hubs_own_client_takes_a_model_and_the_lock_holds_it(hub, small_grid, tmp_path):
    file, _ = small_grid
    environment = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    words = (
        "assets",
        "resolve",
        file,
        "--root",
        tmp_path / "run",
        "--only",
        "small",
        "--output",
        tmp_path / "ready.json",
    )
    done = cli(*words, **environment)
    assert done.returncode == 0, done.stderr
    assert "from the hub" in done.stdout
    folder = tmp_path / "run/assets/models/org/small"
    ready = json.loads((tmp_path / "ready.json").read_text())
    assert (ready["revision"], ready["folder"]) == (COMMIT, str(folder))
    locked = read_lock(beside(file))["models/org/small"]
    assert ready["sha256"] == {name: entry.sha256 for name, entry in locked.files.items()}
    assert not (folder / "pytorch_model.bin").exists()
    assert not (folder / "modeling_own.py").exists()
    # Without a network the cache is enough; a flipped bit in it is told.
    offline = cli("assets", "verify", file, "--root", tmp_path / "run", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    flip(folder / "model.safetensors")
    broken = cli("assets", "verify", file, "--root", tmp_path / "run", HF_HUB_OFFLINE="1")
    assert broken.returncode == 2
    assert "model.safetensors has SHA-256" in broken.stdout
    # What an older revision left is not loaded: the client fetches again, and nothing else stays.
    (folder / "old.safetensors").write_bytes(b"x")
    (folder / "model.safetensors").unlink()
    repaired = cli(*words, **environment)
    assert repaired.returncode == 0, repaired.stderr
    assert not (folder / "old.safetensors").exists()
    flip(folder / "model.safetensors")
    # What the client left can serve as a mirror on another machine.
    flip(folder / "model.safetensors")
    again = cli(
        "assets", "resolve", file, "--root", tmp_path / "other", DATAFLEX_MIRROR=str(tmp_path / "run/assets")
    )
    assert again.returncode == 0, again.stderr
    assert f"from the mirror, revision {COMMIT}" in again.stdout


def test_a_gated_model_is_explained_and_no_token_is_written(hub, small_grid, tmp_path):
    file, write = small_grid
    write(gated=True, licence="small-licence")
    hub.gated = ("org/small",)
    environment = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_very_secret",
    }
    refused = cli("assets", "resolve", file, "--root", tmp_path / "run", **environment)
    assert refused.returncode == 2
    for part in (
        "org/small is gated",
        "small-licence",
        "https://huggingface.co/org/small",
        "hf auth login",
        "HF_TOKEN",
        "<mirror>/models/org/small",
    ):
        assert part in refused.stderr
    assert "hf_very_secret" not in refused.stderr + refused.stdout
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"hf_very_secret" not in path.read_bytes()
    assert not beside(file).exists()


def test_without_network_and_mirror_the_ways_out_are_told(small_grid, tmp_path):
    file, _ = small_grid
    refused = cli("assets", "resolve", file, "--root", tmp_path / "run", HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    assert "the hub can't be reached" in refused.stderr
    assert "DATAFLEX_MIRROR" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_not_taken_for_a_lost_network(asset):
    with pytest.raises(UserError, match="no room is left"):
        explained(asset, full)


def test_names_that_the_grid_does_not_take(small_grid, tmp_path):
    refused = cli("assets", "resolve", small_grid[0], "--only", "smal")
    assert refused.returncode == 2
    assert "--only smal: the grid takes nothing" in refused.stderr
    missing = cli("assets", "resolve", small_grid[0], "--mirror", tmp_path / "no")
    assert "the mirror" in missing.stderr


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        ({"revision": "v1"}, "revision"),
        ({"revision": "main"}, "models.small.hub"),
        ({"pinned": False}, "models.small.hub"),
        ({"repo": "small"}, "repo"),
    ],
)
def test_a_grid_names_a_commit_or_says_that_it_does_not(small_grid, hub, message):
    file, write = small_grid
    write(**hub)
    with pytest.raises(grids.GridError, match=message):
        grids.load(file)
    write(revision="main", pinned=False)
    assert not grids.assets(grids.load(file))["models/org/small"].pinned
