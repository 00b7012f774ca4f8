"""The table of mixtures: changes paired by seed, marked where the whole table leaves them standing."""

import math

import pytest
import scipy.stats
from results_factory import write_cell
from statsmodels.stats.multitest import multipletests

from dataflex.evidence.results import by_seed, read_results
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.seeds import paired
from paper_figures.mixture import _rows, mixture, shown

SEEDS = (1, 2, 3, 4)


@pytest.fixture
def results(tmp_path):
    for seed in SEEDS:
        write_cell(tmp_path, method="natural", seed=seed)
        write_cell(tmp_path, method="odm", seed=seed, shift=-0.1)
        write_cell(tmp_path, method="doremi", seed=seed, shift=0.1)
    return read_results(tmp_path)


def of(results, method):
    return [result for result in results if result.key[1] == method]


def change(results, method, name="bits_per_byte.all"):
    return paired(by_seed(of(results, method), name), by_seed(of(results, "natural"), name))


def test_a_paired_difference_is_that_of_a_paired_test(results):
    name = "bits_per_byte.all"
    found = change(results, "odm", name)
    ours, theirs = ([run.numbers()[name] for run in of(results, m)] for m in ("odm", "natural"))
    test = scipy.stats.ttest_rel(ours, theirs)
    assert found.value == pytest.approx(sum(ours) / 4 - sum(theirs) / 4)
    assert found.interval() == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.sign == -1


def told(results):
    """Cells of changes by method, in the order of the columns."""
    return {row[0].partition(":")[0]: list(row[1:]) for row in mixture(results).rows if "change" in row[0]}


def test_changes_are_marked_by_holm_over_the_table(results):
    """Every interval of a documents' loss excludes zero; the accuracies' do not, and one in twenty might."""
    names = ["mmlu.acc", "mmlu.answer_nll", "bits_per_byte.all", "bits_per_byte.code", "bits_per_byte.prose"]
    tests = [
        scipy.stats.ttest_rel(*([run.numbers()[name] for run in of(results, m)] for m in (method, "natural")))
        for method in ("doremi", "odm")
        for name in names
    ]
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    cells = [*told(results)["DoReMi"], *told(results)["ODM"]]
    assert [cell.endswith("*") for cell in cells] == [p < 0.05 for p in adjusted]
    assert sum(cell.endswith("*") for cell in cells) == 6
    assert "adjusted by Holm for the 10 changes" in " ".join(mixture(results).notes)


def test_an_interval_without_zero_is_not_enough_for_a_mark():
    """p = .02 is told from zero by itself, and not as one of five."""
    clear, weak = Estimate(1.0, 0.1), Estimate(1.0, 0.43)
    assert weak.interval()[0] > 0
    (row,) = _rows([("x", [weak, clear, *[Estimate(0.0, 1.0)] * 3])])
    assert [cell.endswith("*") for cell in row[1:]] == [False, True, False, False, False]


def test_all_is_the_corpus_own_mixture_where_every_run_has_it(results):
    def column(runs):
        table = mixture(runs)
        (row,) = (row for row in table.rows if row[0] == "ODM: PPL")
        return table.header[3], row[3], [note for note in table.notes if "ALL" in note]

    head, pooled, (note,) = column(results)
    assert (head, "pools the bytes" in note) == ("ALL ↓", True)
    for run in results:
        parts = run.metrics["perplexity"]
        parts["natural"] = {
            unit: 2 * parts["all"][unit] for unit in ("token", "word", "byte", "bits_per_byte")
        }
    head, weighed, (note,) = column(results)
    assert (head, "share in the corpus" in note) == ("ALL ↓", True)
    assert float(weighed.split()[0]) == pytest.approx(2 * float(pooled.split()[0]), abs=2e-3)
    assert len(mixture(results).header) == 6
    del results[0].metrics["perplexity"]["natural"]
    assert column(results)[1] == pooled


def test_scales_stand_by_their_size(tmp_path):
    for scale in ("30B", "6B"):
        write_cell(tmp_path, scale=scale)
        write_cell(tmp_path, method="odm", scale=scale)
    names = [row[0] for row in mixture(read_results(tmp_path)).rows]
    assert ["6B" in name for name in names] == [True, True, False, False, True, False], names


def test_the_mixture_table_shows_changes_with_their_intervals(results):
    table = mixture(results)
    (row,) = [row for row in table.rows if row[0] == "ODM: change"]
    found = change(results, "odm")
    assert row[3] == shown(found, True, 3)
    assert row[3].endswith("]*")
    assert shown(Estimate(0.01234, math.inf, 0), True, 1, 100) == "+1.2"
