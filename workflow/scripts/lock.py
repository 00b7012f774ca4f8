"""One writer of a cell, whatever started it: a lock file with a heartbeat that outlives no process for long.

Two jobs can be started for one cell: a workflow was killed and started again, a node was given up by Slurm
and came back. The second one waits for the first, and goes on alone when the first is gone. A writer that
finds its lock taken, because it was silent for too long, stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

BEAT = 10.0
"""Seconds between two heartbeats."""
SILENCE = 120.0
"""Seconds without a heartbeat after which a writer that can't be asked is taken for gone."""
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}


def identity() -> dict[str, Any]:
    """Who this process is: host, process and its start, and its Slurm job."""
    restart = os.environ.get("SLURM_RESTART_COUNT", "0")
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": psutil.Process().create_time(),
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
        self._token = uuid.uuid4().hex
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    def acquire(self, lost: Callable[[], None], tell: Callable[[str], None] = print) -> bool:
        """Wait until no other writer lives, and take the lock.

        Args:
            lost: called from another thread if the lock is taken away while it is held.
            tell: told once whom it waits for.

        Returns:
            Whether another writer was waited for, which may have finished the work.
        """
        waited = False
        self._file.parent.mkdir(parents=True, exist_ok=True)
        while not self._take():
            holder = self._read()
            if holder is None:
                continue
            if self._is_gone(holder):
                self._remove(holder)
                continue
            if not waited:
                tell(f"waiting for another writer: {describe(holder)}, lock {self._file}")
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
        holder = self._read()
        if holder is not None and holder.get("token") == self._token:
            self._file.unlink(missing_ok=True)

    def _take(self) -> bool:
        # A link appears with its content or not at all, on network file systems too.
        draft = self._file.with_name(f".{self._file.name}.{self._token}")
        draft.write_text(json.dumps({**identity(), "time": time.time(), "token": self._token}) + "\n")
        try:
            os.link(draft, self._file)
        except FileExistsError:
            # Over a network the first answer may be lost, and the second try finds the first one's link.
            return draft.stat().st_nlink > 1
        finally:
            draft.unlink()
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self._file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return content if isinstance(content, dict) else None

    def _remove(self, holder: dict[str, Any]) -> None:
        """Remove a lock whose holder is gone, and no other that came in its place."""
        aside = self._file.with_name(f".{self._file.name}.{self._token}.gone")
        if (self._read() or {}).get("token") != holder.get("token"):
            return
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._file, aside)
            if json.loads(aside.read_text()).get("token") != holder.get("token"):
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self._file)
            aside.unlink()

    def _is_gone(self, holder: dict[str, Any]) -> bool:
        if holder.get("host") == socket.gethostname():
            return not _lives(holder["pid"], holder["began"])
        if (job := holder.get("slurm_job")) and _slurm_says_ended(job, holder.get("slurm_restart")):
            return True
        try:
            # Both times are the file server's: clocks of hosts may differ.
            probe = self._file.with_name(f".{self._file.name}.{self._token}.now")
            probe.touch()
            age = probe.stat().st_mtime - self._file.stat().st_mtime
            probe.unlink()
        except FileNotFoundError:
            return False
        return age > self._silence

    def _keep(self, lost: Callable[[], None]) -> None:
        heard = time.monotonic()
        while not self._over.wait(self._beat):
            try:
                holder = json.loads(self._file.read_text())
                if holder.get("token") != self._token:
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


def _lives(pid: int, began: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - began) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
