"""LESS's choice among scores that are given: subtasks, ties, missing scores, the top."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataflex.engine.component import Context
from dataflex.errors import UserError
from dataflex.registry import build

At = Callable[..., Context]


def less(**params: Any) -> Any:
    return build("select", "less", params)


def test_the_best_subtask_counts_and_ties_go_to_the_lower_id(at: At) -> None:
    scores = np.array([[0.1, 0.5], [0.5, 0.0], [np.nan, np.nan], [0.2, 0.3], [-1.0, -2.0]])
    context = at()
    assert less().pick(scores, context, 3).tolist() == [0, 1, 3]
    assert less().pick(scores, context, 9).tolist() == [0, 1, 3, 4]
    assert context.notes["scores"] == pytest.approx([0.5, 0.5, np.nan, 0.3, -1.0], nan_ok=True)


def test_rows_of_the_phase_are_drawn_from_the_top(at: At) -> None:
    scores = -np.arange(100.0)[:, None]
    share, count = less(top=0.1), less(top=10.0)
    assert sorted(share.pick(scores, at(), 20)) == list(range(10))
    drawn = count.pick(scores, at(5), 4)
    assert set(drawn) <= set(range(10))
    assert drawn.tolist() == share.pick(scores, at(5), 4).tolist()
    assert drawn.tolist() != share.pick(scores, at(6), 4).tolist()


def test_a_subtask_that_the_validation_set_lacks_is_refused(at: At) -> None:
    less(validation_subtask="subject").check(at().facts)
    with pytest.raises(UserError, match="no column 'topic', only dataset, subject"):
        less(validation_subtask="topic").check(at().facts)
