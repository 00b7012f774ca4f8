"""The id of a result is a hash of its files' contents and names, and of nothing else."""

import hashlib
import shutil

from results_factory import write_cell, write_picks, write_steps

from dataflex.evidence.results import read_cell
from dataflex.evidence.store.identity import result_id


def expected(folder):
    """What ``sha256sum`` prints of all files, hashed."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in sorted(folder.iterdir())
    ]
    return hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()


def test_the_id_is_that_of_the_digests(tmp_path):
    with_steps = write_cell(tmp_path, method="odm")
    write_steps(with_steps, [0.25, 0.5])
    for folder in (write_cell(tmp_path), write_picks(tmp_path), with_steps):
        assert result_id(read_cell(folder)) == expected(folder)


def test_files_that_are_no_results_do_not_count(tmp_path):
    folder = write_cell(tmp_path)
    before = result_id(read_cell(folder))
    (folder / "notes.txt").write_text("reviewed")
    assert result_id(read_cell(folder)) == before


def test_the_place_does_not_count_and_every_byte_does(tmp_path):
    folder = write_cell(tmp_path / "one")
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "mixture" / folder.name)
    assert result_id(read_cell(copy)) == result_id(read_cell(folder))
    for name in read_cell(folder).files:
        changed = shutil.copytree(folder, tmp_path / f"changed {name}" / "mixture" / folder.name)
        (changed / name).write_text((changed / name).read_text() + "\n")
        assert result_id(read_cell(changed)) != result_id(read_cell(folder)), name
