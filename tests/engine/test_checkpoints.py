"""Which checkpoints count as whole, and which are kept."""

import shutil
from pathlib import Path

import pytest

from dataflex.engine.checkpoints import is_complete, remove_old, seal, step_of, unseal
from dataflex.errors import UserError
from dataflex.host.resume import resume_point, set_aside_later

FILES = {"model.safetensors": "weights", "optimizer.pt": "moments", "dataflex/state.json": "{}"}


def checkpoint(run: Path, step: int) -> Path:
    folder = run / f"checkpoint-{step}"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    seal(folder, resumable=True)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_short_or_missing_makes_it_incomplete(tmp_path: Path, name: str) -> None:
    checkpoint(tmp_path, 3)
    for damage in (lambda file: file.write_text(file.read_text()[:-1]), Path.unlink):
        newest = checkpoint(tmp_path, 6)
        assert resume_point(None, tmp_path, overwrite=False, total_steps=20) == newest
        damage(newest / name)
        assert not is_complete(newest)
        assert resume_point(None, tmp_path, overwrite=False, total_steps=20) == tmp_path / "checkpoint-3"


@pytest.mark.parametrize("content", ["", '{"files": {"model.saf', "[]", '{"files": null}', "{}"])
def test_a_damaged_seal_is_none(tmp_path: Path, content: str) -> None:
    folder = checkpoint(tmp_path, 3)
    (folder / "dataflex/complete.json").write_text(content)
    assert not is_complete(folder)


def test_a_checkpoint_that_is_written_again_is_not_whole_meanwhile(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 3)
    unseal(folder)
    assert not is_complete(folder)
    (folder / "optimizer.pt").write_text("other moments")
    seal(folder, resumable=True)
    assert is_complete(folder)


def test_a_model_alone_is_kept_but_not_resumed_from(tmp_path: Path) -> None:
    checkpoint(tmp_path, 3)
    for step in (6, 9):
        seal(checkpoint(tmp_path, step), resumable=False)
    assert resume_point(None, tmp_path, overwrite=False, total_steps=20) == tmp_path / "checkpoint-3"
    with pytest.raises(UserError, match="save_only_model"):
        resume_point(str(tmp_path / "checkpoint-9"), tmp_path, overwrite=False, total_steps=20)
    # After the last step there is nothing to go on with.
    assert resume_point(None, tmp_path, overwrite=False, total_steps=9) == tmp_path / "checkpoint-9"
    remove_old(tmp_path, 2, None)
    assert names(tmp_path) == ["checkpoint-3", "checkpoint-9"]
    remove_old(tmp_path, 1, None)
    assert names(tmp_path) == ["checkpoint-3", "checkpoint-9"]


def test_folders_of_other_names_are_no_checkpoints(tmp_path: Path) -> None:
    aside = checkpoint(tmp_path, 3).rename(tmp_path / "abandoned-checkpoint-3-2")
    best = checkpoint(tmp_path, 4).rename(tmp_path / "best")
    assert step_of(aside) == 3
    assert resume_point(None, tmp_path, overwrite=False, total_steps=20) is None
    with pytest.raises(UserError, match="its name must be checkpoint-<step>"):
        resume_point(str(best), tmp_path, overwrite=False, total_steps=20)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (3, 6, 9, 12):
        checkpoint(tmp_path, step)
    remove_old(tmp_path, None, None)
    remove_old(tmp_path, 0, None)
    assert len(names(tmp_path)) == 4
    remove_old(tmp_path, 3, None)
    assert names(tmp_path) == ["checkpoint-12", "checkpoint-6", "checkpoint-9"]
    remove_old(tmp_path, 2, str(tmp_path / "checkpoint-6"))
    assert names(tmp_path) == ["checkpoint-12", "checkpoint-6"]
    remove_old(tmp_path, 1, str(tmp_path / "checkpoint-6"))
    assert names(tmp_path) == ["checkpoint-12", "checkpoint-6"]
    remove_old(tmp_path, 1, None)
    assert names(tmp_path) == ["checkpoint-12"]


def test_half_removed_ones_take_no_place(tmp_path: Path) -> None:
    for step in (3, 6, 9):
        checkpoint(tmp_path, step)
    unseal(tmp_path / "checkpoint-6")
    remove_old(tmp_path, 2, None)
    assert names(tmp_path) == ["checkpoint-3", "checkpoint-9"]


def test_of_what_was_never_whole_one_is_left(tmp_path: Path) -> None:
    three = checkpoint(tmp_path, 3)
    for _ in range(3):
        unseal(checkpoint(tmp_path, 6))
        set_aside_later(tmp_path, three)
    assert names(tmp_path) == ["abandoned-checkpoint-6", "checkpoint-3"]
    # One that was whole is nobody's to throw away.
    for _ in range(2):
        checkpoint(tmp_path, 9)
        set_aside_later(tmp_path, three)
    assert names(tmp_path)[:3] == [
        "abandoned-checkpoint-6",
        "abandoned-checkpoint-9",
        "abandoned-checkpoint-9-2",
    ]
    # Until the run has a checkpoint again.
    checkpoint(tmp_path, 12)
    remove_old(tmp_path, None, None)
    assert names(tmp_path) == [
        "abandoned-checkpoint-9",
        "abandoned-checkpoint-9-2",
        "checkpoint-12",
        "checkpoint-3",
    ]
    for place in (three, tmp_path / "checkpoint-12"):
        shutil.rmtree(place)
    assert resume_point(None, tmp_path, overwrite=False, total_steps=20) is None
