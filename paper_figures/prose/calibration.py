"""Quantities of the calibration that the plan's hours come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError
from paper_figures.prose import shown


def text(device: Mapping[str, Any], quantity: str) -> str:
    """A number of the measured device.

    ``runs``, ``cells`` and ``experiments`` count what was fitted; ``smallest`` and ``largest`` are models;
    ``spread`` and ``a_cell.median`` and the like are errors in percent.
    """
    runs = re.match(r"(?P<runs>\d+) runs of (?P<cells>\d+) cells", device["source"])
    if runs and quantity in ("runs", "cells"):
        return runs[quantity]
    if quantity == "experiments":
        return str(device["errors"]["an_experiment"]["groups"])
    if quantity in ("smallest", "largest"):
        return shown.thousands(device["parameters"][("smallest", "largest").index(quantity)])
    if quantity == "spread":
        return shown.percent(device["spread"])
    part, _, error = quantity.partition(".")
    return shown.percent(device["errors"][part][error])


def measured(file: Path) -> Mapping[str, Any]:
    """The device of a calibration that was measured.

    Raises:
        UserError: none was, or several.
    """
    devices = [device for device in yaml.safe_load(file.read_text())["devices"] if device["measured"]]
    if len(devices) != 1:
        raise UserError(f"{file} has {len(devices)} devices that were measured, one is expected")
    return dict(devices[0])
