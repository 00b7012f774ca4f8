"""A Slurm of two nodes on this host, for tests: real daemons in a folder of their own, nothing outside of it.

``python -m tests.slurm.cluster up FOLDER`` prints what to export; ``down FOLDER`` stops it. Every daemon runs as
the present user, so neither root nor systemd is needed; the authentication daemon has its own key and socket.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = ("slurm-wlm", "slurm-wlm-basic-plugins", "munge")
NODES = ("n1", "n2")
CPUS = 8
"""Of each node, more than there are: jobs are to meet, not to be fast."""
DEVICES = ("/dev/zero", "/dev/full")
"""Stand in for the GPUs of a node: Slurm wants character devices and never opens them."""
COMMANDS = ("sbatch", "srun", "scancel", "squeue", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
PATIENCE = 60


class ClusterError(Exception):
    """Slurm could not be brought up; the message says why."""


def missing() -> list[str]:
    """The daemons that are not installed."""
    found = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    return [name for name in DAEMONS if shutil.which(name, path=found) is None]


@dataclass
class Cluster:
    """Two nodes, a partition ``debug`` that can be preempted, and a partition ``urgent`` that preempts it.

    Args:
        folder: of everything that the daemons write; short, for it holds sockets.
    """

    folder: Path
    kill_wait: int = 5
    preempt: str = "REQUEUE"
    node_timeout: int = 60
    """Seconds after which a silent node is lost: more than the drill's patience, as on most clusters."""

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this cluster, here and in its jobs."""
        # Slurm takes SLURM_CONF out of a job's environment, so that commands that set it come first.
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }

    def spoil(self, command: str, script: str | None) -> None:
        """Put lines of shell before a command (``exit 1`` makes it fail); None mends it."""
        real = shutil.which(command, path="/usr/bin:/usr/local/bin:/usr/sbin")
        if real is None:
            raise ClusterError(f"{command} is not installed: apt-get install {' '.join(PACKAGES)}")
        file = self.folder / "bin" / command
        draft = file.with_suffix(".new")
        draft.write_text(
            f'#!/bin/sh\n{script or ""}\nSLURM_CONF={self.folder / "slurm.conf"} exec {real} "$@"\n'
        )
        draft.chmod(0o755)
        os.replace(draft, file)

    def up(self) -> None:
        """Write the configuration, start all daemons, and wait until both nodes are idle."""
        for name in ("bin", "state", "log", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in COMMANDS:
            self.spoil(name, None)
        self.folder.chmod(0o755)
        (self.folder / "slurm.conf").write_text(self._configuration())
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName=n[1-2] Name=gpu File={device}\n" for device in DEVICES)
        )
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self.states() == ["idle", "idle"], "the nodes are not idle")

    def down(self) -> None:
        """Stop all daemons and what runs on the nodes."""
        if (self.folder / "slurm.conf").is_file():
            self.run("scancel", "--user", str(os.getuid()), "--signal=KILL", check=False, timeout=20)
        for name in ("slurmd-n1", "slurmd-n2", "slurmctld", "munged"):
            self.stop(name)
        # A daemon's child that was starting a step outlives it.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.folder / "slurm.conf") in process.cmdline():
                    kill_with_children(process)

    def start_controller(self) -> None:
        """Start slurmctld; its state is what the last one left."""
        self._daemon("slurmctld", "slurmctld", "-f", str(self.folder / "slurm.conf"))
        self.wait_for(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld does not answer")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._daemon(f"slurmd-{node}", "slurmd", "-N", node, "-f", str(self.folder / "slurm.conf"))

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and everything that runs on it, as a loss of power would."""
        jobs = self.run("squeue", "--noheader", "--nodelist", node, "--format=%A").split()
        self.stop(f"slurmd-{node}", signal.SIGKILL)
        self.kill_steps(jobs)

    def kill_steps(self, jobs: list[str]) -> None:
        """Kill the daemons of jobs' steps, and what they look after."""
        for daemon in self.daemons_of(*(f"{job}." for job in jobs)):
            kill_with_children(daemon)

    def daemons_of(self, *steps: str) -> list[psutil.Process]:
        """The daemons of steps that begin so (``12.`` all of job 12, ``12.0]`` its first)."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(tuple(f"slurmstepd: [{step}" for step in steps)):
                    found.append(process)
        return found

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        """Signal a daemon (``slurmctld``, ``slurmd-n1`` ...) and wait for its end."""
        pid = self._pid(name)
        if pid is None:
            return
        os.kill(pid, how)
        deadline = time.monotonic() + PATIENCE
        while self._pid(name) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def states(self) -> list[str]:
        """State of every node, sorted."""
        return sorted(self.run("sinfo", "--noheader", "--Node", "--format=%t", check=False).split()[:2])

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Job id -> (state, comment) of all jobs that the controller knows."""
        lines = self.run("squeue", "--noheader", "--states=all", "--format=%i|%T|%k").splitlines()
        return {job: (state, comment) for job, state, comment in (line.split("|", 2) for line in lines)}

    def requeue(self, job: str) -> None:
        """Have a job that has ended started again, and wait for its end."""
        self.run("scontrol", "requeue", job)
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        alive = ("PENDING", "RUNNING", "COMPLETING")
        self.wait_for(lambda: self.jobs()[job][0] not in alive, f"the requeued job {job} does not end")
        assert self.jobs()[job][0] == "COMPLETED"
        assert "Restarts=1 " in self.run("scontrol", "show", "job", job)

    def run(self, *words: str, check: bool = True, timeout: float = PATIENCE) -> str:
        """Output of a Slurm command."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode:
            raise ClusterError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def wait_for(self, what: Callable[[], bool], otherwise: str) -> None:
        """Wait until ``what()`` is true.

        Raises:
            ClusterError: it stays false.
        """
        deadline = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise}; see {self.folder / 'log'}")
            time.sleep(0.2)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        if not key.exists():
            key.touch(0o600)
            key.write_bytes(secrets.token_bytes(128))
        self._daemon(
            "munged",
            "munged",
            "--force",
            f"--socket={self.folder / 'munge.socket'}",
            f"--key-file={key}",
            f"--pid-file={self.folder / 'munged.pid'}",
            f"--log-file={self.folder / 'log' / 'munged.log'}",
            f"--seed-file={self.folder / 'munge.seed'}",
        )
        self.wait_for((self.folder / "munge.socket").exists, "munged does not answer")

    def _daemon(self, name: str, *words: str) -> None:
        path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
        program = shutil.which(words[0], path=path)
        if program is None:
            raise ClusterError(f"{words[0]} is not installed: apt-get install {' '.join(PACKAGES)}")
        started = subprocess.run(
            [program, *words[1:]],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if started.returncode:
            raise ClusterError(f"{name}: {started.stderr.strip() or started.stdout.strip()}")

    def _pid(self, name: str) -> int | None:
        file = self.folder / f"{name}.pid"
        try:
            pid = int(file.read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return None if state == "Z" else pid

    def _configuration(self) -> str:
        folder, host = self.folder, socket.gethostname().split(".")[0]
        ports = [_free_port() for _ in range(3)]
        user = _user()
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
            f"RealMemory=16000 Gres=gpu:{len(DEVICES)}"
            for node, port in zip(NODES, ports[1:], strict=True)
        )
        return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=500000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode={self.preempt}
ReturnToService=2
SlurmdTimeout={self.node_timeout}
KillWait={self.kill_wait}
# A busy machine takes longer than the usual five minutes until a test asks for a job that has ended.
MinJobAge=3600
SlurmdParameters=config_overrides
{nodes}
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
"""


def kill_with_children(process: psutil.Process) -> None:
    """kill -9 a process and all below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """Command line: ``up FOLDER`` and ``down FOLDER``."""
    word, folder = sys.argv[1], Path(sys.argv[2]).absolute()
    cluster = Cluster(folder)
    if word == "down":
        cluster.down()
        return
    try:
        cluster.up()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    for name, value in cluster.environment.items():
        print(f"export {name}='{value}'")


if __name__ == "__main__":
    main()
