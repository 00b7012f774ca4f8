"""The benchmark's machinery at toy size; no statement about time."""

import csv
import json
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from efficiency import batches, less, loss, measure, sides, tsds, vectors, workload

from dataflex.signals.passes import token_batches
from paper_figures.efficiency import build, overview, results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f"word{i}" for i in range(16)]
    rows = [
        {"instruction": " ".join(words[: 3 + i % 9]), "input": "", "output": " ".join(words[i % 7 :])}
        for i in range(12)
    ]
    file = tmp_path_factory.mktemp("data") / "rows.json"
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        workload, "TINY_CONFIG", workload.TINY_CONFIG | {"hidden_size": 32, "num_hidden_layers": 1}
    )
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_rounds_go_back_and_forth() -> None:
    order: list[str] = []
    variants = {name: (lambda name=name: order.append(name), count) for name, count in (("a", 3), ("b", 2))}
    runs = measure.interleave(variants)
    assert order == ["a", "b", "b", "a", "a"]
    assert [run["round"] for run in runs["a"]] == [0, 1, 2]


def test_peak_memory_sees_what_is_freed_again() -> None:
    def fill() -> dict[str, int]:
        # Not the heap: that may still hold what an earlier test has freed.
        with mmap.mmap(-1, 2**27) as pages:
            for place in range(0, 2**27, mmap.PAGESIZE):
                pages[place] = 1
            return {"size": len(pages)}

    found = measure._with_memory(fill)
    assert found["size"] == 2**27
    assert found["peak_mib"] - found["before_mib"] > 100


def test_a_benchmark_from_data_to_tables(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from efficiency.workers import library_gradients

    def here(python: str, worker: str, job: measure.Job, *others: Any) -> Any:
        assert worker == "library_gradients"
        return json.loads(json.dumps(measure.perform(library_gradients.variants, job)))

    monkeypatch.setattr(sides, "ask", here)
    report = less.run(
        data, "tiny", tmp_path, rows=6, validation=2, shares=[0.5, 1.0], projection=64, repeats=2, threads=1
    )
    assert not report.failures
    assert report.about["rows"] == 6
    assert len(report.scores["exact@0.5"]) == 3
    loss.run(data, "tiny", tmp_path, rows=6, repeats=1, threads=1)
    text = build.write(tmp_path)
    assert "less, tiny: exact" in text
    assert {run["variant"] for run in report.runs if run["case"] == {"share": 1.0}} == {
        *("plain", "plain, by length", "plain one by one", "exact", "projected")
    }
    assert "loss, tiny: losses" in text
    assert (tmp_path / "efficiency.svg").is_file()
    with (tmp_path / "measurements.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    (exact,) = [row for row in rows if row["variant"] == "exact" and row["case"] == "share 1.0"]
    assert exact["n"] == "2"
    assert exact["beside"] == "plain, by length"
    assert float(exact["ratio_median"]) > 0
    assert float(exact["peak_mib"]) > 0


def test_neighbours_and_tsds_report_recall() -> None:
    from efficiency.workers import library_vectors

    options = {"rows": 300, "queries": 7, "dimension": 8, "kind": "clustered", "neighbours": 5}
    parameters = {"max_K": 50, "sigma": 0.75, "alpha": 0.6, "C": 5.0}
    made = library_vectors.variants(measure.Job({}, 1, options=options | parameters))
    results: Any = {name: variant() for name, variant in made.items()}
    assert results["library"]["recall"] == 1
    assert results["blocked product"]["recall"] == 1
    assert results["library tsds"]["possible"] > 0


AUTHORS = """
import numpy as np, yaml
passes = []

def main():
    config = yaml.safe_load(open("config.yaml"))
    pool, queries = (np.load(config[kind + "_embedding_path"]) for kind in ("candidate", "query"))
    passes.append((len(pool), len(queries), config["max_K"]))
    np.save(config["output_folder"] + "/selected.npy", [])
"""


class Upstreams:
    """Takes the place of upstream's selector."""

    passes: ClassVar[list[tuple[int, int, int]]] = []

    def __init__(self, save_probs_path: str, **others: Any) -> None:
        self.path, self.most = save_probs_path, others["max_K"]

    def selector(self) -> Any:
        pool, queries = self.candidate_sentence_embedding(), self.query_sentence_embedding()
        self.passes.append((len(pool), len(queries), self.most))
        np.save(self.path, found := np.ones(3))
        return found


def test_tsds_of_others_has_run_once_and_touches_no_files_when_it_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from efficiency.workers import upstream_vectors

    (tmp_path / "tsds.py").write_text(AUTHORS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    selectors: Any = ModuleType("offline_tsds_selector")
    selectors.offline_tsds_Selector = Upstreams
    for name in ("dataflex.offline_selector", "dataflex.offline_selector.offline_tsds_selector"):
        monkeypatch.setitem(sys.modules, name, selectors)
    options = {"rows": 3000, "queries": 20, "dimension": 4, "kind": "isotropic", "neighbours": 1}
    options |= tsds.PARAMETERS | {"authors": str(tmp_path)}
    names = {"upstream tsds": 1, "authors tsds": 1}
    made = upstream_vectors.variants(measure.Job(names, 1, options=options))
    assert made.keys() == names.keys()
    theirs = sys.modules.pop("tsds").passes
    assert theirs == Upstreams.passes == [(2048, 8, 50)]
    assert [made[name]() for name in names] == [{"possible": 3}, {}]
    assert theirs == Upstreams.passes == [(2048, 8, 50), (3000, 20, 5000)]
    assert not list(tmp_path.glob("*.npy"))


def test_our_tsds_has_run_once_when_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    from efficiency.workers import library_vectors

    seen: list[int] = []
    monkeypatch.setattr(library_vectors, "tsds", lambda pool, queries, options: seen.append(len(pool)))
    options = {"rows": 3000, "queries": 5, "dimension": 4, "kind": "isotropic", "neighbours": 1}
    job = measure.Job({"library tsds": 1}, 1, memory=True, options=options | tsds.PARAMETERS)
    library_vectors.variants(job)["library tsds"]()
    assert seen == [2048, 3000]


def test_others_repeat_tsds_where_it_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[tuple[str, int], int] = {}

    def answered(python: str, worker: str, job: measure.Job, *others: Any) -> dict[str, Any]:
        asked.update({(name, job.options["rows"]): count for name, count in job.variants.items()})
        run = {
            "round": 0,
            "seconds": 1.0,
            "cpu_seconds": 1.0,
            "load": 0.0,
            "peak_mib": 1.0,
            "before_mib": 0.5,
        }
        return {"environment": {}, "runs": {name: [run] for name in job.variants}}

    monkeypatch.setattr(sides, "ask", answered)
    monkeypatch.setattr(tsds, "upstream", lambda venv: sides.Side("upstream", "python", []))
    pools = [5000, 50_000, 100_000]
    report = tsds.run(tmp_path, pools=pools, queries=[5], upstream_venv=tmp_path, threads=1)
    assert [asked["upstream tsds", rows] for rows in pools] == [3, 1, 1]
    report.environments, report.runs = {}, report.runs[:1]
    for about, note in (
        (report.about, "No side is timed with its imports"),
        ({}, "Each process's first pass"),
    ):
        report.about = {**tsds.PARAMETERS, "dimension": 4, "kind": "x"} | about
        report.write(tmp_path / "tsds.json")
        assert any(line.startswith(note) for line in build.tables(build.read(tmp_path))[1].notes)


@pytest.mark.slow
def test_a_process_of_its_own_answers(data: Path, tmp_path: Path) -> None:
    workload.make(tmp_path, data=data, model="tiny", rows=4, validation=1, cutoff=32, rank=2, batch=2)
    options = {"shares": [1.0], "projection": 8}
    job = measure.Job({"losses@1.0": 1}, 1, str(tmp_path), memory=True, options=options)
    side = sides.library()
    answer = measure.ask(side.python, "library_gradients", job, tmp_path / "jobs", side.paths)
    (run,) = answer["runs"]["losses@1.0"]
    assert len(run["scores"]) == 4
    assert answer["environment"]["threads"] == 1


def test_a_worker_that_fails_is_reported(tmp_path: Path) -> None:
    report = sides.Report("less")
    side = sides.Side("library", sys.executable, [sides.PACKAGE.parent])
    bench = sides.Bench(report, tmp_path, 1, "nonsense")
    bench.time(side, {"plain": 1}, {})
    assert "library_nonsense" in report.failures[0]["error"]
    assert not report.runs


def test_plain_passes_are_cut_as_ours_are() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 1, 200).astype(int) + 1
    rows = [{"input_ids": [n] * length} for n, length in enumerate(lengths)]
    for budget in (1, 64, 1000):
        cut = [[row["input_ids"][0] for row in batch] for batch in batches.by_length(rows, budget)]
        assert cut == token_batches(lengths, budget)


def test_the_yardstick_makes_the_passes_of_ours(data: Path, tmp_path: Path) -> None:
    """The same batches for the same rows: it isn't the padding that is measured."""
    from efficiency.workers import library_gradients

    made: dict[str, Any] = {"rows": 8, "validation": 3, "cutoff": 64, "rank": 2, "batch": 2}
    workload.make(tmp_path, data=data, model="tiny", **made)
    job = measure.Job({}, 1, str(tmp_path), True, {"shares": [1.0], "projection": 8})
    seen: list[tuple[int, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        collate = workload.collate
        patch.setattr(
            workload, "collate", lambda rows: (seen.append(tuple(map(_width, rows))), collate(rows))[1]
        )
        variants = library_gradients.variants(job)
        shapes = []
        for name in ("plain, by length@1.0", "exact@1.0", "plain@1.0"):
            seen.clear()
            variants[name]()
            shapes.append(list(seen))
    assert shapes[0] == shapes[1]
    padded = [sum(len(batch) * max(batch) for batch in cut) for cut in shapes]
    assert padded[0] < padded[2]


def _width(row: dict[str, list[int]]) -> int:
    return len(row["input_ids"])


def test_recall_counts_shared_neighbours() -> None:
    pool, queries = vectors.make(50, 3, 4, "isotropic")
    true = vectors.true_neighbours(queries, pool, 4)
    assert vectors.recall(true, true) == 1
    assert vectors.recall(true[:, [0, 1, 1, 1]], true) == 0.5


def test_an_upstream_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="efficiency-upstream"):
        sides.upstream(tmp_path)


def test_ratio_divides_passes_of_the_same_round(tmp_path: Path) -> None:
    def run(variant: str, number: int, seconds: float) -> dict[str, Any]:
        base = {"side": "library", "variant": variant, "case": {"share": 1.0}, "round": number}
        return base | {"seconds": seconds, "cpu_seconds": seconds, "load": 0.0}

    report = sides.Report("less", {"model": "tiny", "rows": 4, "validation": 1})
    report.runs = [run("plain", 0, 1.0), run("plain", 1, 10.0), run("exact", 0, 1.5), run("exact", 1, 9.0)]
    report.write(tmp_path / "less-tiny.json")
    ratio = results.Results(tmp_path / "less-tiny.json").ratio("library", "exact", {"share": 1.0})
    assert ratio == results.Spread(1.2, 0.9, 1.5, 2)


@pytest.mark.parametrize(
    ("seconds", "beside", "met"),
    [
        ({"plain": 2.0, "exact": 2.0}, "plain, pool order", "open"),
        ({"plain": 2.0, "exact": 2.4}, "plain, pool order", "no"),
        ({"plain": 2.0, "plain, by length": 1.0, "exact": 1.0}, "plain, by length", "yes"),
        ({"plain": 2.0, "plain, by length": 1.0, "exact": 1.2}, "plain, by length", "no"),
    ],
)
def test_a_limit_is_met_beside_passes_that_pad_no_more(
    tmp_path: Path, seconds: dict[str, float], beside: str, met: str
) -> None:
    """Files that were measured before there were such passes say so."""
    base = {"side": "library", "case": {"share": 1.0}, "round": 0, "cpu_seconds": 1.0, "load": 0.0}
    report = sides.Report("less", {"model": "tiny", "rows": 4, "validation": 1})
    report.runs = [base | {"variant": name, "seconds": value} for name, value in seconds.items()]
    report.write(tmp_path / "less-tiny.json")
    table = overview.targets([results.Results(tmp_path / "less-tiny.json")])
    shown = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    exact = shown["less, tiny: exact"]
    assert (exact["beside"], exact["met"]) == (beside, met)
