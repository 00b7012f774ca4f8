"""The preflight: the jobs that have to pass before a cell's training is released, and what they leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflex.grid.cells import Cell, cells, resources
from dataflex.grid.hub import experiment_models
from dataflex.grid.site import ANYWHERE, Site

FOLDERS = {"preflight_checks": "", "preflight_devices": "devices/", "preflight_score": "models/"}
"""Folder of each rule's sentinels below ``preflight``."""
RELEASES = tuple(FOLDERS)
"""The rules."""


def releases(grid: Mapping[str, Any], cell: Cell) -> list[tuple[str, str]]:
    """Rule and name of the jobs that release a cell's training; none where the grid has no preflight."""
    preflight = grid.get("preflight")
    if preflight is None:
        return []
    place = f"{cell.experiment}.{cell.scale}"
    found = [("preflight_checks", place)]
    if trainings(grid, cell.experiment, cell.scale)["gpus"]:
        found.append(("preflight_devices", place))
    scored = preflight.get("scores", {})
    return found + [
        ("preflight_score", name) for name in experiment_models(grid, cell.experiment) if name in scored
    ]


def release_file(root: str, rule: str, name: str) -> str:
    """Sentinel of such a job."""
    return f"{root}/preflight/{FOLDERS[rule]}{name}.json"


def trainings(grid: Mapping[str, Any], experiment: str, scale: str, site: Site = ANYWHERE) -> dict[str, Any]:
    """The most of each resource that a training of an experiment at a scale asks a node for."""
    asked = [
        resources(grid, cell, "train", site)
        for cell in cells(grid, experiments=[experiment])
        if cell.scale == scale
    ]
    return {key: max(one[key] for one in asked) for key in asked[0]}
