"""A folder of compiled extensions for one run alone.

PyTorch compiles what DeepSpeed needs at its first use, behind a lock file. Before PyTorch 2.14 a killed
process leaves it and every later one waits for it, without end; since then it stays and means nothing. So
each run has a folder of its own, cleared when the run begins and filled with what an earlier one has built.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def prepare(own: Path, shared: Path) -> dict[str, str]:
    """Clear a run's folder, fill it from the shared one; the variable that names it to PyTorch."""
    shutil.rmtree(own, ignore_errors=True)
    built = shared / _environment()
    if built.is_dir():
        shutil.copytree(built, own, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
    return {"TORCH_EXTENSIONS_DIR": str(own.absolute())}


def publish(own: Path, shared: Path) -> None:
    """Hand what a run has built to later ones, each extension that they do not have; remove the run's folder.

    The run has ended well, so that all that it has begun to build is built.
    """
    built = shared / _environment()
    for extension in own.iterdir() if own.is_dir() else ():
        if not (built / extension.name).exists():
            built.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another run was faster
                os.rename(extension, built / extension.name)
    shutil.rmtree(own, ignore_errors=True)


def _environment() -> str:
    """What compiled code depends on: another machine or version builds its own."""
    versions = []
    for name in ("torch", "deepspeed"):
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name}{version(name)}")
    return "-".join([platform.machine(), f"py{platform.python_version()}", *versions])
