"""Evaluations of checkpoints in one job: those that are finished count when it is interrupted."""

import json
import subprocess
import sys
from pathlib import Path

from snakemake_executor_plugin_slurm_cells import records

SCRIPT = Path(__file__).resolve().parent.parent.parent / "workflow/scripts/evaluate_steps.py"
EVALUATES = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
folder.mkdir(parents=True)
(folder / "metrics.json").touch()
if folder.name in sys.argv[2].split(","):
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(20)
"""


def evaluating(folder, stops_after):
    (folder / "run.json").write_text("{}")
    words = ["steps", "--steps", "10", "20", "30", "40", "--inputs", "run.json", "--output", "done.json"]
    words += ["--lock", "x.lock", "--attempts", "x.jsonl"]
    command = ["--", sys.executable, "-c", EVALUATES, "evaluate", stops_after]
    return subprocess.run([sys.executable, str(SCRIPT), *words, *command], cwd=folder, check=False).returncode


def test_each_interruption_tells_how_many_are_evaluated(tmp_path):
    for count in (1, 3):
        # The command is the same each time: another one would begin anew.
        assert evaluating(tmp_path, "10,30") == records.INTERRUPTED
        ended = records.ends(tmp_path / "x.jsonl")
        assert ended[-1]["checkpoint"] == count
        assert records.goes_on(ended)
    # Another command is another protocol, which begins anew: that it has less than before is no standstill.
    assert evaluating(tmp_path, "20") == records.INTERRUPTED
    assert records.goes_on(records.ends(tmp_path / "x.jsonl"))
    assert evaluating(tmp_path, "20") == 0
    assert json.loads((tmp_path / "done.json").read_text())["steps"] == [10, 20, 30, 40]
