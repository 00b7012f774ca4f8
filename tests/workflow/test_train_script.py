"""How a training is started: its processes, their processors, and what Slurm is asked before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import prepare
import pytest
import train

ROOT = Path(__file__).resolve().parent.parent.parent
NODE = "NodeName=n1 Arch=x86_64 NodeAddr=10.0.0.7 CPUs=64"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A controller that does not answer the first time, and then says where the job runs."""
    for name, said in (("squeue", "n[1-4]"), ("scontrol", f"$(test $2 = node && echo {NODE} || echo n1)")):
        file = tmp_path / name
        away = (
            f"test -f {tmp_path}/{name}.asked || {{ touch {tmp_path}/{name}.asked; echo away >&2; exit 1; }}"
        )
        file.write_text(f"#!/bin/sh\n{away}\necho {said}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    waits, real = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda delay: waits.append(delay) if delay >= 1 else real(delay))
    return waits


@pytest.mark.parametrize(
    ("processes", "threads", "each"), [(8, 64, "8"), (1, 4, "4"), (8, 4, "1"), (3, 8, "2"), (1, 1, "1")]
)
def test_processes_share_the_processors_of_their_node(processes, threads, each):
    command, environment = train.spread(["train"], 1, processes, threads)
    assert command == ["train"]
    assert {environment[name] for name in train.THREADS} == {each}
    assert ("FORCE_TORCHRUN" in environment) is (processes > 1)


def test_deepspeed_is_started_by_torchrun_whatever_the_number_of_processes():
    """LLaMA-Factory refuses it otherwise."""
    command, environment = train.spread(["train"], 1, 1, 4, sharded=True)
    assert command == ["train"]
    variables = [environment[name] for name in ("FORCE_TORCHRUN", "NNODES", "NPROC_PER_NODE")]
    assert variables == ["1", "1", "1"]


def test_a_step_over_nodes_asks_for_all_their_processors(slurm):
    command, environment = train.spread(["train", "x.yaml"], 4, 8, 64)
    step = command[command.index("srun") :]
    assert "--cpus-per-task=64" in step
    assert "--cpu-bind=none" in step
    assert "--wait=300" in step
    assert {"--nodes=4", "--ntasks=4", "--ntasks-per-node=1"} <= set(step)
    # What bound the step that this runs in does not bind the one within.
    assert command[command.index("SLURM_CPUS_PER_TASK") - 1] == "-u"
    assert "SLURM_JOB_ID" not in command
    assert environment["OMP_NUM_THREADS"] == "8"
    assert environment["MASTER_ADDR"] == "10.0.0.7"


def test_a_controller_that_is_away_at_the_start_is_asked_again(slurm, capsys):
    train.spread(["train"], 2, 1, 1)
    assert slurm == [1.0, 1.0]
    assert "asked again in 1 s: away" in capsys.readouterr().err


def test_patience_with_a_controller_has_an_end(slurm, monkeypatch):
    monkeypatch.setattr(train, "PATIENCE", 0.0)
    with pytest.raises(subprocess.CalledProcessError, match="squeue"):
        train.spread(["train"], 2, 1, 1)
    assert train.time_limit({"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": "5"}) == {}


@pytest.mark.parametrize("again", [True, False])
def test_who_comes_back_after_another_has_trained_starts_nothing(tmp_path, again):
    """It had lost its lock; the other one has trained, sealed and left, and is not there to be waited for."""
    config = tmp_path / "x.yaml"
    config.write_text("{}")
    prepare.prepare(tmp_path / "run", prepare.stamp_of(config, ()))
    (tmp_path / "done.json").write_text("the other one's")
    words = ["run", "--config", "x.yaml", "--output", "done.json", "--attempts", "x.jsonl"]
    words += ["--extensions", "extensions", "--", "false"]
    code = f"import sys, train; sys.exit(train.train(train.parse({words!r}), {again}))"
    environment = {**os.environ, "PYTHONPATH": f"{Path(train.__file__).parent}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == (0 if again else 1)
    assert (tmp_path / "done.json").read_text() == "the other one's"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_the_users_shell_says_of_a_launch_reaches_no_training(tmp_path, processes):
    """sbatch hands on all of it: jobs on one node would meet at one port, or take themselves for torchrun's workers."""
    (tmp_path / "x.yaml").write_text("{}")
    words = ["run", "--config", "x.yaml", "--output", "done.json", "--attempts", "x.jsonl"]
    words += ["--extensions", "extensions", "--processes", processes, "--", "sh", "-c", "env > seen; exit 1"]
    theirs = dict.fromkeys(
        (
            "MASTER_ADDR",
            "MASTER_PORT",
            "NODE_RANK",
            "RDZV_ID",
            "MIN_NNODES",
            "MAX_NNODES",
            "RANK",
            "LOCAL_RANK",
        ),
        "7",
    )
    environment = os.environ | theirs | {"WORLD_SIZE": "7", "MAX_RESTARTS": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, train.__file__, *words], cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 1
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
    assert not {*theirs, "WORLD_SIZE"} & set(seen)
    # What is none of the workflow's business stays.
    assert seen["MAX_RESTARTS"] == "3"
    assert seen.get("NPROC_PER_NODE") == (None if processes == "1" else "2")
