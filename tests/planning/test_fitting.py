"""Names, ranges and tables of a plan: nothing ambiguous, nothing wider than the terminal."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from dataflex.planning.bounds import awaited, bounded, unbounded
from dataflex.planning.fitting import fitted, put_together
from dataflex.planning.names import Name, short_names, together
from dataflex.planning.order import starts
from dataflex.planning.supply import Job
from dataflex.planning.words import span

WORDS = st.text("abcdefgh", min_size=1, max_size=12)


def cell(experiment: str, method: str, model: str, scale: str, seed: int) -> dict[str, Any]:
    path = f"{experiment}/{method}.{model}.{scale}.seed{seed}"
    return {
        "cell": path,
        "experiment": experiment,
        "method": method,
        "model": model,
        "scale": scale,
        "seed": seed,
    }


@settings(deadline=None, max_examples=50)
@given(st.sets(st.tuples(*(st.sampled_from(names) for names in (("s", "m"), ("a", "b"), ("x", "y"), ("1", "2"))), st.integers(1, 2))))  # fmt: skip
def test_no_two_cells_have_the_same_short_name(places: set[tuple[str, str, str, str, int]]) -> None:
    names = short_names([cell(*place) for place in sorted(places)])
    assert len(set(names.values())) == len(places)
    assert len(set(map(str, names.values()))) == len(places)


def test_what_all_cells_of_a_method_share_is_left_out() -> None:
    cells = [cell("mixture", method, model, scale, 42) for method, model in (("odm", "large"), ("proxy", "small")) for scale in ("6B", "30B")]  # fmt: skip
    assert [str(name) for name in short_names(cells).values()] == [
        "mixture/odm 6B",
        "mixture/odm 30B",
        "mixture/proxy 6B",
        "mixture/proxy 30B",
    ]


def test_names_of_equal_rows_are_put_side_by_side() -> None:
    names = [Name("s", method, rest) for rest in ("x", "y") for method in ("a", "b")]
    assert together(names) == "s/a, b x, y"
    assert together([*names, Name("s", "c", "x")]) == "s/a, b, c x; a, b y"
    many = [Name("s", f"m{number}", "") for number in range(12)]
    assert together(many) == "s/m0, m1, m2, m3, m4, m5, m6 and 5 more"
    rows = put_together({names[0]: ("1",), names[2]: ("2",), names[1]: ("1",)})
    assert rows == [("s/a, b x", ("1",)), ("s/a y", ("2",))]


def printed(table: Any, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue().splitlines()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=5, max_size=5)), min_size=1, max_size=6),
    st.integers(60, 120),
)
def test_a_table_keeps_to_its_width_and_tells_what_it_left_out(
    rows: list[tuple[str, list[str]]], width: int
) -> None:
    heads = ["one", "two", "three", "four", "five"]
    made = fitted("t", "name", rows, heads, width, kept=("one",))
    lines = printed(made.table, width)
    assert max(map(len, lines)) <= width
    notes = " ".join(made.notes)
    for place, head in enumerate(heads):
        assert (head in lines[0]) != (head in notes)
        if head in lines[0]:
            assert all(any(cells[place] in line for line in lines) for _, cells in rows)
    assert "one" in lines[0]


def test_the_last_columns_go_first() -> None:
    rows = [("name", ["a" * 20, "b" * 20, "c" * 20]), ("other", ["d" * 20, "e" * 20, "f" * 20])]
    made = fitted("t", "n", rows, ["one", "two", "three"], 60)
    assert made.notes == ("no room for three (a wider terminal, or --json)",)
    kept = fitted("t", "n", rows, ["one", "two", "three"], 60, kept=("three",))
    assert kept.notes == ("no room for two (a wider terminal, or --json)",)


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [
        *((104.2, 128.2, "104 to 128 h"), (0, 24, "0 to 24 h"), (5.04, 5.04, "5.0 h"), (0, 0, "0 s")),
        *((9.4 / 60, 1.16, "9.4 min to 1.2 h"), (104.2, 104.3, "104 h"), (9595, 13051, "9,595 to 13,051 h")),
    ],
)
def test_ranges_are_said_so(least: float, most: float, said: str) -> None:
    assert span(least, most) == said


CHAIN = [
    Job("asset a", "asset", estimated=False),
    Job("corpus c", "corpus", ("asset a",), limit_hours=4.0, estimated=False),
    Job("check c", "check", ("corpus c",), hours=0.5),
    Job("train t", "train", ("check c",), 1, hours=2.0),
    Job("train u", "train", ("train t", "corpus c"), 1, hours=1.0),
    Job("train v", "train", (), 1, hours=1.0),
]


def test_unknown_hours_are_bounded_by_the_limit() -> None:
    assert [job.hours for job in bounded(CHAIN)] == [0, 4, 0.5, 2, 1, 1]
    assert [job.hours for job in bounded(CHAIN, {"corpus c"})] == [0, 0, 0.5, 2, 1, 1]
    assert [job.name for job in unbounded(CHAIN)] == ["asset a"]


def test_what_a_job_waits_for_is_a_training_or_what_is_made_before_it() -> None:
    most = bounded(CHAIN)
    assert awaited(most, starts(most)) == {
        "asset a": None,
        "corpus c": None,
        "check c": "corpus c",
        "train t": "corpus c",
        "train u": "train t",
        "train v": None,
    }
