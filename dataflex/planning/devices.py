"""Which device of a calibration file is meant: by a grid, and by the name that a run's hardware has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dataflex.errors import UserError
from dataflex.planning.calibration import Device

WORDS = {"gpu": "GPU", "cpu": "processor"}


def device_for(devices: Mapping[str, Device], name: str | None, kind: str) -> tuple[Device, str | None]:
    """Return the device of a name; without one, the first of a kind, of those that were measured if any was.

    Args:
        devices: of a calibration file.
        name: as it stands there.
        kind: that the grid's jobs ask for.

    Returns:
        The device, and why it was taken where another could have been.

    Raises:
        UserError: there is none.
    """
    if name is not None:
        if name not in devices:
            raise UserError(f"no device is called {name!r}; there are {', '.join(devices)}")
        return devices[name], None
    own = [one for one in devices.values() if one.kind == kind]
    if not own:
        raise UserError(f"the calibration file has no {kind}: run `dataflex-cli plan --calibrate RUN_DIR...`")
    measured = [one for one in own if one.measured]
    taken = (measured or own)[0]
    others = ", ".join(repr(one.device) for one in own if one is not taken)
    if not others:
        return taken, None
    if measured:
        why = "the first that was measured" if len(measured) > 1 else "the only one that was measured"
    else:
        why = "the first, since none was measured"
    return taken, f"{taken.device} is, of {len(own)} {WORDS[kind]}s, {why}; --device takes another: {others}"


def known_of(devices: Mapping[str, Device], name: str, kind: str) -> Device | None:
    """Return what is known of some hardware before it is measured; None if nothing is.

    That is what was assumed of it, perhaps under a shorter name: of ``NVIDIA H100 80GB HBM3`` what is assumed
    of H100, with the memory that the name tells.

    Args:
        devices: of a calibration file.
        name: of the hardware, as PyTorch tells it.
        kind: gpu or cpu.
    """
    # Whole words alone: an H200 is no H20.
    named = [
        one
        for one in devices.values()
        if one.kind == kind and not one.measured and re.search(rf"\b{re.escape(one.device)}\b", name, re.I)
    ]
    if not named:
        return devices.get(name)
    known = max(named, key=lambda one: len(one.device))
    told = re.search(r"\b(\d+) ?GB\b", name)
    return replace(known, memory_gb=float(told[1])) if told else known
