"""The sentences of the summary, each beside results of known numbers."""

import pytest
from results_factory import write_cell, write_mixture, write_picks

from dataflex.evidence.results import read_results
from dataflex.report.findings import judged, planted, planted_mixture, trained


def test_the_best_and_the_worst_selector_are_named_with_their_precision(tmp_path):
    for method, precision in (("random", 0.3), ("near", 0.6), ("less", 0.9), ("nice", 0.9)):
        for seed in (1, 2):
            write_picks(tmp_path, method, seed, precision + (0.05 if seed == 2 else -0.05), n=20)
    (found,) = planted.findings("demo", read_results(tmp_path))
    assert "precision is best with LESS and NICE, 0.90 [" in found.said
    assert "worst with NEAR, 0.60 [" in found.said
    assert "Random picking: 0.30 [" in found.basis
    assert found.anchor == "table-demo-planted"
    drawn = planted.drawing("demo", read_results(tmp_path))
    assert [line.name for line, _ in drawn.lines][-1] == "Random"


def test_who_can_not_be_told_from_random_picking_is_named(tmp_path):
    for method, precision in (("random", 0.5), ("near", 0.5), ("less", 1.0)):
        write_picks(tmp_path, method, 1, precision)
    (found,) = planted.findings("demo", read_results(tmp_path))
    assert found.said.startswith("1 of 2 selectors can be told from random picking")
    assert "Not told: NEAR." in found.basis


def test_mixers_are_ordered_by_their_regret(tmp_path):
    for method, excess in (("natural", 0.5), ("odm", 0.3), ("uniform", 0.4), ("static_easy", 0.2)):
        for seed in (1, 2):
            write_mixture(tmp_path, method, seed, excess=excess, yardstick=method.startswith("static"))
    found = list(planted_mixture.findings("demo", read_results(tmp_path)))
    order = [found[0].basis.index(name) for name in ("ODM", "Uniform", "Natural (baseline)")]
    assert order == sorted(order)
    assert found[0].said.startswith("ODM comes nearest to the best static mixture, with a regret of 0.1")
    assert "Natural (baseline) stays furthest, with 0.3" in found[0].said


def test_without_a_yardstick_there_is_no_regret(tmp_path):
    for method in ("natural", "odm"):
        write_mixture(tmp_path, method, 1, excess=0.3)
    assert list(planted_mixture.findings("demo", read_results(tmp_path))) == []
    assert planted_mixture.drawing("demo", read_results(tmp_path)) is None


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_mixtures_are_compared_with_the_baseline_only_over_several_seeds(tmp_path, seeds):
    for method in ("natural", "odm"):
        for seed in seeds:
            write_cell(tmp_path, method=method, seed=seed)
    accuracy, *rest = trained.findings("demo", read_results(tmp_path))
    assert accuracy.anchor == "table-demo-mixture"
    assert bool(rest) == (len(seeds) > 1)


def test_without_results_and_claims_nothing_is_said():
    assert not [
        *planted.findings("demo", []),
        *planted_mixture.findings("demo", []),
        *trained.findings("demo", []),
    ]
    assert list(judged.findings([])) == []
