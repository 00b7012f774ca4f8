"""The workflow of continuous integration: what it may do, and that what it calls is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(FILE.read_text())


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(workflow: dict[Any, Any]) -> list[str]:
    """Every command, with each value of its job's matrix."""
    found = []
    for job in workflow["jobs"].values():
        matrix = job["strategy"]["matrix"]
        cells = matrix.get("include") or [{"target": target} for target in matrix["target"]]
        for step in job["steps"]:
            for cell in cells:
                if "run" in step:
                    found.append(
                        re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda m, cell=cell: cell[m[1]], step["run"])
                    )
    return found


def test_it_may_read_and_has_no_secrets(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    assert "secrets" not in FILE.read_text()
    # YAML reads the key `on` as a truth.
    assert "pull_request_target" not in workflow[True]
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


def test_actions_are_of_a_major_version(workflow: dict[Any, Any]) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)


def test_what_it_makes_is_in_the_makefile(workflow: dict[Any, Any]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {name for command in commands(workflow) for name in re.findall(r"\bmake ([a-z][\w-]*)", command)}
    assert made <= targets
    assert {"lint", "check", "test-crash", "test-mutations", "test-slurm"} <= made
    assert any("pytest" in command for command in commands(workflow))


def test_it_installs_what_is_pinned(workflow: dict[Any, Any]) -> None:
    for step in steps(workflow):
        if "setup-python" in step.get("uses", ""):
            assert step["with"]["python-version"] == "3.11"
            assert step["with"]["cache"] == "pip"
            assert "constraints.txt" in step["with"]["cache-dependency-path"]
    assert "make .venv/installed" in commands(workflow)
    assert "--constraint constraints.txt" in (ROOT / "Makefile").read_text()


def test_long_jobs_do_not_run_at_a_push(workflow: dict[Any, Any]) -> None:
    assert "push" not in workflow["jobs"]["long"]["if"]
    assert "schedule" in workflow["jobs"]["long"]["if"]
