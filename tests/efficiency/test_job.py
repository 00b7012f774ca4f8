"""Benchmark jobs of a grid: one side and one size a file, several processes, and the tables of many files."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficiency import instructions, job, measure, sides, workload
from typer.testing import CliRunner

from paper_figures import published
from paper_figures.efficiency import build, job_tables, paper_table, results

ROWS = [
    {"instruction": f"sum of {i}", "input": "", "output": " ".join("abcdefgh"[: 1 + i % 8])}
    for i in range(12)
]


def test_rows_of_a_folder_get_our_names(tmp_path: Path) -> None:
    entry = {"file_name": "rows.json", "columns": {"prompt": "q", "response": "a"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"instructions": entry}))
    (tmp_path / "rows.json").write_text(json.dumps([{"q": "why?", "a": "so", "input": None}]))
    assert instructions.read(tmp_path) == [{"instruction": "why?", "input": "", "output": "so"}]
    (tmp_path / "dataset_info.json").write_text(json.dumps({"other": entry}))
    with pytest.raises(SystemExit, match="must name a file `instructions` of form alpaca or sharegpt"):
        instructions.read(tmp_path)


def test_the_papers_seconds() -> None:
    assert published.less_seconds(0.05, 1) == (1640, 1579)
    assert published.less_seconds(1.0, 8) == (30239, 12965)
    assert published.less_seconds(0.5, 8) == (14398, None)
    assert published.less_seconds(0.3, 1) == (None, None)
    assert published.tsds_reduction() == (1, 3.5)


def _job(
    folder: Path,
    side: str,
    variant: str,
    gpus: int,
    share: float,
    seconds: float,
    plain: float,
    **facts: str,
) -> None:
    report = sides.Report(
        "less", {"model": "big", "rows": 1000, "validation": 4, "cutoff": 9, "lora_rank": 2}
    )
    name = f"less.{side}.ratio{share:g}.gpus{gpus}"
    report.about |= {"precision": "bfloat16", "projection": 64, "job": name}
    run = {"side": side, "case": {"gpus": gpus, "share": share}, "round": 0, "load": 0.0}
    timed = {variant: seconds, workload.PLAIN: plain}
    report.runs = [
        run | {"variant": name, "seconds": value, "cpu_seconds": value} for name, value in timed.items()
    ]
    report.runs[0] |= facts
    report.environments = {
        side: {"processor": f"of {gpus}", "cores": 1, "gpu": None, "threads": 1, "memory_gib": 1}
        | {"python": "3", "cuda": "12.4", "packages": {"torch": f"2.{len(side)}"}}
    }
    report.write(folder / f"{name}.json")


def test_files_of_jobs_become_one_table(tmp_path: Path) -> None:
    _job(tmp_path, "library", "exact", 1, 1.0, 60.0, 50.0)
    _job(tmp_path, "library", "exact", 8, 1.0, 10.0, 8.0)
    _job(tmp_path, "authors", "authors", 1, 1.0, 80.0, 100.0, projector="CudaProjector")
    files = sorted(tmp_path.glob("*.json"))
    (together,) = job_tables.put_together([results.Results(file) for file in files])
    table = job_tables.less_jobs(together)
    shown = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["GPUs"] for row in shown] == ["1", "8"]
    # One GPU: 60 instead of 80; eight: 10 instead of the 80 that the original needs on its one.
    assert [row["ours below authors"] for row in shown] == ["25.0 %", "87.5 %"]
    assert not any("fast_jl" in note for note in table.notes)
    # Their torch is the slower one: 1.2 plain passes instead of 0.8.
    assert [row["in plain passes"] for row in shown] == ["-50.0 %", "-"]
    assert list(table.rows[0][3:11]) == ["60.0 (n=1)", "1.20", "-", "-", "-", "-", "80.0 (n=1)", "0.80"]
    assert [row["projectors"] for row in shown] == ["authors: CudaProjector", "-"]
    assert any("authors torch 2.7 for CUDA 12.4; library torch 2.7" in note for note in table.notes)
    assert [row["paper: below original"] for row in shown] == ["5.0 %", "57.1 %"]
    text = build.write(tmp_path, ["left out: nothing"])
    assert "library: of 1," in text
    assert "library, less.library.ratio1.gpus8: of 8," in text
    assert text.endswith("- left out: nothing\n")


def test_no_saving_is_told_of_a_missing_package(tmp_path: Path) -> None:
    _job(tmp_path, "library", "exact", 1, 1.0, 60.0, 50.0)
    _job(tmp_path, "library", "exact", 8, 1.0, 10.0, 8.0)
    _job(tmp_path, "authors", "authors", 1, 1.0, 80.0, 100.0, projector="BasicProjector")
    together = build.read(tmp_path)
    table = job_tables.less_jobs(together[0])
    shown = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["ours below authors"] for row in shown] == ["withheld", "withheld"]
    assert [row["in plain passes"] for row in shown] == ["withheld", "-"]
    assert any("fast_jl" in note for note in table.notes)
    beside = paper_table.paper_table(together)
    assert beside is not None
    assert [row[-1] for row in beside.rows if row[1] == "1.00"] == ["withheld", "withheld"]


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("who", ["upstream", "authors"])
def test_another_side_is_timed_beside_plain_passes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, repeats: int
) -> None:
    asked = []

    def answered(python: str, worker: str, task: measure.Job, *others: Any) -> dict[str, Any]:
        asked.append((worker, task.variants, task.memory))
        runs = [
            {"round": n, "seconds": 2.0, "cpu_seconds": 2.0, "peak_mib": 1.0, "load": 0.0} for n in range(2)
        ]
        return {
            "environment": {},
            "runs": {name: runs[:count] for name, count in task.variants.items()},
        }

    monkeypatch.setattr(sides, "ask", answered)
    monkeypatch.setattr(workload, "make", lambda *args, **options: {"model": "m"})
    monkeypatch.setattr(job, "upstream", lambda venv: sides.Side("upstream", "python", []))
    monkeypatch.setattr(job, "authors_of_less", lambda side, checkout: sides.Side("authors", "python", []))
    output = tmp_path / "less.json"
    words = ["less", "--data", str(tmp_path), "--model", "m", "--side", who, "--output", str(output)]
    words += ["--upstream-venv", "x", "--authors", "y", "--repeats", str(repeats)]
    assert CliRunner().invoke(job.app, words).exit_code == 0
    plain, own = f"{workload.PLAIN}@1.0", f"{who}@1.0"
    # One pass may take hours: where it is enough, memory and time come from the same.
    timed = {plain: 1} if repeats == 1 else {plain: 2, own: 2}
    worker = f"{who}_gradients"
    assert asked == [(worker, timed, False), (worker, {own: 1}, True)]
    found = results.Results(output).ratio(who, who, {"gpus": 1, "share": 1.0})
    assert found is not None
    assert found.median == 1


def test_a_job_without_gpus_sees_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def started(command: list[str], env: dict[str, str], **others: Any) -> subprocess.CompletedProcess[str]:
        seen.append(env["CUDA_VISIBLE_DEVICES"])
        return subprocess.CompletedProcess(command, 1, "", "not run here")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(measure.subprocess, "run", started)
    words = ["tsds", "--side", "ours", "--pool", "20", "--queries", "2", "--output", str(tmp_path / "x.json")]
    assert CliRunner().invoke(job.app, words).exit_code == 1
    assert set(seen) == {""}
    assert measure.worker_variables(1, [])["CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        workload, "TINY_CONFIG", workload.TINY_CONFIG | {"hidden_size": 32, "num_hidden_layers": 1}
    )
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    made: dict[str, Any] = {"rows": 7, "validation": 2, "cutoff": 32, "rank": 2, "batch": 2}
    workload.make(tmp_path, data=tmp_path / "rows.json", model="tiny", **made)
    # The parts of a pool differ in size: a process that has nothing left must not count twice.
    side, scores = sides.library(), []
    for processes in (1, 2):
        options = {"shares": [1.0], "projection": 8}
        asked = measure.Job({"exact@1.0": 1}, 1, str(tmp_path), True, options, processes)
        answer = measure.ask(side.python, "library_gradients", asked, tmp_path / "jobs", side.paths)
        scores.append(answer["runs"]["exact@1.0"][0]["scores"])
    assert len(set(scores[0])) == 7
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
