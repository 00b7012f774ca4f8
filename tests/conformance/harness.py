"""Runs that are killed and started again, each in processes forked from one that has the libraries loaded."""

import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml

from .faults import Fault, train_in_child

PATIENCE = 30
"""Seconds within which the other ranks have to end when one has."""


@dataclass(frozen=True)
class Ended:
    """How the ranks of a run ended."""

    codes: list[int]
    seconds: float
    """Between the first end and the last one."""
    said: list[str]
    """What each rank printed."""

    @property
    def killed(self) -> bool:
        return -9 in self.codes

    @property
    def well(self) -> bool:
        return not any(self.codes)


class Box:
    """A folder in which a run happens; its configuration knows only relative paths, so that runs compare.

    Args:
        folder: to be made.
        config: written to ``config.yaml``; its ``output_dir`` is ``run``.
        cache: of tokenised data, shared by all.
        reference: model that is put beside the run, for components that need one.
        ranks: processes.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], cache: Path, reference: Path, ranks: int = 1
    ) -> None:
        self.folder, self._cache, self._ranks = folder, cache, ranks
        self.run = folder / "run"
        folder.mkdir(parents=True)
        shutil.copytree(reference, folder / "reference")
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"output_dir": "run"}))
        self.starts = 0

    def start(self, fault: Fault | None = None, command: str = "train") -> Ended:
        """Run the command until all ranks have ended; those that hang are killed, and counted as hung."""
        self.starts += 1
        context = multiprocessing.get_context("forkserver")
        logs = [self.folder / f"log-{self.starts}-{rank}.txt" for rank in range(self._ranks)]
        port = _free_port()
        processes = []
        for rank, log in enumerate(logs):
            process = context.Process(
                target=train_in_child,
                args=(
                    str(self.folder),
                    str(log),
                    _environment(rank, self._ranks, port),
                    str(self._cache),
                    fault,
                    [command, "config.yaml"],
                ),
            )
            process.start()
            processes.append(process)
        seconds = _wait(processes)
        codes = [process.exitcode for process in processes]
        said = [log.read_text() if log.exists() else "" for log in logs]
        return Ended([code if code is not None else 0 for code in codes], seconds, said)

    def finish(self, command: str = "train") -> None:
        """Run to the end, which must come without a fault."""
        ended = self.start(None, command)
        assert ended.well, "\n".join(text[-3000:] for text in ended.said)

    def die(self, fault: Fault, command: str = "train") -> bool:
        """Start with a fault; tell whether it struck. Without it the run must end well."""
        ended = self.start(fault, command)
        if not ended.killed:
            assert ended.well, "\n".join(text[-3000:] for text in ended.said)
        assert ended.seconds < PATIENCE, f"a rank outlived the other by {ended.seconds} s"
        return ended.killed

    def passed(self) -> dict[str, int]:
        """Return how often the last start, if it was not killed, has passed each place."""
        return dict(json.loads((self.folder / "places-0.json").read_text()))


def start_server() -> None:
    """Start the process that has the libraries loaded; it ends with this one."""
    multiprocessing.set_forkserver_preload([f"{__package__}.libraries"])
    before = os.environ.get("PYTHONPATH")
    # Python 3.11 does not hand the search path on to what is loaded there.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _wait(processes: list[BaseProcess]) -> float:
    first: float | None = None
    while any(process.is_alive() for process in processes):
        if first is None and any(process.exitcode is not None for process in processes):
            first = time.monotonic()
        if first is not None and time.monotonic() - first > 2 * PATIENCE:
            for process in processes:
                process.kill()
        multiprocessing.connection.wait([p.sentinel for p in processes if p.is_alive()], timeout=1.0)
    return time.monotonic() - first if first is not None else 0.0


def _environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    if ranks == 1:
        return {}
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
