"""A training run's end of the line: it tells what a step cost, and waits to be let go.

Runs in every environment; needs transformers. The callback stands among the Trainer's own, before those of
the run, so that all sides have it in the same place. What a run does after it at the end of a step counts in
the next one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import TrainerCallback
from transformers import trainer as transformers_trainer

from efficiency.measure import environment, synchronise


class Gate(TrainerCallback):
    """Stops the run before every optimizer step until a line comes in; without lines to come it ends.

    Args:
        reports: where a line of JSON goes at each stop.
        threads: of this process.
    """

    def __init__(self, reports: TextIO, threads: int) -> None:
        self._reports, self._threads = reports, threads
        self._began = self._worked = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell where the run runs."""
        model = kwargs["model"]
        told = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        self._stop(told | {"environment": environment(self._threads)})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell what the step cost since the run was let go."""
        synchronise()
        seconds = time.perf_counter() - self._began
        worked = sum(os.times()[:4]) - self._worked
        self._stop({"seconds": seconds, "cpu_seconds": worked, "load": os.getloadavg()[0]})

    def _stop(self, told: dict[str, Any]) -> None:
        print(json.dumps(told), file=self._reports, flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        self._worked, self._began = sum(os.times()[:4]), time.perf_counter()


def serve(train: Callable[[dict[str, Any]], None]) -> None:
    """Train as the file named on the command line says; the pipe named second takes the reports."""
    request, pipe = sys.argv[1:]
    job = json.loads(Path(request).read_text())
    torch.set_num_threads(job["threads"])
    gate = Gate(os.fdopen(int(pipe), "w"), job["threads"])
    first: Any = transformers_trainer.DEFAULT_CALLBACKS
    first.append(gate)
    train(job["config"] | {"use_cpu": not torch.cuda.is_available()})
