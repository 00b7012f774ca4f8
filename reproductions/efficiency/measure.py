"""Timing and peak memory of variants in one process. Needs torch alone: other environments use it too."""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from efficiency.processes import launched, process_group, together

Facts = Mapping[str, Any]
Variant = Callable[[], "Facts | None"]
"""One pass of what is measured; may return numbers that belong to it, for example seconds of its parts."""

PACKAGES = ("torch", "transformers", "peft", "numpy", "dataflex", "traker", "fast-jl", "faiss-cpu")
MEBI = 2**20


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do; a JSON file."""

    variants: dict[str, int]
    """How often each is run."""
    threads: int
    workload: str = ""
    """Folder with model and rows."""
    memory: bool = False
    """Run each variant once, in a process that has timed nothing else, and take its peak memory."""
    options: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    """Each with a GPU of its own, if there are GPUs; the first one's time and memory are taken."""
    hide_gpus: bool = False
    """Where a job asks for none and its node has some, a side that would take one doesn't find it."""


def serve(make: Callable[[Job], dict[str, Variant]]) -> None:
    """Run the job in the file named on the command line and write the result to the file named second."""
    request, answer = sys.argv[1:]
    job = Job(**json.loads(Path(request).read_text()))
    with process_group() as first:
        measured = perform(make, job)
        if first:
            Path(answer).write_text(json.dumps(measured))


def perform(make: Callable[[Job], dict[str, Variant]], job: Job) -> dict[str, Any]:
    """Run a job in this process and return the environment and the passes of each variant."""
    torch.set_num_threads(job.threads)
    variants = make(job)
    unknown = set(job.variants) - set(variants)
    if unknown:
        raise SystemExit(f"no variants {sorted(unknown)}; there are {sorted(variants)}")
    if job.memory:
        runs = {name: [_with_memory(variants[name])] for name in job.variants}
    else:
        runs = interleave({name: (variants[name], count) for name, count in job.variants.items()})
    return {"environment": environment(job.threads), "runs": runs}


def interleave(variants: Mapping[str, tuple[Variant, int]]) -> dict[str, list[dict[str, Any]]]:
    """Run all variants in turn, round after round, each as often as it asks for.

    A machine that is busy for a while is so for every variant, and the ratio of two of one round stays right.
    Every other round goes backwards, so that none profits from its place.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for turn in range(max((count for _, count in variants.values()), default=0)):
        names = [name for name, (_, count) in variants.items() if turn < count]
        for name in names if turn % 2 == 0 else reversed(names):
            runs[name].append({"round": turn} | _timed(variants[name][0]))
    return runs


def _timed(variant: Variant) -> dict[str, Any]:
    gc.collect()
    synchronise()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    worked, began = sum(os.times()[:4]), time.perf_counter()
    facts = variant()
    synchronise()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu_seconds": sum(os.times()[:4]) - worked, "load": load} | dict(facts or {})


def _with_memory(variant: Variant) -> dict[str, Any]:
    gc.collect()
    before = _reset_peak()
    found = _timed(variant)
    return found | {"before_mib": before / MEBI, "peak_mib": _peak() / MEBI}


def synchronise() -> None:
    """Wait for the GPU, if there is one, and for the other processes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if together():
        dist.barrier()


def device() -> torch.device:
    """Return where models run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _reset_peak() -> int:
    """Forget the peak so far; return the bytes in use."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Elsewhere the peak includes that of loading the model.
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    found = _status("VmHWM")
    if found:
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), 0)


def environment(threads: int) -> dict[str, Any]:
    """Return hardware and versions that a timing depends on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "packages": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


class WorkerError(RuntimeError):
    """A worker ended with an error."""


def worker_variables(threads: int, paths: list[Path], hide_gpus: bool = False) -> dict[str, str]:
    """Return the environment variables of a worker: its module path, its threads, and quiet libraries."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if hide_gpus else {}
    return (
        os.environ
        | hidden
        | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "DISABLE_VERSION_CHECK": "1",
        }
    )


def ask(python: str, worker: str, job: Job, folder: Path, paths: list[Path], optimised: bool = False) -> Any:
    """Run a job in a process of its own and return what it measured.

    Args:
        python: interpreter of the environment.
        worker: module below ``efficiency.workers``.
        job: what to run.
        folder: where the process starts and its files lie.
        paths: put in front of the process's module path.
        optimised: run without assertions.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    request, answer = folder / "job.json", folder / "answer.json"
    request.write_text(json.dumps(vars(job)))
    answer.unlink(missing_ok=True)
    command = launched(python, job.processes)
    command += [*(["-O"] if optimised else []), "-m", f"efficiency.workers.{worker}"]
    command += [str(request), str(answer)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=worker_variables(job.threads, paths, job.hide_gpus),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not answer.is_file():
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        # torchrun tells last that a process has failed; the process itself has said why before that.
        why = [line for line in lines if "Error: " in line and job.processes > 1] or lines[-1:]
        raise WorkerError(f"{worker} ended with status {done.returncode}: {why[0]}")
    return json.loads(answer.read_text())
