"""Half a cell in a run's folder keeps nothing from the others; in the store it is an error."""

import pytest
from results_factory import write_mixture, write_picks, write_study

from dataflex.errors import UserError
from dataflex.evidence import digests
from dataflex.evidence.results import FILES, read_results
from dataflex.evidence.store.admission import add
from dataflex.evidence.unfinished import left_out, read_finished


def test_cells_that_lack_any_file_are_left_out_and_named(tmp_path):
    write_study(tmp_path, seeds=(1,))
    write_picks(tmp_path)
    write_mixture(tmp_path)
    whole = read_results(tmp_path)
    assert read_finished(tmp_path) == (whole, ())
    for result in whole:
        for name in FILES[result.kind]:
            content = (result.folder / name).read_bytes()
            (result.folder / name).unlink()
            others = [other for other in whole if other is not result]
            assert read_finished(tmp_path) == (others, (result.path,)), name
            (result.folder / name).write_bytes(content)


def test_a_cell_that_was_only_collected_is_left_out_whatever_it_is_about(tmp_path):
    """Until it is marked nothing tells it from a cell about a model."""
    write_study(tmp_path, seeds=(1,))
    folder = write_picks(tmp_path)
    for name in ("selection.json", "picks.csv"):
        (folder / name).unlink()
    results, unfinished = read_finished(tmp_path)
    assert (len(results), unfinished) == (7, ("planted/less.tiny.pool.seed1",))


def test_reviewed_results_and_those_to_be_taken_in_are_read_strictly(tmp_path):
    study = write_study(tmp_path / "study", seeds=(1,))
    (study / "mixture/natural.tiny.harvest.seed1/metrics.json").unlink()
    with pytest.raises(UserError, match=r"metrics.json is missing"):
        add(study, tmp_path / "store")
    digests.write(study)
    with pytest.raises(UserError, match=r"metrics.json is missing"):
        read_finished(study)


def test_where_no_cell_is_finished_there_is_nothing_to_show(tmp_path):
    for summary in write_study(tmp_path, seeds=(1,)).glob("*/*/metrics.json"):
        summary.unlink()
    with pytest.raises(UserError, match="no finished cell: its 7 are"):
        read_finished(tmp_path)


def test_many_are_told_in_one_line(tmp_path):
    assert "1 cell is not finished and left out: a/b (" in left_out(tmp_path, ["a/b"])
    told = left_out(tmp_path, [f"a/{name}" for name in "bcdef"])
    assert "5 cells are not finished and left out: a/b, a/c, a/d and 2 more (" in told
    assert "\n" not in told
