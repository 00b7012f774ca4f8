"""The benchmarks of corpora and of the order at toy size; no statement about time."""

import csv
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from efficiency import corpus, measure, order, sides, text

from dataflex.corpus.packed.quotas import SLIMPAJAMA
from dataflex.corpus.packed.sources import find_sources
from dataflex.corpus.packed.units import cut_units
from paper_figures.efficiency import build


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "real.jsonl"
    rows = [
        {
            "text": f"{name} says word number {number % 7}\n" * (1 + number),
            "meta": {"redpajama_set_name": name},
        }
        for name in SLIMPAJAMA
        for number in range(5)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(python: str, worker: str, job: measure.Job, *others: Any) -> Any:
        variants = import_module(f"efficiency.workers.{worker}").variants
        return json.loads(json.dumps(measure.perform(variants, job)))

    monkeypatch.setattr(sides, "ask", here)


def test_generated_text_has_the_published_shares_of_real_words(source: Path, tmp_path: Path) -> None:
    size = text.generate([source], tmp_path / "text", 400_000, files=3)
    documents = [
        one for unit in cut_units(find_sources([str(tmp_path / "text")])) for one in unit.documents()
    ]
    sizes = dict.fromkeys(SLIMPAJAMA, 0)
    for domain, content in documents:
        sizes[domain] += len(content.encode())
        assert set(content.split()) <= {domain, "says", "word", "number", *"0123456"}
    assert size == sum(sizes.values()) >= 400_000
    for domain, share in SLIMPAJAMA.items():
        assert sizes[domain] / size == pytest.approx(float(share) / 100, abs=0.03)
    text.generate([source], tmp_path / "again", 400_000, files=3)
    for path in (tmp_path / "text").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_build_from_text_to_tables(
    source: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that is named from where one stands."""
    monkeypatch.chdir(tmp_path)
    output = Path("results")
    model = str(tiny / "model")
    report = corpus.run([source], model, output, gigabytes=3e-4, workers=[1, 2], folder=Path())
    assert not report.failures
    built = [run for run in report.runs if run["variant"] == "build"]
    assert [run["case"]["workers"] for run in built] == [1, 2]
    assert built[0]["tokens"] == built[1]["tokens"] > 10_000
    assert all(run["worker_peak_mib"] > 20 for run in built)
    (subset,) = [run for run in report.runs if run["variant"] == "subset"]
    assert subset["tokens"] == subset["asked"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.jsonl", "results"]
    shown = build.write(output)
    assert "Building a corpus" in shown
    assert "A row of 2,048 tokens" in shown
    with (output / "measurements.csv").open() as stream:
        assert {row["variant"] for row in csv.DictReader(stream)} == {"reading", "build", "subset", "rows"}


def test_the_order_to_tables(tmp_path: Path) -> None:
    report = order.run(tmp_path, rows=[10**4, 10**9], domains=3, batch=8, repeats=1)
    assert not report.failures
    assert "1,000,000,000" in build.write(tmp_path)
    (peak,) = {run["variant"]: run for run in report.memory if run["variant"] == "step"}.values()
    assert peak["peak_mib"] - peak["before_mib"] < 50
