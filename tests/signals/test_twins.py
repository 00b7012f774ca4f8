"""Equal rows are found, and measured alike."""

import datasets
import numpy as np

from dataflex.signals.twins import as_the_first, twins


def test_rows_of_the_same_tokens_and_labels_are_twins() -> None:
    tokens = [[1, 2, 3], [4], [1, 2, 3], [1, 2], [1, 2, 3], [4], [1, 2, 3]]
    alone = twins(datasets.Dataset.from_dict({"input_ids": tokens}))
    assert len(set(alone.tolist())) == 3
    labels = [[-100, 2, 3], [4], [-100, 2, 3], [1, 2], [-100, -100, 3], [4], [-100, 2, -100]]
    found = twins(datasets.Dataset.from_dict({"input_ids": tokens, "labels": labels}))
    same = found[:, None] == found
    expected = np.eye(7, dtype=bool)
    for one, other in ((0, 2), (1, 5)):
        expected[one, other] = expected[other, one] = True
    np.testing.assert_array_equal(same, expected)


def test_a_twin_gets_what_the_first_has() -> None:
    values = np.array([[0.3, 1.0], [np.nan, 2.0], [0.3 + 1e-9, 5.0], [0.1, 4.0]])
    found = as_the_first(values, np.array([7, 2, 7, 3]))
    np.testing.assert_array_equal(found, values[[0, 1, 0, 3]])
