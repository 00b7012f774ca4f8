"""Phases in closed form, against a walk over every step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.engine.schedule import Schedule, make_schedule, run_steps
from dataflex.errors import UserError

schedules = st.builds(
    Schedule,
    warmup_step=st.integers(0, 7),
    update_step=st.integers(1, 6),
    update_times=st.integers(-1, 4),
    total_steps=st.integers(1, 60),
    repeats=st.booleans(),
)


@given(schedules)
def test_phases_cover_every_step_once_and_agree_with_phase_at(schedule: Schedule) -> None:
    phases = list(schedule.phases())
    assert [p.start for p in phases] == [0, *(p.stop for p in phases[:-1])]
    assert phases[-1].stop == schedule.total_steps
    for phase in phases:
        for step in range(phase.start, phase.stop):
            assert schedule.phase_at(step) == phase
    updates = [phase.update for phase in phases if phase.name == "update"]
    assert updates == list(range(len(updates)))


def test_the_papers_selection_schedule() -> None:
    total = run_steps(
        {"select": (100, 50, 30)}, train_step=0, max_steps=-1, epochs=1, rows=100_000, batch_rows=8
    )
    schedule = make_schedule("select", 100, 50, 30, total)
    assert total == 1600
    assert [s for s in range(total) if schedule.decides_at(s)] == list(range(100, 1600, 50))


def test_selection_starts_a_new_cycle_and_a_mixture_is_kept() -> None:
    cycle = [2, 4, 8, 10]
    select = make_schedule("select", 2, 2, 2, 12)
    assert [s for s in range(12) if select.decides_at(s)] == cycle
    assert [s for s in range(12) if select.restarts_at(s)] == [0, 6]
    mix = make_schedule("mix", 2, 2, 2, 12)
    assert [s for s in range(12) if mix.decides_at(s)] == [2, 4]
    assert mix.phase_at(11).stop == 12


def test_weights_are_decided_at_every_step_after_the_warmup() -> None:
    schedule = make_schedule("weight", 3, 0, 1, 6)
    assert [s for s in range(6) if schedule.decides_at(s)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("kinds", "given_steps", "expected"),
    [
        ({"select": (10, 10, 2)}, {}, 90),
        ({"mix": (10, 10, 2)}, {}, 30),
        ({"mix": (10, 10, -1)}, {}, 3 * 13),
        ({"weight": (10, 0, 1)}, {}, 3 * 13),
        ({"select": (10, 10, 2)}, {"train_step": 7}, 7),
        ({"select": (10, 10, 2)}, {"max_steps": 9}, 9),
        ({"weight": (10, 0, 1)}, {"drop_last": True}, 3 * 12),
    ],
)
def test_length_of_a_run(kinds: dict, given_steps: dict, expected: int) -> None:
    keys = {"train_step": 0, "max_steps": -1} | given_steps
    assert run_steps(kinds, epochs=3, rows=100, batch_rows=8, **keys) == expected


def test_contradicting_lengths_are_refused() -> None:
    with pytest.raises(UserError, match="keep one of the two"):
        run_steps({}, train_step=5, max_steps=6, epochs=1, rows=10, batch_rows=1)


@pytest.mark.parametrize(("warmup", "update"), [(10, 5), (2, 0)])
def test_a_schedule_that_never_decides_is_refused(warmup: int, update: int) -> None:
    with pytest.raises(UserError, match=r"warmup_step|update_step"):
        make_schedule("select", warmup, update, 1, 10)
