import pytest

from dataflex.errors import UserError
from dataflex.evidence.regret import best_by_seed, regret

STATIC = {"one": {1: 2.0, 2: 1.5}, "two": {1: 1.75, 2: 1.75}}


def test_the_best_is_chosen_in_each_seed():
    best = best_by_seed(STATIC)
    assert best == {1: ("two", 1.75), 2: ("one", 1.5)}
    assert regret({1: 2.0, 2: 1.25}, best) == {1: 0.25, 2: -0.25}
    assert regret({2: 1.5}, best) == {2: 0.0}


def test_a_choice_of_the_yardstick_is_never_better_than_its_best():
    best = best_by_seed(STATIC)
    regrets = [regret(losses, best) for losses in STATIC.values()]
    assert all(min(values[seed] for values in regrets) == 0 for seed in (1, 2))


def test_of_equal_choices_the_first_by_name():
    assert best_by_seed({"b": {1: 1.0}, "a": {1: 1.0}}) == {1: ("a", 1.0)}


def test_what_can_not_be_compared_is_told():
    with pytest.raises(UserError, match="two lacks seed 3"):
        best_by_seed({"one": {1: 1.0, 3: 1.0}, "two": {1: 1.0}})
    with pytest.raises(UserError, match="at least one static"):
        best_by_seed({})
    with pytest.raises(UserError, match="lacks seed 7"):
        regret({7: 1.0}, best_by_seed(STATIC))
