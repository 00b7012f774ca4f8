"""One writer of a cell, whatever started it: a lock file with a heartbeat that outlives no process for long.

Two jobs can be started for one cell: a workflow was killed and started again, a node was given up by Slurm
and came back. The second one waits for the first, and goes on alone when the first is gone. A writer that
finds its lock taken, because it was silent for too long, stops.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import writers

BEAT = 10.0
"""Seconds between two heartbeats."""
SILENCE = 120.0
"""Seconds without a heartbeat after which a writer that can't be asked is taken for gone."""
MISSED = 5
"""Beats that a writer must have missed whose job has ended, as Slurm says. At three it stops itself."""
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer: exFAT, shared folders of virtual machines, some of FUSE."""


def identity() -> dict[str, Any]:
    """Who this process is: host and its start, its number among whose, its start, and its Slurm job."""
    restart = os.environ.get("SLURM_RESTART_COUNT", "0")
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pids": _numbering(),
        "pid": os.getpid(),
        "began": _start_of(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "slurm_restart": int(restart) if "SLURM_JOB_ID" in os.environ else None,
    }


class Lock:
    """A lock file, held from ``acquire`` to ``release``.

    Args:
        file: in a folder that all writers see.
        beat: seconds between heartbeats.
        silence: seconds without one after which a holder elsewhere counts as gone.
    """

    def __init__(self, file: Path, beat: float = BEAT, silence: float = SILENCE) -> None:
        self._file, self._beat, self._silence = file, beat, silence
        self.token = uuid.uuid4().hex
        """Tells this lock from all others, see ``writers``."""
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    def acquire(
        self,
        lost: Callable[[], None],
        tell: Callable[[str], None] = print,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool | None:
        """Wait until no other writer lives, and take the lock.

        Args:
            lost: called from another thread if the lock is taken away while it is held.
            tell: told once whom it waits for, and of what it finds left behind.
            stop: whether to wait no longer.

        Returns:
            Whether another writer was waited for, which may have finished the work; None: it was not taken.
        """
        waited = False
        self._file.parent.mkdir(parents=True, exist_ok=True)
        while not self._take():
            if stop():
                return None
            seen = self._read()
            if seen is None:
                time.sleep(writers.LOOK)
            elif self._is_gone(seen, tell):
                self._remove(seen)
            else:
                if not waited:
                    tell(f"waiting for another writer: {describe(_parsed(seen))}, lock {self._file}")
                waited = True
                time.sleep(self._beat / 2)
        self._heart = threading.Thread(target=self._keep, args=(lost,), daemon=True)
        self._heart.start()
        return waited

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._over.set()
        if self._heart is not None:
            self._heart.join()
        if _parsed(self._read()).get("token") == self.token:
            self._file.unlink(missing_ok=True)

    def _take(self) -> bool:
        # A link appears with its content or not at all, on network file systems too.
        draft = self._file.with_name(f".{self._file.name}.{self.token}")
        with draft.open("w") as stream:
            stream.write(json.dumps({**identity(), "time": time.time(), "token": self.token}) + "\n")
            stream.flush()
            # A loss of power must not leave a link to nothing.
            os.fsync(stream.fileno())
        try:
            _link(draft, self._file)
        except FileExistsError:
            # Over a network the first answer may be lost, and the second try finds the first one's link.
            return draft.stat().st_nlink > 1
        finally:
            draft.unlink()
        return True

    def _read(self) -> str | None:
        try:
            return self._file.read_text(errors="replace")
        except FileNotFoundError:
            return None

    def _remove(self, seen: str) -> None:
        """Remove a lock whose holder is gone, and no other that came in its place."""
        aside = self._file.with_name(f".{self._file.name}.{self.token}.gone")
        if self._read() != seen:
            return
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._file, aside)
            if aside.read_text(errors="replace") != seen:
                with contextlib.suppress(FileExistsError):
                    _link(aside, self._file)
            aside.unlink()

    def _is_gone(self, seen: str, tell: Callable[[str], None]) -> bool:
        holder = _parsed(seen)
        here = {"host": socket.gethostname(), "boot": _boot(), "pids": _numbering()}
        if all(name in holder and holder[name] == value for name, value in here.items()):
            if _lives(holder.get("pid"), holder.get("began")):
                return False
            token = str(holder.get("token"))
            if writers.of(token):
                tell(f"{describe(holder)} is gone, and what it has started writes on: it is ended")
                writers.end(token)
            return True
        silent = self._age()
        if silent > self._silence:
            if not holder:
                tell(f"{self._file} can't be read, and is {silent:.0f} s old: its writer is taken for gone")
            return True
        job = holder.get("slurm_job")
        # Slurm may call a node lost whose processes run on: they would be heard.
        return bool(
            job
            and silent > min(self._silence, MISSED * self._beat)
            and _slurm_says_ended(job, holder.get("slurm_restart"))
        )

    def _age(self) -> float:
        """Seconds since the last beat; none if the lock is no longer there."""
        # Both times are the file server's: clocks of hosts may differ.
        probe = self._file.with_name(f".{self._file.name}.{self.token}.now")
        probe.touch()
        try:
            return probe.stat().st_mtime - self._file.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink()

    def _keep(self, lost: Callable[[], None]) -> None:
        heard = time.monotonic()
        while not self._over.wait(self._beat):
            try:
                holder = json.loads(self._file.read_text())
                if holder.get("token") != self.token:
                    lost()
                    return
                os.utime(self._file)
                heard = time.monotonic()
            except (OSError, json.JSONDecodeError):
                # A file system that is away for a moment; or the lock was put aside, and is put back.
                if time.monotonic() - heard > min(self._silence, 3 * self._beat):
                    lost()
                    return


def describe(holder: dict[str, Any]) -> str:
    """Who holds a lock, in words."""
    job = f", Slurm's job {holder['slurm_job']}" if holder.get("slurm_job") else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{job}"


def _parsed(seen: str | None) -> dict[str, Any]:
    """Who holds a lock; nothing if that can't be read."""
    try:
        content = json.loads(seen or "")
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _boot() -> str | None:
    """What tells this start of this machine from all others; None where nothing does."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if sys.platform == "linux" else None


def _numbering() -> str | None:
    """What numbers the processes that are seen from here, as a container may on its own; None elsewhere."""
    return os.readlink("/proc/self/ns/pid") if sys.platform == "linux" else None


def _link(source: Path, target: Path) -> None:
    """Let a file appear under another name too; as a copy where the file system has no such links.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Others may see it while it is empty: that is a lock which can't be read, and is young.
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(source.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())


def _start_of(pid: int) -> str | None:
    """When a process has started, in a form that no setting of a clock changes; None: it does not live."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state == "Z" else fields[18]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _lives(pid: int | None, began: str | None) -> bool:
    return pid is not None and began is not None and _start_of(pid) == began


def _slurm_says_ended(job: str, restart: int | None) -> bool:
    """Whether Slurm says that a job has ended, or was started again since."""
    if os.environ.get("SLURM_JOB_ID") == job:
        return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > (restart or 0)
    words = ["squeue", "--noheader", "--states=all", "--jobs", job, "--format=%T"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(done.stdout.split()) and set(done.stdout.split()) <= ENDED
