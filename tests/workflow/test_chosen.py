"""What is said of cells and experiments that were not chosen."""

import pytest

from dataflex import grid as grids
from tests.workflow.test_grid import SMALL


@pytest.mark.parametrize(
    ("path", "part", "message"),
    [
        ("pre/base.tiny.s.seed3", {}, "(seeds 1, 2; experiments all; methods all): add it with --config 'seeds=[1,2,3]'"),
        ("pre/base.tiny.s.seed3", {"seeds": [7]}, "--config 'seeds=[7,3]'"),
        ("pre/base.tiny.s.seed1", {"methods": ["full"]}, "--config 'methods=[full,base]'"),
        ("post/full.tiny.s.seed3", {"experiments": ["pre"]}, "--config 'seeds=[1,2,3]' 'experiments=[pre,post]'"),
        ("pre/bose.tiny.s.seed1", {}, "the methods base, helper, main, the models tiny, big and the scales s, l"),
        ("pre/base", {}, "is called <method>.<model>.<scale>.seed<number>"),
        ("prae/base.tiny.s.seed1", {}, "its experiments are pre, post"),
    ],
)  # fmt: skip
def test_a_cell_that_was_not_chosen_can_be_added(path, part, message):
    told = grids.not_chosen(SMALL, path, **part)
    assert path in told
    assert message in told


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"experiment": "post", "experiments": ["pre"]}, "add it with --config 'experiments=[pre,post]'"),
        ({"experiment": "pre", "methods": ["full"]}, "nothing of pre was chosen by methods=[full]: choose among base, main"),
        ({"experiment": "pre", "experiments": ["pre"], "methods": ["helper"]}, "choose among base, main"),
        ({"methods": ["helper"]}, "nothing of pre, post was chosen by methods=[helper]: choose among base, full, main"),
    ],
)  # fmt: skip
def test_an_experiment_of_which_nothing_is_left(asked, message):
    assert message in grids.nothing_left(SMALL, **asked)
