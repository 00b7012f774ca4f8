"""Train one cell: as its only writer, from its last checkpoint, its validated sentinel written last."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attempts
import extensions
import seal
import yaml
from hold import Hold, persist
from prepare import is_stamped, prepare, stamp_of

from dataflex.watching.progress import last_checkpoint

OF_THE_JOB = ("SLURM_JOB_ID", "SLURM_CONF")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OF_A_LAUNCH = (
    *("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "RDZV_ID", "MIN_NNODES", "MAX_NNODES"),
    *("RANK", "WORLD_SIZE", "LOCAL_RANK"),
)
"""Where processes of a training meet, and which one this is, for LLaMA-Factory's launcher and torchrun.

``spread`` says it, not the user's shell, whose variables sbatch hands on to every job.
"""
LAGGARDS = 300
"""Seconds that the processes of a step over several nodes may outlive the first that ends."""
PATIENCE = 900.0
"""Seconds for which a controller that does not answer is asked again."""


def spread(
    command: Sequence[str], nodes: int, processes: int, threads: int, sharded: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The command as it is started, with LLaMA-Factory's variables for torchrun, and each process's threads.

    Args:
        nodes: of the present Slurm job; on each of several the command is started once, and they meet on the
            first.
        processes: on a node, one for each of its GPUs.
        threads: processors of a node, which Snakemake would give to every process.
        sharded: by DeepSpeed, which wants torchrun for a single process too.
    """
    environment = dict.fromkeys(THREADS, str(max(1, threads // processes)))
    if sharded or nodes * processes > 1:
        environment |= {"FORCE_TORCHRUN": "1", "NNODES": str(nodes), "NPROC_PER_NODE": str(processes)}
    if nodes == 1:
        return list(command), environment
    job = os.environ["SLURM_JOB_ID"]
    first = _ask(
        "scontrol", "show", "hostnames", _ask("squeue", "--noheader", "--jobs", job, "--format=%N").strip()
    )
    said = _ask("scontrol", "show", "node", "--oneliner", first.split()[0]).split()
    environment |= {
        "MASTER_ADDR": next(word.partition("=")[2] for word in said if word.startswith("NodeAddr=")),
        "MASTER_PORT": str(20000 + int(job) % 20000),
    }
    # The step that this process runs in has one node, and its variables bind every step within it to that.
    of_the_step = [name for name in os.environ if name.startswith("SLURM_") and name not in OF_THE_JOB]
    of_the_job = ["env", *(word for name in of_the_step for word in ("-u", name))]
    once_a_node = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    # One may hang when another has died, and srun would wait for it for ever.
    once_a_node += [f"--wait={LAGGARDS}"]
    # A step has one processor unless it asks, and a site may bind its processes to what it has.
    once_a_node += [f"--cpus-per-task={threads}", "--cpu-bind=none"]
    ranked = ["sh", "-c", 'NODE_RANK=$SLURM_PROCID exec "$@"', "sh"]
    return [*of_the_job, *once_a_node, *ranked, *command], environment


def time_limit(environment: Mapping[str, str]) -> dict[str, str]:
    """When Slurm will end this job, as a variable for the run, which saves a checkpoint before it."""
    job = environment.get("SLURM_JOB_ID")
    if job is None or "SLURM_JOB_END_TIME" in environment:
        return {}
    try:
        words = ("squeue", "--noheader", "--jobs", job, "--format=%S|%e")
        times = _ask(*words, patience=120.0).strip().split("|")
        start, end = (str(int(datetime.fromisoformat(time).timestamp())) for time in times)
        return {"SLURM_JOB_START_TIME": start, "SLURM_JOB_END_TIME": end}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}


def _ask(*words: str, patience: float | None = None) -> str:
    """What Slurm answers, asked again for a while: a controller may be away when the job starts.

    Raises:
        subprocess.SubprocessError: it does not answer; the message names the command.
    """
    deadline, delay = time.monotonic() + (PATIENCE if patience is None else patience), 1.0
    while True:
        try:
            return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
        except subprocess.SubprocessError as error:
            if time.monotonic() + delay > deadline:
                raise
            said = getattr(error, "stderr", None) or error
            print(
                f"{words[0]} is asked again in {delay:.0f} s: {str(said).strip()}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(delay)
            delay = min(2 * delay, 30.0)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: ``train.py RUN_DIR --config FILE --output FILE ... -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, nargs="*", default=[], help="sentinels of what it builds on")
    parser.add_argument("--output", type=Path, required=True, help="the sentinel")
    parser.add_argument("--attempts", type=Path, required=True, help="file of the attempts")
    parser.add_argument("--extensions", type=Path, required=True, help="folder of what runs have compiled")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="on a node")
    parser.add_argument("--threads", type=int, default=1, help="processors of a node")
    parser.add_argument("command", nargs="+", help="what trains, to which the config is handed")
    return parser.parse_args(words)


def main() -> None:
    """Command line, see ``parse``."""
    arguments = parse()
    sys.exit(persist(lambda again: train(arguments, again)))


def train(arguments: argparse.Namespace, again: bool) -> int:
    """Train once as the only writer; the exit status, ``LOST`` if another took over.

    Args:
        again: it was begun before, and another took over.
    """
    folder, output = arguments.folder, arguments.output
    stamp = stamp_of(arguments.config, arguments.inputs)
    # srun answers SIGTERM by killing its step; every training takes SIGUSR2 as well.
    lock, noted = arguments.attempts.with_suffix(".lock"), lambda: last_checkpoint(folder)
    with Hold(lock, arguments.attempts, noted, signal.SIGUSR2) as hold:
        # Snakemake removed the sentinel before this job began: now it is the other writer's.
        if (hold.waited or again) and output.is_file() and is_stamped(folder, stamp):
            hold.status = 0
            return 0
        if prepare(folder, stamp):
            attempts.anew(arguments.attempts)
            attempts.began(arguments.attempts)
            print(f"{folder}: started anew, because its config or inputs have changed", flush=True)
        words = [*arguments.command, str(arguments.config)]
        sharded = bool(yaml.safe_load(arguments.config.read_text()).get("deepspeed"))
        for name in OF_A_LAUNCH:
            os.environ.pop(name, None)
        command, environment = spread(words, arguments.nodes, arguments.processes, arguments.threads, sharded)
        own = folder.with_name(folder.name + ".extensions")
        compiled = extensions.prepare(own, arguments.extensions)
        if hold.run(command, {**compiled, **environment, **time_limit(os.environ)}):
            print(f"error: {hold.reason}", file=sys.stderr)
            return hold.status
        extensions.publish(own, arguments.extensions)
        return seal.close(hold, lambda: seal.run(folder, ()), folder, output)


if __name__ == "__main__":
    main()
