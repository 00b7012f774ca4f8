"""One workflow on a folder at a time; unlike Snakemake's own lock, this one ends with its process."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import TextIO

_held: list[TextIO] = []


def claim(file: Path) -> None:
    """Lock a file until this process ends, however it does.

    Raises:
        BlockingIOError: another process holds it; the message says which.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    stream = file.open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip() or "another process"
        stream.close()
        raise BlockingIOError(f"another workflow is at work on {file.parent}: {holder}") from None
    except OSError as error:  # a file system without locks
        print(
            f"{file} can't be locked ({error}): see to it that no other workflow works there", file=sys.stderr
        )
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    stream.flush()
    _held.append(stream)
