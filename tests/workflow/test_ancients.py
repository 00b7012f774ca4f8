"""What lies behind an ancient file, when the file is to be made again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "workflow/scripts"
RULES = """
import sys
sys.path.insert(0, {scripts!r})
if config["fixed"]:
    import ancients
    # A Snakefile may be read twice.
    ancients.look_behind()
    ancients.look_behind()
rule all:
    input: expand("result{{n}}", n=range(config["results"]))
rule check:
    output: "checked"
    params: config["results"]
    shell: "touch {{output}}"
rule train:
    input: ancient("checked")
    output: "trained{{n}}"
    shell: "touch {{output}}"
rule evaluate:
    input: "trained{{n}}"
    output: "result{{n}}"
    shell: "touch {{output}}"
"""


@pytest.fixture
def snakemake(tmp_path):
    (tmp_path / "Snakefile").write_text(RULES.format(scripts=str(SCRIPTS)))

    def run(*words, results, fixed=True):
        """The names of the rules that are run."""
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
        command += ["--config", f"results={results}", f"fixed={fixed}"]
        environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        said = done.stdout + done.stderr
        return sorted(
            line.split()[1].rstrip(":")
            for line in said.splitlines()
            if line.startswith(("rule ", "localrule "))
        )

    return run


@pytest.mark.slow
def test_what_was_never_made_is_made_beside_a_check_that_runs_again(snakemake):
    assert snakemake(results=1) == ["all", "check", "evaluate", "train"]
    # Snakemake by itself: once this fails, ancients.py can go.
    assert snakemake("--dry-run", results=2, fixed=False) == ["check"]
    assert snakemake("--dry-run", "result1", results=2, fixed=False) == ["check"]
    # What was trained is not trained again.
    assert snakemake("--dry-run", "result1", results=2) == ["check", "evaluate", "train"]
    assert snakemake(results=2) == ["all", "check", "evaluate", "train"]
    assert snakemake(results=2) == []
