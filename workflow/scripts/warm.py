"""Share the import of the libraries between jobs: each is forked from one interpreter that has them loaded.

torch, transformers, LLaMA-Factory and lm-eval take ten seconds to import, more than a small cell takes to
train. A server imports them once and forks. What a job does happens in a process of its own, as if it had
done the imports itself, so that no state passes from one cell to the next.

``python warm.py WORD...`` does what ``dataflex-cli WORD...`` does: through the server that ``$DATAFLEX_WARM``
names, or by itself where there is none. Only the standard library is imported at the top, to start fast.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leash import MARK, NAME

ADDRESS = "DATAFLEX_WARM"
SERVE = "--serve"
THREADS = "OMP_NUM_THREADS"
LIBRARIES = (
    "torch",
    "transformers.trainer",
    "llamafactory.hparams",
    "llamafactory.data",
    "llamafactory.model",
    "llamafactory.train.tuner",
    "lm_eval.tasks",
    "lm_eval.models.huggingface",
)
POLL = 0.1
"""Seconds between two looks at a job and at its caller."""
GRACE = 10.0
"""Seconds that a job has to end when its caller is gone."""
ACCEPTED = b"+"
HANDED_ON = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
"""Signals for the job that its caller gets."""
NUMBER = struct.Struct("!i")


def start(log: Path, libraries: Sequence[str] = LIBRARIES) -> subprocess.Popen[bytes]:
    """Start a server and name it in this process's environment; it ends when this process does."""
    folder = tempfile.mkdtemp(prefix="dataflex-")
    address = f"{folder}/socket"
    log.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, log.open("wb") as stream:
        listener.bind(address)
        # Whoever calls before the imports are done waits for them, no longer than importing alone would take.
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, __file__, SERVE, str(listener.fileno()), folder, *libraries],
            stdin=subprocess.PIPE,  # its end tells the server that this process has ended, however it did
            stdout=stream,
            stderr=stream,
            pass_fds=[listener.fileno()],
            env={**os.environ, THREADS: "1"},
            start_new_session=True,  # an interrupt is for the callers: their jobs end with them
        )
    os.environ[ADDRESS] = address
    return server


def serve(listener: socket.socket, libraries: Sequence[str]) -> list[str] | None:
    """Import the libraries, then fork a job for every caller until standard input ends.

    Returns:
        None in the server, at its end; in a job, the words of its command.
    """
    for name in libraries:
        importlib.import_module(name)
    # A job must not write again what an import left in a buffer.
    sys.stdout.flush()
    sys.stderr.flush()
    # What is shared stays shared: no collection in a job touches the libraries' objects.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        if listener in ready:
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _supervise(caller)
            caller.close()
    return None


def _supervise(caller: socket.socket) -> list[str]:
    """Fork the job, tell the caller how it ended, and end it when the caller is gone. Returns in the job."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(caller, 1, 3)
    (length,) = NUMBER.unpack(_receive(caller, NUMBER.size))
    request = json.loads(_receive(caller, length))
    job = os.fork()
    if job == 0:
        return _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    caller.sendall(ACCEPTED)
    told = 0.0
    while not (ended := os.waitpid(job, os.WNOHANG))[0]:
        if not select.select([caller], [], [], POLL)[0]:
            continue
        try:
            numbers = caller.recv(64)
        except OSError:
            numbers = b""
        with contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.kill(job, number)
            if not numbers:  # the caller is gone
                os.killpg(job, signal.SIGTERM if told < GRACE else signal.SIGKILL)
                select.select([], [], [], POLL)
                told += POLL
    with contextlib.suppress(OSError):
        caller.sendall(NUMBER.pack(os.waitstatus_to_exitcode(ended[1])))
    os._exit(0)


def _become(request: dict[str, Any], descriptors: Sequence[int]) -> list[str]:
    """Take over the caller's streams, folder and environment."""
    os.setsid()
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if token := os.environ.get(MARK):
        Path("/proc/self/comm").write_text(token[:NAME])
    # An interpreter of its own would have drawn these from the system.
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    return list(request["words"])


def _receive(connection: socket.socket, length: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        ConnectionError: the other side ended before.
    """
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise ConnectionError("the other side has ended")
        parts += part
    return bytes(parts)


def call(address: str, words: Sequence[str]) -> int | None:
    """Have a command run by the server; its exit status, or None if no server took it.

    Raises:
        ConnectionError: the server was lost while the job ran.
    """
    request = json.dumps({"words": list(words), "folder": os.getcwd(), "environment": dict(os.environ)})
    content = request.encode()
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
            socket.send_fds(server, [b"!"], [0, 1, 2])
            server.sendall(NUMBER.pack(len(content)) + content)
            _receive(server, len(ACCEPTED))
        except OSError:
            return None
        for name in HANDED_ON:
            signal.signal(name, lambda number, frame: server.sendall(bytes([number])))
        status = int(NUMBER.unpack(_receive(server, NUMBER.size))[0])
    return status if status >= 0 else 128 - status


def _main_of_server(descriptor: str, folder: str, libraries: Sequence[str]) -> None:
    """Serve, and in a job do what it was asked for."""
    # Modules of this folder must not stand in for those that a library looks for.
    sys.path.pop(0)
    server = os.getpid()
    try:
        words = serve(socket.socket(fileno=int(descriptor)), libraries)
    finally:
        if os.getpid() == server:
            shutil.rmtree(folder, ignore_errors=True)
    if words is not None:
        cli = importlib.import_module("dataflex.cli")
        sys.argv = ["dataflex-cli", *words]
        sys.exit(cli.main())


def main() -> None:
    """Be the server, or do what ``dataflex-cli`` does."""
    words = sys.argv[1:]
    if words[:1] == [SERVE]:
        _main_of_server(words[1], words[2], words[3:])
        return
    # The libraries read the number of threads when they are imported, and the server has one.
    if ADDRESS in os.environ and os.environ.get(THREADS) == "1":
        status = call(os.environ[ADDRESS], words)
        if status is not None:
            sys.exit(status)
    os.execvp("dataflex-cli", ["dataflex-cli", *words])


if __name__ == "__main__":
    main()
