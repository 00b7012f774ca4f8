"""When a checkpoint is whole, and which ones are kept.

A checkpoint's last file is its seal: it names every other file and its size, and is written when all ranks
have written theirs. What a killed process or a full disk leaves behind has no seal, or one that doesn't fit.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from dataflex.errors import UserError

FOLDER = "dataflex"
"""Holds the data side, and the seal, of a checkpoint."""
_SEAL = f"{FOLDER}/complete.json"


def step_of(checkpoint: Path) -> int:
    """Return the optimizer steps that a checkpoint was made after, by its name.

    Raises:
        UserError: the folder is not named as the Trainer names checkpoints, or ``set_aside_later`` those that
            it puts aside.
    """
    named = re.fullmatch(r"(?:abandoned-)?checkpoint-(\d+)(?:-\d+)?", checkpoint.name)
    if named is None:
        raise UserError(f"{checkpoint} can't be gone on from: its name must be checkpoint-<step>")
    return int(named[1])


def checkpoints_of(run_dir: Path) -> list[Path]:
    """Return the checkpoints of a run, whole or not, earlier ones first."""
    found = [path for path in run_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=step_of)


def is_complete(checkpoint: Path) -> bool:
    """Tell whether every file that the seal names is there in its full size."""
    return _intact_seal(checkpoint) is not None


def is_resumable(checkpoint: Path) -> bool:
    """Tell whether a run can go on from a checkpoint: it is whole, and was not of the model alone."""
    content = _intact_seal(checkpoint)
    return content is not None and content["resumable"] is True


def _intact_seal(checkpoint: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((checkpoint / _SEAL).read_text())
        fits = [(checkpoint / name).stat().st_size == size for name, size in content["files"].items()]
        return dict(content) if all(fits) and "resumable" in content else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def seal(checkpoint: Path, *, resumable: bool) -> None:
    """Declare a checkpoint whole, as it lies there.

    Args:
        checkpoint: its folder.
        resumable: whether it holds the optimizer and the random states too.
    """
    unseal(checkpoint)
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    temporary = checkpoint / f"{_SEAL}.tmp"
    temporary.write_text(json.dumps({"resumable": resumable, "files": sizes}, indent=2))
    temporary.replace(checkpoint / _SEAL)


def unseal(checkpoint: Path) -> None:
    """Declare a checkpoint not whole, before its files are written or removed."""
    for name in (_SEAL, f"{_SEAL}.tmp"):
        (checkpoint / name).unlink(missing_ok=True)


def remove_old(run_dir: Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints beyond a number, and all that was cut short while it was made or removed.

    The newest that a run can go on from is kept in any case, and so is a whole one that was put aside.

    Args:
        run_dir: the run directory; its newest checkpoint is sealed.
        limit: number of checkpoints to keep; none or zero keeps all.
        best: folder of the checkpoint that is kept in any case.
    """
    for aside in run_dir.glob("abandoned-checkpoint-*"):
        if not is_complete(aside):
            shutil.rmtree(aside, ignore_errors=True)
    if not limit or limit < 0:
        return
    every = checkpoints_of(run_dir)
    kept = {every[-1]} | {path for path in every if best is not None and path == Path(best)}
    kept |= set(list(filter(is_resumable, every))[-1:])
    for checkpoint in reversed(every):
        if len(kept) < limit and is_complete(checkpoint):
            kept.add(checkpoint)
    for checkpoint in every:
        if checkpoint not in kept:
            unseal(checkpoint)
            shutil.rmtree(checkpoint, ignore_errors=True)
