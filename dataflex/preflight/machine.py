"""Checks of the machine: room on the disk, GPUs, versions of packages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from dataflex.errors import one_line
from dataflex.preflight.report import Finding

DECISIVE = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "peft",
    "tokenizers",
    "llamafactory",
    "deepspeed",
    "lm_eval",
    "numpy",
)
"""Packages whose versions decide about results."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)")


def disk(folder: Path, estimate: Mapping[str, float]) -> Finding:
    """Whether a folder's disk has as much room as is estimated.

    Args:
        folder: of the rung; it need not exist yet.
        estimate: GB still to be written, by purpose.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free, needed = shutil.disk_usage(place).free / 1e9, sum(estimate.values())
    parts = ", ".join(f"{purpose} {size:.3g}" for purpose, size in estimate.items() if size)
    told = (
        f"{free:.1f} GB free on the disk of {folder}, {needed:.1f} GB needed{f' ({parts})' if parts else ''}"
    )
    if free < needed:
        return Finding(
            "disk",
            "failed",
            f"{told}: make room, or set `output` of the workflow to a larger disk; if runs take less, lower "
            "preflight.disk_gb in the grid, which is what all of its runs take",
        )
    return Finding("disk", "passed", f"{told}; a quota is not seen here")


def gpus(asked: int) -> Finding:
    """Whether this process sees the GPUs that its job asked for."""
    if asked == 0:
        return Finding("GPUs", "skipped", "the job asks for none")
    import torch

    seen = torch.cuda.device_count()
    if seen < asked:
        return Finding(
            "GPUs",
            "failed",
            f"{asked} asked for, {seen} visible: look at the partition and gres in the profile, at "
            "CUDA_VISIBLE_DEVICES, and whether torch was installed with CUDA",
        )
    try:
        names = sorted({torch.cuda.get_device_name(index) for index in range(seen)})
    except RuntimeError as error:
        # They are counted without CUDA's driver, and this is the first thing that asks it.
        return Finding(
            "GPUs",
            "failed",
            f"{seen} visible, and CUDA can't use them ({one_line(error)[:200]}): torch {torch.__version__} "
            f"is built for CUDA {torch.version.cuda}; where the driver is older, install a build of torch "
            "for an earlier CUDA, from PyTorch's own index of wheels",
        )
    return Finding("GPUs", "passed", f"{asked} asked for, {seen} visible: {', '.join(names)}")


def versions(constraints: Path) -> Finding:
    """How the installed packages that decide about results differ from those that were tested together."""
    if not constraints.is_file():
        return Finding("versions", "skipped", f"there is no {constraints} here")
    pins = {
        _plain(match[1]): match[2]
        for line in constraints.read_text(encoding="utf-8").splitlines()
        if (match := _PIN.match(line))
    }
    odd, found = [], 0
    for name in DECISIVE:
        try:
            own = metadata.version(name)
        except metadata.PackageNotFoundError:
            own = None
        pin = pins.get(_plain(name))
        found += own is not None
        # A local label as +cpu or +cu130 names the build, not the version.
        if pin and (own or "").split("+")[0] != pin.split("+")[0]:
            odd.append(f"{name} {own or 'not installed'} (tested: {pin})")
    if odd:
        return Finding("versions", "warned", f"other than in {constraints}: {', '.join(odd)}")
    return Finding("versions", "passed", f"{found} packages as in {constraints}")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
