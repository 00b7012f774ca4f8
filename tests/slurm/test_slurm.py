"""The workflow on a real Slurm of two nodes: the paper's kinds of jobs, the demo's grid, and a drill of faults.

``make test-slurm`` runs this; the short form of continuous integration is without what is marked ``long``.
"""

import contextlib
import json
import math
import os
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataflex import grid as grids
from dataflex.evidence.checking import compare
from dataflex.evidence.reference import read as read_references
from dataflex.evidence.results import read_results
from dataflex.evidence.store.admission import troubles
from dataflex.evidence.store.asked import of_grid

from .cluster import Cluster, missing
from .conftest import skip
from .drill import CHECKPOINTS, FAULTS, REPOSITORY, CellUnderFire, Workflow, interleaved, later, writers_of
from .sharded import demo_under_zero3

pytestmark = pytest.mark.slurm
HOURS = 3600


CHOSEN = os.environ.get("DATAFLEX_FAULTS", "").split(",") if os.environ.get("DATAFLEX_FAULTS") else []
"""Part of the drill: ``DATAFLEX_FAULTS=killed,noticed make test-slurm``."""
UNSTRUCK = ("out_of_memory", "time_limit", "evaluation_cancelled")
"""Cells whose fault is no strike at their training."""
OTHERS = ("one_of_two_nodes_killed", "time_limit")
"""Cells of another recipe, whose weights are others."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of its own, that can be filled; None where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=768m", "none", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def finish(workflow: Workflow, limit: float, between: Callable[[], None] | None = None) -> None:
    deadline = time.monotonic() + limit
    while workflow.running():
        assert time.monotonic() < deadline, workflow.said()[-5000:]
        if between is not None:
            between()
        time.sleep(0.5)
    assert workflow.status() == 0, workflow.said()[-5000:]


def test_every_kind_of_job(cluster: Cluster, tmp_path: Path) -> None:
    """ZeRO-3 on one node and over two, a LoRA on what another run has trained, evaluation, tables."""
    root = tmp_path / "cluster"
    workflow = Workflow(cluster, "reproductions/cluster.yaml", root, tmp_path / "log")
    workflow.start()
    finish(workflow, HOURS)
    for method in ("natural", "odm"):
        one, two = (
            CellUnderFire(root, "mixture", f"{method}.tiny.{where}.seed1").sentinel()["weights"]
            for where in ("one_node", "two_nodes")
        )
        # Two processes are two processes, wherever they run.
        assert one == two
    assert "Natural (baseline), tiny, two_nodes" in (root / "tables/mixture.md").read_text()
    manifest = json.loads((root / "train/mixture/odm.tiny.two_nodes.seed1/manifest.json").read_text())
    assert manifest["hardware"]["world_size"] == 2
    # Slurm starts a job again that has ended, as after a controller that was lost: its sentinel is not touched.
    cell = CellUnderFire(root, "mixture", "natural.tiny.one_node.seed1")
    sealed, events = cell.sealed(), cell.events
    cluster.requeue(cell.slurm_job)
    assert (cell.sealed(), cell.events) == (sealed, events)


@pytest.mark.long
def test_the_demo_under_zero3(cluster: Cluster, tmp_path: Path) -> None:
    """Every cell of it is trained with ZeRO-3 and looked at by Slurm's jobs, with numbers as of one more run."""
    root = tmp_path / "demo"
    grid = grids.load(demo_under_zero3(tmp_path))
    # Each takes a processor and waits a good part of its time.
    words = ("--jobs", "3")
    workflow = Workflow(cluster, str(tmp_path / "demo.yaml"), root, tmp_path / "log", *words, check=False)
    workflow.start()
    finish(workflow, 3 * HOURS)
    evaluated = {"model": "evaluate", "mixture": "measure"}
    for cell in grids.cells(grid):
        trained = CellUnderFire(root, *cell.path.split("/"))
        assert trained.sentinel()["weights"], cell.path
        # Nothing went wrong, so nothing was started twice.
        assert [event["event"] for event in trained.events] == ["start", "end"], cell.path
        assert trained.events[0]["slurm_job"] == trained.slurm_job, cell.path
        assert "deepspeed" in (root / f"configs/{cell.path}.yaml").read_text(), cell.path
        if rule := evaluated.get(grids.about(grids.experiment_spec(grid, cell))):
            job = json.loads((root / f"jobs/{rule}/{cell.path}.json").read_text())["slurm_job"]
            assert job != trained.slurm_job, cell.path
    # From the same seed ZeRO-3 draws other weights to begin with: this is one more run, as the tolerances are for,
    # of which one in a hundred lies outside of each.
    results = read_results(root / "results")
    assert list(troubles(results, of_grid(tmp_path / "demo.yaml"))) == []
    compared = compare(results, read_references(REPOSITORY / grid["reference"]))
    verdicts = Counter(one.verdict for one in compared)
    assert verdicts["in"] > 500, verdicts
    assert verdicts["out"] <= verdicts["in"] / 50, [one for one in compared if one.verdict == "out"]
    assert set(verdicts) <= {"in", "out", "no reference"}, verdicts


@pytest.mark.long
def test_the_grid_completes_whatever_happens(
    cluster: Cluster, small_disk: Path | None, tmp_path: Path
) -> None:
    """Faults that are struck, and some that need no strike: every cell ends as the undisturbed one."""
    struck = {name: fault for name, fault in FAULTS.items() if not CHOSEN or name in CHOSEN}
    unstruck = [name for name in UNSTRUCK if not CHOSEN or name in CHOSEN]
    if small_disk is None and struck.pop("disk_full", None):
        told = "no file system can be mounted here: the drill does without the full disk (run it as root)"
        if os.environ.get("DATAFLEX_NO_SKIPS"):
            pytest.fail(told)
        warnings.warn(told, stacklevel=1)
    root = (small_disk or tmp_path) / "drill"
    methods = ["undisturbed", *struck, *unstruck] if CHOSEN else []
    words = ("--jobs", "4", "drill")
    workflow = Workflow(cluster, "tests/slurm/drill.yaml", root, tmp_path / "log", *words, methods=methods)
    cells = {
        name: CellUnderFire(root, "drill", f"{name}.chain.chains.seed1") for name in (*struck, *unstruck)
    }
    sealed_before: dict[str, dict[str, int]] = {}
    struck_at: dict[str, float] = {}
    cancelled: list[str] = []
    cluster.spoil("sbatch", 'echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1')
    later(12, lambda: cluster.spoil("sbatch", None))
    workflow.start()

    def strike() -> None:
        for name, tokens in writers_of(cells.values()).items():
            assert len(tokens) <= 1, f"{name} has two writers"
        for name, cell in cells.items():
            if name in sealed_before or name not in struck or cell.running is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                seals = cell.seals()
                if len(seals) >= CHECKPOINTS:
                    struck_at[name] = time.time()
                    struck[name](cluster, cell, workflow)
                    sealed_before[name] = seals
        number = cells["evaluation_cancelled"].evaluated_by() if "evaluation_cancelled" in cells else None
        if number and not cancelled and cluster.jobs().get(number, ("",))[0] == "RUNNING":
            cluster.run("scancel", number)
            cancelled.append(number)

    finish(workflow, HOURS, strike)
    assert set(sealed_before) == set(struck)
    undisturbed = CellUnderFire(root, "drill", "undisturbed.chain.chains.seed1").sentinel()["weights"]
    for name, cell in cells.items():
        assert not interleaved(cell.events), name
        assert (cell.sentinel()["weights"] == undisturbed) is (name not in OTHERS), name
        # What was sealed when the fault struck was not trained again.
        before, after = sealed_before.get(name, {}), cell.seals()
        assert {
            folder: sealed for folder, sealed in before.items() if after.get(folder) == sealed
        } == before, name
    for name in struck.keys() - {"controller_lost", "forgotten", "orphaned"} | set(unstruck) - {
        "evaluation_cancelled"
    }:
        assert name == "disk_full" or sum(event["event"] == "start" for event in cells[name].events) > 1, name
    assert "next try in" in workflow.said()
    # Nobody submitted these again before they had ended, but where the full disk, which all share, had made them fail by
    # themselves. One that ends while its workflow is away is sealed again by a job that trains nothing. Slurm may have
    # started them anew: the node that was lost is Slurm's to replace.
    for name in struck.keys() & {"forgotten", "orphaned", "node_lost"}:
        events = cells[name].events
        starts = [event for event in events if event["event"] == "start"]
        again = [event for event in starts if event["slurm_job"] != starts[0]["slurm_job"]]
        ended = [event["time"] for event in events if event["event"] == "end" and event["status"] == 0]
        allowed = min([struck_at.get("disk_full", math.inf), *ended])
        assert all(event["time"] > allowed for event in again), name
    for name in struck.keys() & {"told_to_stop", "noticed"}:
        ends = [event for event in cells[name].events if event["event"] == "end"]
        assert [event["status"] for event in ends][-2:] == [75, 0], name
    if "time_limit" in cells:
        *stopped, last = [event for event in cells["time_limit"].events if event["event"] == "end"]
        assert stopped
        assert {event["status"] for event in stopped} == {75}
        reached = [event["checkpoint"] for event in (*stopped, last)]
        assert reached == sorted(set(reached))
    if "evaluation_cancelled" in cells:
        assert cancelled
        assert cells["evaluation_cancelled"].evaluated_by() != cancelled[0]


def test_the_daemons_leave_nothing(tmp_path: Path) -> None:
    """Up and down, twice, in one folder."""
    if missing():
        skip("Slurm is not installed")
    made = Cluster(tmp_path)
    for _ in range(2):
        made.up()
        assert made.states() == ["idle", "idle"]
        made.down()
        assert made.run("scontrol", "ping", check=False).count("UP") == 0


def test_the_repository_is_where_it_is_looked_for() -> None:
    assert (REPOSITORY / "slurm").resolve() == REPOSITORY / "workflow/profiles/slurm"
