"""The environments that are compared, and asking them for measurements."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from efficiency.measure import Job, WorkerError, ask

PACKAGE = Path(__file__).resolve().parent
console = Console(stderr=True)


@dataclass(frozen=True)
class Side:
    """An environment to measure in."""

    name: str
    python: str
    paths: list[Path]


def library() -> Side:
    """Return this library, as it lies beside the benchmark."""
    return Side("library", sys.executable, [PACKAGE.parent, PACKAGE.parents[1]])


def upstream(venv: Path) -> Side:
    """Return upstream's dataflex in a virtual environment of its own."""
    python = venv.resolve() / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{venv} is no virtual environment: make it with make efficiency-upstream")
    code = "import dataflex, importlib.metadata as m; print(m.version('dataflex'), dataflex.__file__)"
    # Not from here: this folder's own dataflex would be found first.
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, env=_clean())
    if done.returncode or not done.stdout.startswith("1.1."):
        raise SystemExit(f"{venv} does not hold dataflex 1.1: {done.stdout or done.stderr}".strip())
    return Side("upstream", str(python), [PACKAGE.parent])


def authors_of_less(environment: Side, checkout: Path) -> Side:
    """Return the code of LESS's authors, a checkout of princeton-nlp/LESS, in upstream's environment."""
    if not (checkout / "less" / "data_selection" / "collect_grad_reps.py").is_file():
        raise SystemExit(f"{checkout} is no checkout of princeton-nlp/LESS")
    return Side("authors", environment.python, [*environment.paths, checkout.resolve()])


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@dataclass
class Report:
    """All that a benchmark measured; written as one JSON file."""

    benchmark: str
    about: dict[str, Any] = field(default_factory=dict)
    environments: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    """One timed pass each: side, variant, case, round, seconds, cpu_seconds, load, and more."""
    memory: list[dict[str, Any]] = field(default_factory=list)
    """One pass each in a process of its own: as above, with before_mib and peak_mib."""
    failures: list[dict[str, str]] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    """Of each variant, the last that were seen; not written."""

    def write(self, path: Path) -> None:
        """Write all but the scores."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {key: value for key, value in vars(self).items() if key != "scores"}
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(unfinished, path)
        console.print(f"wrote {path}")


@dataclass(frozen=True)
class Bench:
    """Asks sides for measurements and adds them to a report."""

    report: Report
    folder: Path
    """For files that pass between processes."""
    threads: int
    worker: str
    """Ending of the workers' names: ``library_<worker>`` and ``upstream_<worker>``."""

    def time(self, side: Side, variants: Mapping[str, int], case: dict[str, Any], **job: Any) -> None:
        """Time variants in turn in one process."""
        wanted = {name: count for name, count in variants.items() if count}
        if wanted:
            self._ask(side, Job(wanted, self.threads, **job), case, self.report.runs)

    def remember(self, side: Side, variants: list[str], case: dict[str, Any], **job: Any) -> None:
        """Measure the peak memory of variants, each in a process of its own."""
        for name in variants:
            self._ask(side, Job({name: 1}, self.threads, memory=True, **job), case, self.report.memory)

    def _ask(self, side: Side, job: Job, case: dict[str, Any], into: list[dict[str, Any]]) -> None:
        what = "peak memory of" if job.memory else "timing"
        optimised = any(name.startswith("authors") for name in job.variants)
        with console.status(f"{side.name}: {what} {', '.join(job.variants)} {case or ''}"):
            try:
                worker = f"{side.name}_{self.worker}"
                answer = ask(side.python, worker, job, self.folder, side.paths, optimised)
            except WorkerError as error:
                failure = {"side": side.name, "variants": ", ".join(job.variants), "error": str(error)[:300]}
                self.report.failures.append(failure | {"case": json.dumps(case)})
                console.print(f"{side.name}: {error}", style="red", markup=False, highlight=False)
                return
        self.report.environments[side.name] = answer["environment"]
        for variant, runs in answer["runs"].items():
            name, _, share = variant.partition("@")
            own = case | ({"share": float(share)} if share else {})
            for run in runs:
                scores = run.pop("scores", None)
                if scores is not None:
                    self.report.scores[variant] = scores
                into.append({"side": side.name, "variant": name, "case": own} | run)
            median = sorted(run["seconds"] for run in runs)[len(runs) // 2]
            peak = f", peak {runs[0]['peak_mib']:.0f} MiB" if job.memory else ""
            console.print(f"  {side.name:8} {variant:44} {median:9.2f} s  n={len(runs)}{peak}", markup=False)


def fresh(folder: Path) -> Path:
    """Empty a folder, or make it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
