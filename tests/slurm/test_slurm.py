"""The workflow on a real Slurm of two nodes: the paper's kinds of jobs, and a drill of faults.

``make test-slurm`` runs this; the short form of continuous integration runs what is not marked ``drill``.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, missing
from .drill import CHECKPOINTS, FAULTS, REPOSITORY, CellUnderFire, Workflow, later

pytestmark = pytest.mark.slurm
HOURS = 3600


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can't be mounted here: the full disk needs one (run as root)")
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


@pytest.mark.drill
def test_the_grid_completes_whatever_happens(cluster: Cluster, small_disk: Path, tmp_path: Path) -> None:
    """Ten faults, and two that need no strike: every cell ends in the weights of the undisturbed one."""
    root = small_disk / "drill"
    workflow = Workflow(cluster, "tests/slurm/drill.yaml", root, tmp_path / "log", "--jobs", "4", "drill")
    cells = {name: CellUnderFire(root, "drill", f"{name}.chain.chains.seed1") for name in FAULTS}
    sealed_before: dict[str, dict[str, int]] = {}
    cluster.spoil("sbatch", 'echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1')
    later(12, lambda: cluster.spoil("sbatch", None))
    workflow.start()

    def strike() -> None:
        for name, cell in cells.items():
            if name in sealed_before or cell.running is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                seals = cell.seals()
                if len(seals) >= CHECKPOINTS:
                    FAULTS[name](cluster, cell, workflow)
                    sealed_before[name] = seals

    finish(workflow, HOURS, strike)
    assert set(sealed_before) == set(FAULTS)
    undisturbed = CellUnderFire(root, "drill", "undisturbed.chain.chains.seed1").sentinel()["weights"]
    for name, cell in cells.items():
        assert cell.sentinel()["weights"] == undisturbed, name
        # What was sealed when the fault struck was not trained again.
        after = cell.seals()
        kept = {
            folder: sealed for folder, sealed in sealed_before[name].items() if after.get(folder) == sealed
        }
        assert kept == sealed_before[name], name
    for name in ("killed", "daemon_killed", "cancelled", "preempted", "node_lost", "told_to_stop"):
        assert sum(event["event"] == "start" for event in cells[name].events) > 1, name
    memory = CellUnderFire(root, "drill", "out_of_memory.chain.chains.seed1")
    assert memory.sentinel()["weights"] == undisturbed
    assert sum(event["event"] == "start" for event in memory.events) > 1
    assert "next try in" in workflow.said()
    # Nobody submitted these again: a fault beside them may have had Slurm itself start them anew.
    for name in ("forgotten", "orphaned"):
        assert len({event["slurm_job"] for event in cells[name].events if event["event"] == "start"}) == 1, (
            name
        )
    ends = [event for event in cells["told_to_stop"].events if event["event"] == "end"]
    assert [event["status"] for event in ends][-2:] == [75, 0]


def test_the_daemons_leave_nothing(tmp_path: Path) -> None:
    """Up and down, twice, in one folder."""
    if missing():
        pytest.skip("Slurm is not installed")
    made = Cluster(tmp_path)
    for _ in range(2):
        made.up()
        assert made.states() == ["idle", "idle"]
        made.down()
        assert made.run("scontrol", "ping", check=False).count("UP") == 0


def test_the_repository_is_where_it_is_looked_for() -> None:
    assert (REPOSITORY / "slurm").resolve() == REPOSITORY / "workflow/profiles/slurm"
