import json

import numpy as np
import pytest

from dataflex.errors import UserError
from dataflex.evidence.shares import Stretch, of_run, read, trajectories, weighs, write

STRETCHES = [
    Stretch(5, "a", 30, 20.0, None),
    Stretch(5, "b", 10, 20.0, None),
    Stretch(9, "a", 10, 5.0, 3.0),
    Stretch(9, "b", 10, 15.0, 1.0),
]


def test_what_was_written_is_read(tmp_path):
    write(STRETCHES, tmp_path / "shares.csv")
    assert read(tmp_path / "shares.csv") == STRETCHES
    write([], tmp_path / "shares.csv")
    assert read(tmp_path / "shares.csv") == []


def test_a_trajectory_is_of_weights_where_there_are_some(tmp_path):
    found = trajectories(STRETCHES)
    assert list(found) == ["a", "b"]
    steps, shares = found["a"]
    assert steps.tolist() == [5, 9]
    np.testing.assert_allclose(shares, [0.5, 0.75])
    np.testing.assert_allclose(found["b"][1], [0.5, 0.25])
    assert weighs(STRETCHES)
    assert not weighs(STRETCHES[:2])


def test_a_run_that_mixed_nothing_has_no_stretches(tmp_path):
    assert of_run(tmp_path) == []
    line = {"step": 5, "domain": "a", "loss": 1.0, "loss_tokens": 4, "share_asked": None}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    assert of_run(tmp_path) == []


@pytest.mark.parametrize("text", ["", "step,domain\n", "step,domain,tokens,asked,weight\n5,a,x,1.0,\n"])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "shares.csv").write_text(text)
    with pytest.raises(UserError, match=r"shares\.csv"):
        read(tmp_path / "shares.csv")
