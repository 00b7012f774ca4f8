"""How fast a device is: fitted to measured runs, or assumed and then said to be.

A run takes

    run_seconds + step_seconds x steps + operations / (processes x achieved operations a second)

on each of its processes. For a device that was measured the three constants are fitted by non-negative
least squares of relative errors; for others the achieved rate is the peak times an assumed utilisation (of
the operations that are carried out, recomputed activations included).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import nnls

from dataflex.errors import UserError
from dataflex.planning.work import Work

CALIBRATION = Path("reproductions/calibration.yaml")
SCHEMA = 1
LEAST_CELLS = 4
SAMPLING = {"gpu": 10.0, "cpu": 1.0}
"""How much slower an operation is taken to be when tokens are sampled, where nothing else is known."""
HEAD = """\
# How fast devices are: see dataflex/planning/calibration.py. An entry that was measured is written by
# `dataflex-cli plan --calibrate RUN_DIR...`; one that was not says so wherever its hours are shown.
"""


@dataclass(frozen=True)
class Device:
    """Speed of one processor or GPU."""

    device: str
    kind: str
    """gpu or cpu."""
    measured: bool
    source: str
    """Where the numbers come from, as the plan prints it."""
    run_seconds: float
    """Of a run, before its first step and after its last."""
    step_seconds: float
    """Of a step, beside its operations."""
    peak_flops: float | None = None
    """Operations a second that the vendor states; None: not known."""
    mfu: float | None = None
    """Share of the peak that is achieved."""
    achieved_flops: float | None = None
    """Operations a second; None: the peak times ``mfu``."""
    sampling: float = 1.0
    """How much slower an operation is when tokens are sampled one by one."""
    memory_gb: float | None = None
    parameters: list[int] | None = None
    """Of the smallest and the largest model that was measured."""
    errors: Mapping[str, Any] | None = None
    """Relative errors on what was held out of the fit; none for what was assumed."""
    spread: float | None = None
    """What no prediction can be better than: runs of one cell beside their own mean, median."""

    @property
    def rate(self) -> float:
        """Operations a second that are achieved."""
        if self.achieved_flops is not None:
            return self.achieved_flops
        assert self.peak_flops is not None
        assert self.mfu is not None
        return self.peak_flops * self.mfu

    def seconds(self, work: Work, processes: int) -> float:
        """Return how long a run takes."""
        flops = operations(work, self.sampling)
        return self.run_seconds + self.step_seconds * work.steps + flops / (processes * self.rate)

    def says(self) -> str:
        """Tell how the hours were found, for people."""
        if self.measured:
            errors = [
                f"{own['median']:.0%} where {name.replace('_', ' ')}"
                for name, own in (self.errors or {}).items()
            ]
            told = [f"measured: {self.source}"]
            told += [f"median error {', '.join(errors)} was held out"] if errors else []
            if self.sampling != 1:
                told.append(f"assumed: sampling {self.sampling:g} times slower an operation")
            return "; ".join(told)
        return f"assumed, not measured: {self.source}"


def operations(work: Work, sampling: float) -> float:
    """Operations of a run, those of sampled tokens as often as they are slower."""
    return sum(one.flops * (sampling if one.sampling else 1.0) for one in work.passes)


@dataclass(frozen=True)
class Measurement:
    """A run that was timed."""

    cell: str
    """Runs of one cell (its seeds) are left out together."""
    seconds: float
    work: Work
    processes: int = 1
    parameters: int = 0
    """Of the model."""
    sampling: float = 1.0
    """How much slower an operation is taken to be when tokens are sampled."""

    @property
    def experiment(self) -> str:
        """The experiment of the cell."""
        return self.cell.partition("/")[0]

    @property
    def terms(self) -> np.ndarray:
        """What the three constants are multiplied with."""
        return np.array([1.0, self.work.steps, operations(self.work, self.sampling) / self.processes])


def fit(measurements: Sequence[Measurement]) -> np.ndarray:
    """Return seconds a run, a step and an operation that fit best; none is negative."""
    terms = np.array([one.terms / one.seconds for one in measurements])
    scale = np.maximum(terms.max(axis=0), 1e-300)
    found, _ = nnls(terms / scale, np.ones(len(measurements)))
    return np.asarray(found / scale)


def held_out_errors(measurements: Sequence[Measurement], groups: Sequence[str]) -> dict[str, Any]:
    """Predict each group of runs by a fit to the others, and tell the relative errors of all runs.

    Args:
        measurements: the runs.
        groups: name of each run's group.
    """
    errors = []
    for group in sorted(set(groups)):
        inside = [one for one, name in zip(measurements, groups, strict=True) if name == group]
        constants = fit([one for one, name in zip(measurements, groups, strict=True) if name != group])
        errors += [abs(float(one.terms @ constants) / one.seconds - 1) for one in inside]
    return {
        "groups": len(set(groups)),
        "median": round(float(np.median(errors)), 3),
        "nine_in_ten": round(float(np.quantile(errors, 0.9)), 3),
        "worst": round(float(max(errors)), 3),
    }


def spread_of_cells(measurements: Sequence[Measurement]) -> float | None:
    """Return how far runs of one cell are from their mean, as the median share; None if no cell has two."""
    found = []
    for cell in {one.cell for one in measurements}:
        seconds = [one.seconds for one in measurements if one.cell == cell]
        mean = sum(seconds) / len(seconds)
        found += [abs(mean / own - 1) for own in seconds if len(seconds) > 1]
    return round(float(np.median(found)), 3) if found else None


def calibrated(name: str, kind: str, measurements: Sequence[Measurement], known: Device | None) -> Device:
    """Fit a device's constants; peak, memory and how slow sampling is are kept from what was ``known`` of it.

    Raises:
        UserError: too few cells, or all of them so small that their operations take no time.
    """
    cells, experiments = [one.cell for one in measurements], [one.experiment for one in measurements]
    if len(set(cells)) < LEAST_CELLS:
        raise UserError(
            f"{len(set(cells))} different cells are too few to fit three constants and hold one out: "
            f"give {LEAST_CELLS}"
        )
    sampling = known.sampling if known else SAMPLING[kind]
    measurements = [replace(one, sampling=sampling) for one in measurements]
    errors = {"a_cell": held_out_errors(measurements, cells)}
    if len(set(experiments)) > 2:
        errors["an_experiment"] = held_out_errors(measurements, experiments)
    run, step, operation = (float(value) for value in fit(measurements))
    if operation <= 0:
        raise UserError("the runs' times do not grow with their operations: give larger runs, too")
    peak = known.peak_flops if known else None
    sizes = [one.parameters for one in measurements]
    return Device(
        device=name,
        kind=kind,
        measured=True,
        source=f"{len(measurements)} runs of {len(set(cells))} cells",
        run_seconds=round(run, 3),
        step_seconds=round(step, 6),
        peak_flops=peak,
        mfu=round(1 / operation / peak, 4) if peak else None,
        achieved_flops=float(f"{1 / operation:.4g}"),
        sampling=sampling,
        memory_gb=known.memory_gb if known else None,
        parameters=[min(sizes), max(sizes)],
        errors=errors,
        spread=spread_of_cells(measurements),
    )


def read_devices(file: Path = CALIBRATION) -> dict[str, Device]:
    """Read a calibration file.

    Raises:
        UserError: it is missing or not in this form.
    """
    if not file.is_file():
        raise UserError(
            f"no calibration file {file}: start at the repository's root, or name one by --calibration"
        )
    try:
        content = yaml.safe_load(file.read_text())
        devices = [Device(**entry) for entry in content["devices"]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no calibration file: {' '.join(str(error).split())}") from None
    for one in devices:
        if one.achieved_flops is None and (one.peak_flops is None or one.mfu is None):
            raise UserError(f"{file}: {one.device} needs achieved_flops, or peak_flops and mfu")
    return {one.device: one for one in devices}


def write_device(device: Device, file: Path = CALIBRATION) -> None:
    """Put a device's entry into a calibration file, in the place of an older one."""
    devices = {**(read_devices(file) if file.is_file() else {}), device.device: device}
    entries = [{k: v for k, v in asdict(one).items() if v is not None} for one in devices.values()]
    text = yaml.safe_dump(
        {"schema": SCHEMA, "devices": entries}, sort_keys=False, allow_unicode=True, width=110
    )
    file.write_text(HEAD + text)
