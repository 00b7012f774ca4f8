"""Faults for the cells of a workflow that runs on a test cluster, each struck when its cell has checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import psutil

from .cluster import NODES, Cluster, kill_with_children

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CHECKPOINTS = 2
"""That a cell has when it is struck."""


class Workflow:
    """``snakemake --profile slurm`` on a cluster, that can be killed and started again.

    Args:
        root: folder that it writes to.
        log: its own output.
        methods: part of the grid; none: all of it.
        check: whether numbers that are outside of their reference's tolerance fail it.
    """

    def __init__(
        self,
        cluster: Cluster,
        grid: str,
        root: Path,
        log: Path,
        *words: str,
        methods: Collection[str] = (),
        check: bool = True,
    ) -> None:
        self.root, self._log = root, log
        chosen = [f"methods=[{','.join(methods)}]"] if methods else []
        # This checkout's code and plugins, whichever the environment has installed.
        code = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "workflow/plugins")])
        own = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": code}
        self._environment = {**os.environ, **cluster.environment, **own}
        self._words = [
            *(sys.executable, "-m", "snakemake", "--profile", "slurm"),
            *("--config", f"grid={grid}", f"output={root}", f"check={str(check).lower()}", *chosen),
            *("--default-resources", "slurm_partition=debug", "runtime=30", "mem_mb=3000"),
            *("--slurm-cells-no-account", "--slurm-cells-patience", "40"),
            *("--slurm-cells-seconds-between-checks", "2", "--latency-wait", "20", *words),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                self._words, cwd=REPOSITORY, env=self._environment, stdout=stream, stderr=stream
            )

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def status(self) -> int | None:
        """Exit status."""
        return self._process.returncode if self._process else None

    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text()


class CellUnderFire:
    """A training cell as its files show it."""

    def __init__(self, root: Path, experiment: str, cell: str) -> None:
        self.name, self.folder = cell, root / "train" / experiment / cell
        self.evaluation = root / "jobs/measure" / experiment / f"{cell}.json"
        self._attempts = root / "attempts/train" / experiment / f"{cell}.jsonl"
        self._job = root / "jobs/train" / experiment / f"{cell}.json"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of its attempts."""
        lines = self._attempts.read_text().splitlines() if self._attempts.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    @property
    def running(self) -> dict[str, Any] | None:
        """The start of the attempt that is under way."""
        events = self.events
        return events[-1] if events and events[-1]["event"] == "start" else None

    @property
    def slurm_job(self) -> str:
        """Number of the job that was submitted last."""
        return str(json.loads(self._job.read_text())["slurm_job"])

    def seals(self) -> dict[str, int]:
        """Checkpoint -> time at which it was sealed, in nanoseconds."""
        files = self.folder.glob("checkpoint-*/dataflex/complete.json")
        return {file.parent.parent.name: file.stat().st_mtime_ns for file in files}

    @property
    def _sentinel(self) -> Path:
        return self.folder.with_name(self.folder.name + ".done.json")

    def sentinel(self) -> dict[str, Any]:
        """What its success says."""
        return dict(json.loads(self._sentinel.read_text()))

    def sealed(self) -> int:
        """When that was written, in nanoseconds."""
        return self._sentinel.stat().st_mtime_ns

    def evaluated_by(self) -> str | None:
        """Number of the job that was submitted last for its evaluation."""
        return json.loads(self.evaluation.read_text())["slurm_job"] if self.evaluation.is_file() else None

    def processes(self) -> list[psutil.Process]:
        """The process that holds the cell, and all below it."""
        start = self.running
        if start is None:
            return []
        try:
            holder = psutil.Process(start["pid"])
            return [holder, *holder.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def killed(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """The job step is killed, without a word."""
    for process in cell.processes():
        process.kill()


def daemon_killed(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """The daemons of the job's steps are killed with all that they look after: to Slurm the job runs on."""
    cluster.kill_steps([cell.slurm_job])


def cancelled(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Somebody cancels the job."""
    cluster.run("scancel", cell.slurm_job)


def preempted(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """A job of a better partition wants the whole node."""
    node = cluster.run("squeue", "--noheader", "--jobs", cell.slurm_job, "--format=%N").strip()
    asked = ["--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null"]
    cluster.run("sbatch", *asked, "--wrap", "sleep 5")


def told_to_stop(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Slurm gives notice, as it does before a time limit or a preemption with grace."""
    cluster.run("scancel", "--signal=TERM", cell.slurm_job)


def noticed(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Notice reaches what the step's daemon has started and nothing below it: Slurm with control groups."""
    for daemon in cluster.daemons_of(f"{cell.slurm_job}.0]"):
        for process in daemon.children():
            process.send_signal(signal.SIGTERM)


def one_of_two_nodes_killed(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Of a cell on two nodes what runs on one is killed."""
    for process in cluster.daemons_of(f"{cell.slurm_job}.1]")[-1].children():
        kill_with_children(process)


def node_lost(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """The node goes away with all that runs on it, and comes back later."""
    node = cluster.run("squeue", "--noheader", "--jobs", cell.slurm_job, "--format=%N").strip()
    assert node in NODES
    cluster.kill_node(node)
    later(90, lambda: cluster.start_node(node))


def controller_lost(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Slurm's controller is killed, and comes back later."""
    cluster.stop("slurmctld", signal.SIGKILL)
    later(15, cluster.start_controller)


def disk_full(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Something else fills the disk, for a while."""
    ballast = workflow.root / "ballast"
    with ballast.open("wb") as stream:
        try:
            while True:
                stream.write(bytes(1 << 20))
        except OSError:
            pass
    later(10, ballast.unlink)


def forgotten(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """Slurm says UNKNOWN of a job that runs on."""
    real = "SLURM_CONF=$(dirname $(dirname $0))/slurm.conf /usr/bin/squeue"
    cluster.spoil(
        "squeue", f'{real} "$@" | sed "s/^{cell.slurm_job}|RUNNING/{cell.slurm_job}|UNKNOWN/"; exit'
    )
    later(80, lambda: cluster.spoil("squeue", None))


def orphaned(cluster: Cluster, cell: CellUnderFire, workflow: Workflow) -> None:
    """The workflow is killed, and started again while its jobs run on."""
    workflow.kill()
    time.sleep(5)
    workflow.start()


Fault = Callable[[Cluster, CellUnderFire, Workflow], None]
FAULTS: dict[str, Fault] = {
    function.__name__: function
    for function in (
        killed,
        daemon_killed,
        cancelled,
        preempted,
        told_to_stop,
        noticed,
        one_of_two_nodes_killed,
        node_lost,
        controller_lost,
        disk_full,
        forgotten,
        orphaned,
    )
}


def writers_of(cells: Collection[CellUnderFire]) -> dict[str, set[str]]:
    """Cell -> the tokens of the locks that processes of this host, which are all, write it for."""
    found: dict[str, set[str]] = {cell.name: set() for cell in cells}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            token, words = process.environ().get("DATAFLEX_WRITER"), " ".join(process.cmdline())
            if token and process.status() != psutil.STATUS_ZOMBIE:
                for cell in cells:
                    if f"/{cell.name}.yaml" in words:
                        found[cell.name].add(token)
    return found


def interleaved(events: Sequence[dict[str, Any]]) -> bool:
    """Whether an attempt ended after another had begun, or before it began itself."""
    last: dict[str, Any] = {}
    for event in events:
        if event["event"] == "end" and (event["pid"] != last.get("pid") or event["time"] < last["time"]):
            return True
        last = event if event["event"] == "start" else last
    return False


def later(seconds: float, do: Callable[[], object]) -> None:
    """Do something in a while, at the side."""
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
