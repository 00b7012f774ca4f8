"""Places in a run where a process can be made to die or to fail, counted as the run passes them.

Nothing of this is in the package: it is put around the package's and the libraries' functions in a child
process that is meant to break.
"""

import builtins
import errno
import functools
import io
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataflex.errors import UserError

Place = Literal[
    "step",  # a step's rows are about to be decided and drawn
    "micro-batch",  # a micro-batch is about to be trained
    "update",  # the optimizer has stepped, nobody took note yet
    "end",  # the step is over, its checkpoint is not written
    "pass",  # a batch of a pass over the pool or the validation set is about to be measured
    "change",  # a file or folder of the run is about to be made, replaced, renamed or removed
    "write",  # half of a file's content is on the disk
    "loss",  # a micro-batch's token losses are computed
]
STEPS: tuple[Place, ...] = ("step", "micro-batch", "update", "end")


@dataclass(frozen=True)
class Fault:
    """What happens at the nth time that a place is passed, counted from an optimizer step on."""

    place: Place
    nth: int = 1
    from_step: int = 0
    rank: int = 0
    does: Literal["die", "stop", "raise", "mistake", "fill", "nan"] = "die"
    """die: kill -9; stop: SIGTERM, with which a step goes on to its end and a decision is left; raise: an
    exception with a message; mistake: a ``UserError`` with it; fill: the disk is full; nan: losses are."""
    below: str = ""
    """Count only changes and writes of paths that hold this."""


MESSAGE = "the dog ate row 17"


class Places:
    """Counts what is passed and strikes at the fault.

    Args:
        fault: None only counts.
        folder: the run directory, whose files are watched.
    """

    def __init__(self, fault: Fault | None, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._fault, self._folder = fault, str(folder)
        self._step = 0
        self._since: Counter[str] = Counter()
        self._busy = False

    def passed(self, place: Place, path: str = "") -> bool:
        """Count a place, and tell whether the fault is here."""
        self.counts[place] += 1
        fault = self._fault
        if fault is None or place != fault.place or self._step < fault.from_step or fault.below not in path:
            return False
        self._since[place] += 1
        return self._since[place] == fault.nth

    def strike(self, path: str = "") -> None:
        assert self._fault is not None
        if self._fault.does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault.does == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if self._fault.does == "fill":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self._fault.does == "mistake":
            raise UserError(MESSAGE)
        raise RuntimeError(MESSAGE)

    def install(self) -> None:
        """Put the places around the functions of this process."""
        from dataflex.engine import data_side, trainer
        from dataflex.signals import passes

        self._around(trainer.DynamicTrainer, "get_batch_samples", before="step")
        self._around(trainer.DynamicTrainer, "training_step", before="micro-batch")
        self._around(data_side.DataSide, "on_step_end", before="update", after="end")
        trainer.token_losses = self._losses(trainer.token_losses)
        passes.track = self._counted(passes.track)  # type: ignore[assignment]
        self._watch_files()

    def _around(self, owner: Any, name: str, before: Place, after: Place | None = None) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def counted(this: Any, *args: Any, **kwargs: Any) -> Any:
            if before == "step":
                self._step = this.state.global_step
            if self.passed(before):
                self.strike()
            result = function(this, *args, **kwargs)
            if after is not None and self.passed(after):
                self.strike()
            return result

        setattr(owner, name, counted)

    def _counted(self, track: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for item in track(*args, **kwargs):
                if self.passed("pass"):
                    self.strike()
                yield item

        return counted

    def _losses(self, token_losses: Callable[..., Any]) -> Callable[..., Any]:
        def computed(*args: Any) -> Any:
            losses, counted = token_losses(*args)
            return (losses * float("nan") if self.passed("loss") else losses), counted

        return computed

    def _watch_files(self) -> None:
        import safetensors.torch
        import torch

        sys.addaudithook(self._audit)
        io_open = io.open
        io.open = functools.partial(self._open, io_open)  # type: ignore[assignment]
        builtins.open = functools.partial(self._open, io_open)
        torch.save = self._whole(torch.save, 1)
        safetensors.torch.serialize_file = self._whole(safetensors.torch.serialize_file, 1)  # type: ignore[assignment]

    def _ours(self, path: Any) -> str | None:
        if not isinstance(path, str | os.PathLike):
            return None
        whole = os.path.abspath(os.fspath(path))  # type: ignore[arg-type]
        return whole if isinstance(whole, str) and whole.startswith(self._folder) else None

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._busy or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        path = self._ours(args[0])
        writes = event != "open" or (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR))
        if path is not None and writes and self.passed("change", path):
            self.strike(path)

    def _open(self, real: Any, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        stream = real(file, mode, *args, **kwargs)
        path = self._ours(file)
        if path is None or not set(mode) & set("wax"):
            return stream
        write = stream.write

        def half(content: Any) -> Any:
            if not self.passed("write", path):
                return write(content)
            write(content[: len(content) // 2])
            stream.flush()
            return self.strike(path)

        try:
            stream.write = half
        except AttributeError:  # binary streams can't be changed; those that matter are written elsewhere
            return stream
        return stream

    def _whole(self, save: Callable[..., Any], position: int) -> Callable[..., Any]:
        """Watch a library's function that writes a whole file at once, not through Python's."""

        @functools.wraps(save)
        def saved(*args: Any, **kwargs: Any) -> Any:
            path = self._ours(args[position])
            if path is not None and self.passed("change", path):
                self.strike(path)
            self._busy = True
            try:
                result = save(*args, **kwargs)
            finally:
                self._busy = False
            if path is not None and self.passed("write", path):
                os.truncate(path, os.path.getsize(path) // 2)
                self.strike(path)
            return result

        return saved


def train_in_child(
    cwd: str, log: str, environment: dict[str, str], cache: str, fault: Fault | None, words: list[str]
) -> None:
    """Be ``dataflex-cli`` in this process, with a fault; leave what was passed in ``places.json``."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.chdir(cwd)
    os.environ.update(environment)

    import datasets
    import torch

    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = Path(cache)
    rank = int(environment.get("RANK", "0"))
    mine = fault if fault is not None and fault.rank == rank else None
    places = Places(mine, Path(cwd) / "run")
    places.install()

    from dataflex import cli

    sys.argv = ["dataflex-cli", *words]
    try:
        cli.main()
    finally:
        (Path(cwd) / f"places-{rank}.json").write_text(json.dumps(places.counts))
        sys.stdout.flush()
        sys.stderr.flush()
