"""``dataflex-cli plan`` on a grid, and the calibration of its hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError
from dataflex.grid import PROFILE, cells, load
from dataflex.planning.calibration import (
    CALIBRATION,
    Device,
    calibrated,
    read_devices,
    write_device,
)
from dataflex.planning.devices import device_for, known_of
from dataflex.planning.jobs import uses_gpus
from dataflex.planning.measured import read_measurements
from dataflex.planning.plan import grid_plan
from dataflex.planning.runs import Part

GRID_KEYS = {"schema", "rung", "experiments"}


def is_grid(file: Path) -> bool:
    """Whether a file is a grid, not the configuration of one run; one that can't be read is none."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and set(content) >= GRID_KEYS


def names(text: str | None) -> list[str] | None:
    """Read a list such as ``a,b``; None for none."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str | None) -> list[int] | None:
    """Read seeds such as ``1,2,3``.

    Raises:
        UserError: one is no whole number from 0, or comes twice.
    """
    found = names(text)
    if found is None:
        return None
    if not found or not all(part.isdecimal() for part in found) or len(set(found)) < len(found):
        raise UserError(f"--seeds {text}: say different whole numbers, for example 1,2,3")
    return [int(part) for part in found]


@dataclass(frozen=True)
class Options:
    """What the command line says of a grid, under the names of its options."""

    seeds: str | None = None
    experiments: str | None = None
    methods: str | None = None
    device: str | None = None
    output: str | None = None
    gpus: int | None = None
    gpu_memory_gb: float | None = None
    budget: float | None = None
    profile: str | None = None

    def given(self) -> list[str]:
        """Options that were said, as typed."""
        return [f"--{name.replace('_', '-')}" for name, value in asdict(self).items() if value is not None]


def plan_of_file(
    file: Path, options: Options, calibration: Path = CALIBRATION, targets: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the plan of a grid file, or of what some targets stand for, as JSON types."""
    part = Part(numbers(options.seeds), names(options.experiments), names(options.methods), targets)
    device, why = device_for(read_devices(calibration), options.device, _kind(file))
    return grid_plan(
        file,
        part,
        device,
        why=why,
        root=options.output,
        devices=options.gpus,
        memory_gb=options.gpu_memory_gb,
        budget=options.budget,
        profile=_profile(file, options.profile),
    )


def _profile(file: Path, given: str | None) -> Path | None:
    """The cluster's profile: by default, of a grid for GPUs, what `snakemake --profile slurm` reads."""
    if given is not None:
        return Path(given)
    return PROFILE if PROFILE.is_file() and _kind(file) == "gpu" else None


def _kind(file: Path) -> str:
    """Kind of device that a grid asks for."""
    grid = load(file)
    return "gpu" if uses_gpus(grid, cells(grid)) else "cpu"


def calibrate(folders: Sequence[Path], name: str | None, file: Path) -> tuple[Device, list[tuple[Path, str]]]:
    """Fit a device to finished runs and write its entry.

    Args:
        folders: run directories; what is no run is passed over.
        name: of the device; None: as the runs' manifests call it.
        file: calibration file, made if it is missing.

    Returns:
        The device, and the folders that were passed over, with the reason.
    """
    measurements, left_out, hardware = read_measurements(folders)
    kind = "cpu" if "thread" in hardware else "gpu"
    devices = read_devices(file) if file.is_file() else {}
    known = known_of(devices, hardware, kind) or (known_of(devices, name, kind) if name else None)
    device = calibrated(name or hardware, kind, measurements, known)
    write_device(device, file)
    return device, left_out


def print_device(device: Device, left_out: Sequence[tuple[Path, str]]) -> None:
    """Print what was fitted, and how well it predicts cells that were held out."""
    from rich.console import Console

    console = Console()
    console.print(
        f"[bold]{device.device}[/bold]: {device.rate:.3g} operations a second, "
        f"{device.step_seconds:.4g} s a step, {device.run_seconds:.3g} s a run ({device.source})"
    )
    for held_out, errors in (device.errors or {}).items():
        console.print(
            f"relative error where {held_out.replace('_', ' ')} is held out of the fit: "
            f"median {errors['median']:.0%}, nine in ten below {errors['nine_in_ten']:.0%}, "
            f"worst {errors['worst']:.0%}"
        )
    if device.spread is not None:
        console.print(f"runs of one cell differ from their own mean by {device.spread:.0%} (median)")
    for reason, number in Counter(why for _, why in left_out).items():
        console.print(f"passed over, {number}: {reason}", highlight=False, markup=False)
