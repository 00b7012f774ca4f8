"""Findings of a preflight: what was looked at, whether it holds, and what to change where it doesn't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dataflex.corpus.files import write_json, write_text
from dataflex.errors import UnfitError

State = Literal["passed", "warned", "skipped", "failed"]
MARKS: dict[State, str] = {"passed": "ok", "warned": "warning", "skipped": "skipped", "failed": "FAILED"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    told: str
    """The numbers; for a failure, what to change."""

    def line(self) -> str:
        """The finding as a line of a report."""
        return f"{self.what}: {MARKS[self.state]}: {self.told}"


def conclude(
    title: str, findings: Sequence[Finding], output: Path, more: dict[str, Any] | None = None
) -> None:
    """Write the report; then, only if nothing failed, the JSON file that releases training.

    Args:
        title: of the report.
        findings: in the order of the report.
        output: the JSON file; the report has its name with ``.md``.
        more: further keys of the JSON file.

    Raises:
        UnfitError: something failed; says what, and where the report is.
    """
    report = output.with_suffix(".md")
    lines = [f"# Preflight: {title}", "", *(f"- {finding.line()}" for finding in findings)]
    output.unlink(missing_ok=True)
    write_text(report, "\n".join(lines) + "\n")
    if failed := [finding for finding in findings if finding.state == "failed"]:
        told = "; ".join(f"{finding.what}: {finding.told}" for finding in failed)
        raise UnfitError(f"preflight of {title} failed, nothing will be trained: {told} (report: {report})")
    write_json(output, {"findings": [asdict(finding) for finding in findings], **(more or {})})
