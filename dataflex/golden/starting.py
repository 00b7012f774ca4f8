"""Golden runs in a process of their own, whose environment decides how the libraries compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.golden.cases import Case
from dataflex.golden.entry import Entry

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DISABLE_VERSION_CHECK": "1",
    "LLAMAFACTORY_VERBOSITY": "WARN",
    "CUDA_VISIBLE_DEVICES": "",
}
JOBS = 2
"""Runs at a time."""
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
Runs = dict[str, dict[str, Entry]]
"""Quantities of each run, by label."""


class Workplace:
    """A temporary folder with the materials of golden runs; a context manager, which removes it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dataflex-golden-", ignore_cleanup_errors=True)
        self.materials = Path(self._folder.name) / "materials"
        self._started = 0

    def __enter__(self) -> Workplace:
        from dataflex.golden.materials import make_materials

        self.materials.mkdir()
        make_materials(self.materials)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(
        self, cases: Sequence[Case], environment: Mapping[str, str], ended: Callable[[str], None]
    ) -> tuple[Runs, dict[str, str]]:
        """Train golden runs; return the quantities of each, and the errors of those that failed.

        Args:
            cases: what to run.
            environment: of the process, besides this one's.
            ended: called with ``loaded``, and with the label of each run that has ended.

        Raises:
            UserError: the process ended before its runs.
        """
        labels = [case.label for case in cases]
        return _read(self.work("dataflex.golden.worker", {"cases": labels}, environment, ended))

    def work(
        self,
        module: str,
        asked: Mapping[str, Any],
        environment: Mapping[str, str],
        ended: Callable[[str], None],
    ) -> Path:
        """Let a module work in a process of its own, and return the folder of its results.

        Args:
            module: run with ``python -m``.
            asked: what it reads from its standard input, beside ``materials``, ``results`` and ``jobs``.
            environment: see ``run``.
            ended: called with each line that it prints.

        Raises:
            UserError: it failed.
        """
        self._started += 1
        results = self.materials.parent / f"results-{self._started}"
        results.mkdir()
        places = {"materials": str(self.materials), "results": str(results)}
        jobs = {"jobs": min(JOBS, os.cpu_count() or 1)}
        inherited = {key: value for key, value in os.environ.items() if key not in RANKS}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        log = results / "worker.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=inherited | QUIET | {"PYTHONPATH": path} | dict(environment),
            )
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps({**asked, **places, **jobs}))
                process.stdin.close()
                for line in process.stdout:
                    ended(line.strip())
                status = process.wait()
            finally:
                process.kill()
        if status:
            said = "\n".join(log.read_text().splitlines()[-5:])
            raise UserError(f"golden runs could not be started here:\n{said}")
        return results


def _read(results: Path) -> tuple[Runs, dict[str, str]]:
    runs = {
        file.stem: {name: Entry.from_dict(record) for name, record in json.loads(file.read_text()).items()}
        for file in sorted(results.glob("*.json"))
    }
    return runs, {file.stem: file.read_text() for file in sorted(results.glob("*.error"))}
