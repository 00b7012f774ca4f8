"""Starting one process a device with torchrun, by LLaMA-Factory's rules and environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dataflex.engine.interruption import STOP_FILE, Interruption
from dataflex.errors import Interrupted, UserError

_MESSAGE_FILE = "DATAFLEX_USER_ERROR"
_INTERRUPTED_FILE = "DATAFLEX_INTERRUPTED"
_LOOK = 0.5
"""Seconds between two looks whether the workers have to be asked to stop."""


def is_worker(env: Mapping[str, str]) -> bool:
    """Tell whether this process was started by torchrun."""
    return "LOCAL_RANK" in env


def device_count() -> int:
    """Return the number of accelerators, as LLaMA-Factory counts them."""
    from llamafactory.extras.misc import get_device_count

    return int(get_device_count())


def _enabled(env: Mapping[str, str], name: str, default: str = "0") -> bool:
    return env.get(name, default).lower() in ("1", "true", "y", "yes")


def wants_workers(env: Mapping[str, str], devices: int) -> bool:
    """Tell whether training is to be spread over processes: several devices, or FORCE_TORCHRUN.

    Ray and KTransformers bring processes of their own.
    """
    if is_worker(env):
        return False
    forced = _enabled(env, "FORCE_TORCHRUN") or _enabled(env, "USE_MCA")
    own_processes = _enabled(env, "USE_RAY") or _enabled(env, "USE_KT")
    return forced or (devices > 1 and not own_processes)


def planned_ranks(env: Mapping[str, str]) -> int:
    """Return how many processes ``train`` would start with this environment on this machine."""
    devices = device_count()
    if not wants_workers(env, devices):
        return 1
    return int(env.get("NPROC_PER_NODE", str(max(devices, 1)))) * int(env.get("NNODES", "1"))


def torchrun_command(
    env: Mapping[str, str], devices: int, free_port: int, arguments: Sequence[str]
) -> list[str]:
    """Return the command that starts the workers.

    Args:
        env: NNODES, NODE_RANK, NPROC_PER_NODE, MASTER_ADDR, MASTER_PORT, MAX_RESTARTS, and for elastic jobs
            RDZV_ID, MIN_NNODES, MAX_NNODES; as in LLaMA-Factory.
        devices: processes a node when NPROC_PER_NODE is not set.
        free_port: port on this host when MASTER_PORT is not set.
        arguments: of ``dataflex-cli train``.
    """
    nodes = env.get("NNODES", "1")
    address = env.get("MASTER_ADDR", "127.0.0.1")
    port = env.get("MASTER_PORT", str(free_port))
    command = [sys.executable, "-m", "dataflex.host.agent"]
    command += ["--nproc-per-node", env.get("NPROC_PER_NODE", str(max(devices, 1)))]
    if "RDZV_ID" in env:
        if "MIN_NNODES" in env and "MAX_NNODES" in env:
            nodes = f"{env['MIN_NNODES']}:{env['MAX_NNODES']}"
        command += ["--nnodes", nodes, "--rdzv-id", env["RDZV_ID"], "--rdzv-backend", "c10d"]
        command += ["--rdzv-endpoint", f"{address}:{port}", "--max-restarts", env.get("MAX_RESTARTS", "0")]
    else:
        command += ["--nnodes", nodes, "--node-rank", env.get("NODE_RANK", "0")]
        command += ["--master-addr", address, "--master-port", port]
    return [*command, "-m", "dataflex.cli", "train", *arguments]


def launch(arguments: Sequence[str], devices: int, interruption: Interruption) -> int:
    """Run the workers and return their exit status.

    Args:
        arguments: of ``dataflex-cli train``.
        devices: processes, see ``torchrun_command``.
        interruption: what asks this process to stop asks the workers.

    Raises:
        UserError: a worker met one; it is told once instead of by every process.
        Interrupted: the workers have stopped in order, of all nodes.
    """
    from llamafactory.extras.misc import find_available_port

    with tempfile.TemporaryDirectory() as folder:
        message, interrupted, stop = (Path(folder) / name for name in ("message", "interrupted", "stop"))
        command = torchrun_command(os.environ, devices, find_available_port(), arguments)
        env = {
            **os.environ,
            _MESSAGE_FILE: str(message),
            _INTERRUPTED_FILE: str(interrupted),
            STOP_FILE: str(stop),
        }
        if _enabled(os.environ, "OPTIM_TORCH", "1"):
            # LLaMA-Factory's own settings for several GPUs.
            env["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
            env["TORCH_NCCL_AVOID_RECORD_STREAMS"] = "1"
        status = _run(command, env, interruption, stop)
        if message.is_file():
            raise UserError(message.read_text())
        if interrupted.is_file():
            raise Interrupted(interrupted.read_text())
        if status < 0:
            interruption.refuse_to_begin("training began")
    return status


def _run(command: Sequence[str], env: Mapping[str, str], interruption: Interruption, stop: Path) -> int:
    with subprocess.Popen(command, env=env) as process:
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
                if interruption.reason is not None and not stop.exists():
                    stop.write_text(interruption.reason)
        except BaseException:
            process.kill()
            raise
    return process.returncode


def report_to_launcher(error: UserError) -> bool:
    """Hand a user's mistake from a worker to the process that started it; tell whether there is one.

    The first rank that meets one tells it: they mostly meet the same, and one that meets its own is heard.
    """
    if not is_worker(os.environ) or _MESSAGE_FILE not in os.environ:
        return False
    with suppress(FileExistsError), Path(os.environ[_MESSAGE_FILE]).open("x") as file:
        file.write(str(error))
    return True


def report_interruption(stop: Interrupted) -> bool:
    """Tell the launcher that this worker has stopped in order; tell whether there is one.

    The worker is to end well then: torchrun would end, or start again, the others of one that does not.
    """
    if not is_worker(os.environ) or _INTERRUPTED_FILE not in os.environ:
        return False
    with Path(os.environ[_INTERRUPTED_FILE]).open("a") as file:
        if is_first(os.environ):
            file.write(str(stop))
    return True


def is_first(env: Mapping[str, str]) -> bool:
    """Tell whether this process is the first of all, which speaks for them."""
    return env.get("RANK", "0") == "0"
