"""A process that has the libraries loaded and forks one process a golden run: ``python -m``, by ``starting``.

It reads from standard input one JSON object, ``{"materials", "results", "cases", "jobs"}``, leaves
``KIND.NAME.json`` or, of a run that failed, ``KIND.NAME.error`` in the folder ``results``, and prints a line
for each that has ended.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import multiprocessing.connection
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from dataflex.golden.cases import Case
from dataflex.golden.entry import Entry
from dataflex.golden.running import run_case

LIBRARIES = (
    "dataflex.engine.trainer",
    "dataflex.host.builders",
    "dataflex.host.train",
    "llamafactory.data",
    "llamafactory.hparams",
    "llamafactory.model",
    "llamafactory.train.pt.trainer",
    "llamafactory.train.sft.trainer",
    "llamafactory.train.tuner",
    "sentence_transformers",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3_moe.modeling_qwen3_moe",
)
Task = Callable[[], Mapping[str, Entry]]
TIME_LIMIT = 300.0
"""Seconds that a run may take before it counts as hung."""


def own_output() -> TextIO:
    """Return the stream to the parent; what libraries print from now on goes to standard error."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stream


def load_libraries() -> None:
    """Import what every run imports."""
    for name in LIBRARIES:
        importlib.import_module(name)
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    # These import the modules of all models when they are first looked through.
    list(MODEL_FOR_CAUSAL_LM_MAPPING.keys())
    list(TOKENIZER_MAPPING.keys())


def run_forked(tasks: Mapping[str, Task], results: Path, jobs: int) -> Iterator[str]:
    """Run each task in a process forked from this one and yield its name when it has ended.

    Args:
        tasks: by name; what each returns is written to ``NAME.json``, or its error to ``NAME.error``.
        results: an existing folder.
        jobs: at a time.
    """
    context = multiprocessing.get_context("fork")
    waiting, running = dict(tasks), dict[str, BaseProcess]()
    while waiting or running:
        while waiting and len(running) < jobs:
            name = next(iter(waiting))
            running[name] = context.Process(target=_run, args=(waiting.pop(name), results / name))
            running[name].start()
        ended = multiprocessing.connection.wait([one.sentinel for one in running.values()], TIME_LIMIT)
        if not ended:
            for process in running.values():
                process.kill()
        for name, process in list(running.items()):
            if process.sentinel in ended or not ended:
                process.join()
                del running[name]
                if not _file(results / name, "json").exists() and not _file(results / name, "error").exists():
                    _file(results / name, "error").write_text(f"ended with status {process.exitcode}")
                yield name


def _file(result: Path, ending: str) -> Path:
    return result.with_name(f"{result.name}.{ending}")


def _run(task: Task, result: Path) -> None:
    log = os.open(_file(result, "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        content = {name: entry.as_dict() for name, entry in task().items()}
        temporary = _file(result, "tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(_file(result, "json"))
    except BaseException:
        _file(result, "error").write_text(traceback.format_exc())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # What the parent has registered to be done at its end is not this process's.
        os._exit(0)


def main() -> None:
    """Run what standard input asks for."""
    asked, output = json.load(sys.stdin), own_output()
    materials = Path(asked["materials"])
    load_libraries()

    def task(case: Case) -> Task:
        return lambda: run_case(case, materials)

    cases = [Case(*label.split(".", 1)) for label in asked["cases"]]
    print("loaded", file=output, flush=True)
    tasks = {case.label: task(case) for case in cases}
    for name in run_forked(tasks, Path(asked["results"]), asked["jobs"]):
        print(name, file=output, flush=True)


if __name__ == "__main__":
    main()
