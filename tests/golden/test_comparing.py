"""The comparison alone: what passes, what doesn't, and what a tolerance is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.errors import UserError
from dataflex.golden.comparing import BITS, compare
from dataflex.golden.entry import FEW, Entry, summary
from dataflex.golden.golden_file import Golden, Run, labels, read_golden
from dataflex.golden.tolerances import MARGIN, ROUNDING, tolerances

SCORES = np.random.default_rng(0).normal(size=200)


def run_of(scores: np.ndarray = SCORES, picks: tuple[int, ...] = (3, 1, 2)) -> Run:
    ids = np.array(picks)
    return {
        "scores": Entry.of("scores", [scores[:50], scores[50:]]),
        "picks": Entry.of("picks", [ids.astype("<i8")]),
        "loss": Entry.of("loss", [np.array([2.5]), np.array([2.25])]),
    }


def golden_of(*repeats: Run) -> Golden:
    recorded = run_of()
    return Golden("select.x", {}, {}, [], dict(recorded), tolerances(recorded, repeats))


def test_the_same_bits_pass_everywhere() -> None:
    for bitwise in (True, False):
        assert compare(golden_of(), run_of(), bitwise=bitwise) == []


def test_one_bit_is_enough_on_the_recorded_platform() -> None:
    scores = SCORES.copy()
    scores[7] = np.nextafter(scores[7], 9)
    (found,) = compare(golden_of(), run_of(scores), bitwise=True)
    assert (found.quantity, found.verdict, found.value) == ("scores", "differs", BITS)
    assert compare(golden_of(), run_of(scores), bitwise=False) == []


def test_one_per_cent_is_out_elsewhere_though_no_pick_changes() -> None:
    golden = golden_of(run_of(SCORES * (1 + 1e-5)))
    assert compare(golden, run_of(SCORES * (1 + 5e-5)), bitwise=False) == []
    (found,) = compare(golden, run_of(SCORES * 1.01), bitwise=False)
    assert found.quantity == "scores"
    assert found.verdict == "out"
    assert abs(found.value - found.expected) > found.tolerance > 0


@given(place=st.integers(0, len(SCORES) - 1))
def test_a_change_of_a_single_score_is_seen(place: int) -> None:
    scores = SCORES.copy()
    scores[place] += 0.01
    assert [one.quantity for one in compare(golden_of(), run_of(scores), bitwise=False)] == ["scores"]


def test_a_tolerance_is_the_margin_times_the_largest_difference_seen() -> None:
    recorded, repeats = run_of(), [run_of(SCORES * (1 + shift)) for shift in (2e-5, -4e-5)]
    spreads = [
        max(abs(np.subtract(recorded["scores"].values, repeat["scores"].values))) for repeat in repeats
    ]
    found = tolerances(recorded, repeats)["scores"]
    assert found.spread == pytest.approx(max(spreads), rel=1e-2)
    assert found.allowed == pytest.approx(MARGIN * max(spreads), rel=1e-2)


def test_where_repeats_agree_single_precision_is_allowed() -> None:
    found = tolerances(run_of(), [run_of()])
    assert found["scores"].allowed == pytest.approx(ROUNDING * np.sqrt(np.mean(SCORES**2)), rel=1e-2)
    assert found["loss"].allowed < 1e-4 * 2.25


def test_decisions_are_equal_or_not() -> None:
    for bitwise in (True, False):
        (found,) = compare(golden_of(), run_of(picks=(3, 2, 1)), bitwise=bitwise)
        assert (found.quantity, found.value, found.expected, found.verdict) == ("picks", 2, 1, "differs")


def test_decisions_that_varied_are_left_to_their_scores() -> None:
    golden = golden_of(run_of(picks=(3, 2, 1)))
    assert golden.tolerances["picks"].varies
    assert compare(golden, run_of(picks=(9, 9, 9)), bitwise=False) == []
    assert [one.quantity for one in compare(golden, run_of(picks=(9, 9, 9)), bitwise=True)] == ["picks"]
    assert compare(golden, run_of(SCORES * 1.01, picks=(9, 9, 9)), bitwise=False)


@pytest.mark.parametrize("bitwise", [True, False])
def test_what_lacks_never_passes(bitwise: bool) -> None:
    less = {name: entry for name, entry in run_of().items() if name != "loss"}
    (found,) = compare(golden_of(), less, bitwise=bitwise)
    assert (found.quantity, found.verdict) == ("loss", "missing")
    (found,) = compare(golden_of(), {**run_of(), "more": run_of()["loss"]}, bitwise=bitwise)
    assert (found.quantity, found.verdict) == ("more", "not recorded")


def test_nan_in_the_place_of_a_number_never_passes() -> None:
    scores = SCORES.copy()
    scores[0] = np.nan
    (found,) = compare(golden_of(), run_of(scores), bitwise=False)
    assert (found.quantity, found.value) == ("scores", "199 numbers")
    (found,) = compare(golden_of(), run_of(np.full(200, np.inf)), bitwise=False)
    assert found.value == "0 numbers"


def test_a_summary_is_in_the_unit_of_the_numbers() -> None:
    small, large = summary("x", SCORES), summary("x", 1000 * SCORES)
    np.testing.assert_allclose(large, 1000 * small, rtol=1e-12)
    mean, rms, least, _, median, _, most, *signed = small
    assert (least, most, median) == (SCORES.min(), SCORES.max(), np.median(SCORES))
    assert mean == pytest.approx(SCORES.mean())
    assert rms == pytest.approx(np.linalg.norm(SCORES) / np.sqrt(200))
    # Sums with signs that have nothing to do with the numbers are of the size of one of them.
    assert np.all(np.abs(signed) < 4 * rms)
    assert len(set(signed)) == len(signed)


def test_few_values_are_kept_themselves() -> None:
    assert Entry.of("few", [np.arange(FEW) / 2]).values == tuple(np.arange(FEW) / 2)
    assert Entry.of("texts", ["a", "b"]).values == ("a", "b")
    assert Entry.of("many", [np.arange(FEW + 1)]).values == ()


def test_the_digest_knows_shapes_and_order() -> None:
    flat, bent = np.arange(6.0), np.arange(6.0).reshape(2, 3)
    digests = {
        Entry.of("x", found).digest
        for found in (
            [flat],
            [bent],
            [flat[:3], flat[3:]],
            [flat[::-1]],
            [flat.astype("<i8")],
            ["ab", "c"],
            ["a", "bc"],
        )
    }
    assert len(digests) == 7


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    golden = replace(golden_of(run_of(picks=(3, 2, 1))), platform={"machine": "m"}, repeats=["two threads"])
    golden.write(tmp_path)
    assert read_golden(tmp_path, golden.label) == golden
    assert labels(tmp_path) == [golden.label]
    assert read_golden(tmp_path, "select.y") is None


@pytest.mark.parametrize("harm", [lambda text: text[:-20], lambda text: text.replace('"digest"', '"dig"')])
def test_a_file_that_was_harmed_is_refused(tmp_path: Path, harm) -> None:
    golden_of().write(tmp_path)
    file = tmp_path / "select.x.json"
    file.write_text(harm(file.read_text()))
    with pytest.raises(UserError, match="record it anew"):
        read_golden(tmp_path, "select.x")
