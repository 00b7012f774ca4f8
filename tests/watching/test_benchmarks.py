"""The efficiency experiments of a grid, by what their jobs leave."""

import json

from rich.console import Console

from dataflex.watching.overview import look
from dataflex.watching.show import render, summary

from .conftest import GRID, Rung

ONE = "less.ours.ratio0.5.gpus1"
SECTION = {
    "less": {"model": "tiny", "corpus": "corpus", "rows": 8, "ratios": [0.5, 1.0], "gpus": [1]}
    | {"beside": ["ours", "authors"]}
}


def begun(rung: Rung, tmp_path, **part) -> Rung:
    grid = tmp_path / "grid.yaml"
    grid.write_text(json.dumps({**GRID, "efficiency": SECTION}))
    rung.write("grid.json", {"grid": str(grid), "seeds": None, "experiments": None, "methods": None, **part})
    return rung


def states(rung: Rung) -> dict[str, str]:
    return {one.name: one.state for one in look(rung.root).benchmarks}


def printed(rung: Rung, *, brief: bool = False) -> str:
    # Wide enough for the path of a log below any temporary folder: a path that is folded can't be looked for.
    console = Console(width=(width := 400))
    with console.capture() as capture:
        console.print(render(look(rung.root), width, brief=brief))
    return capture.get()


def test_each_state_by_what_a_job_leaves(tmp_path) -> None:
    rung = begun(Rung(tmp_path / "rung", 0), tmp_path)
    assert states(rung) == {ONE: "waiting", "less.ours.ratio1.gpus1": "waiting"}
    submitted = {"slurm_job": "7", "name": "n", "submitted": 100, "log": "none", "digest": "d"}
    rung.write(f"jobs/efficiency/{ONE}.json", submitted)
    assert states(rung)[ONE] == "queued"
    start = json.dumps({"event": "start", "time": 200, "host": "n1", "slurm_job": "7"}) + "\n"
    rung.write(f"attempts/efficiency/{ONE}.jsonl", start)
    lock = rung.write(f"attempts/efficiency/{ONE}.lock", {"host": "n1", "slurm_job": "7"})
    assert states(rung)[ONE] == "running"
    end = json.dumps({"event": "end", "time": 300, "status": 1, "reason": None}) + "\n"
    rung.write(f"attempts/efficiency/{ONE}.jsonl", start + end)
    rung.write(f"logs/efficiency/{ONE}.log", "loading\nout of memory\n")
    lock.unlink()
    assert states(rung)[ONE] == "failed"
    text = printed(rung, brief=True)
    assert "efficiency: 1 waiting, 1 failed" in text
    assert "exit status 1 on n1: out of memory" in text
    assert f"logs/efficiency/{ONE}.log" in text
    assert "ratio1.gpus1" not in text
    rung.write(f"results/efficiency/{ONE}.json", {})
    assert states(rung)[ONE] == "measured"
    assert "1 of 2 benchmarks measured" in summary(look(rung.root))
    assert look(rung.root).as_dict()["benchmarks"][0]["state"] == "measured"


def test_the_authors_code_counts_where_it_was_run(tmp_path) -> None:
    rung = begun(Rung(tmp_path / "rung", 0), tmp_path)
    rung.write("results/efficiency/less.authors.ratio0.5.gpus1.json", {})
    assert states(rung)["less.authors.ratio0.5.gpus1"] == "measured"
    assert "less.authors.ratio1.gpus1" not in states(rung)


def test_a_part_of_a_grid_goes_without_benchmarks(tmp_path) -> None:
    rung = begun(Rung(tmp_path / "rung", 0), tmp_path, experiments=["mixture"])
    assert states(rung) == {}
    assert "efficiency" not in printed(rung)


def test_without_a_grid_they_are_found(tmp_path) -> None:
    rung = Rung(tmp_path / "rung", 0)
    rung.write(f"logs/efficiency/{ONE}.log", "loading\n")
    rung.write("results/efficiency/tsds.ours.pool5000.json", {})
    assert states(rung) == {ONE: "waiting", "tsds.ours.pool5000": "measured"}
