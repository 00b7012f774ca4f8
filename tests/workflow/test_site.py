"""The workflow through the real Snakemake on a site whose Slurm runs its jobs, loses answers and says what it likes."""

import json
import os
import subprocess

import pytest
import yaml

from tests.workflow.bench import until
from tests.workflow.fake_slurm import Site
from tests.workflow.test_submission import TRANSIENT
from tests.workflow.test_workflow import NATURAL, ROOT, repository, starts  # noqa: F401

DONE = f"runs/demo/train/{NATURAL}.done.json"
WORDS = (
    *(
        "-m",
        "snakemake",
        "--executor",
        "slurm-cells",
        "--jobs",
        "4",
        "--retries",
        "1",
        "--latency-wait",
        "20",
    ),
    *("--default-resources", "slurm_partition=debug", "runtime=30", "mem_mb=1000"),
    *("--slurm-cells-no-account", "--slurm-cells-seconds-between-checks", "1", "--config", "check=false"),
)


def launch(folder, site, *targets):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}/workflow/plugins:{ROOT}",
        "PATH": f"{site.bin}{os.pathsep}{os.environ['PATH']}",
    }
    with (folder / "said").open("ab") as stream:
        return subprocess.Popen(
            [str(folder / "environment/bin/python"), *WORDS, "--", *targets],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=stream,
        )


def of_training(site):
    return {number: job for number, job in site.jobs().items() if job["comment"].startswith("rule_train ")}


@pytest.mark.slow
def test_a_cell_on_a_site_that_loses_answers_and_memory(repository, tmp_path):  # noqa: F811
    site = Site(tmp_path / "site").install()
    (site.folder / "held").write_text("rule_train ")
    # 1. The answer about the first job is lost, though it runs: it is found, and not submitted again.
    site.answer("sbatch", {"said": TRANSIENT, "taken": True})
    workflow = launch(repository, site, DONE)
    try:
        until(lambda: of_training(site) or workflow.poll(), 120)
        comments = [job["comment"] for job in site.jobs().values()]
        assert len(set(comments)) == len(comments)
        assert "next try in" in (repository / "said").read_text()

        # 2. The workflow is killed: it waits for the job that is in the queue.
        (first,) = of_training(site)
        until((repository / f"runs/demo/jobs/train/{NATURAL}.json").exists)
        workflow.kill()
        workflow.wait()
        workflow = launch(repository, site, DONE)
        until(lambda: f"Slurm's job {first} already" in (repository / "said").read_text(), 120)

        # 3. It needs more memory than it has: half as much more at the second try.
        site.say(first, "OUT_OF_MEMORY")
        until(lambda: len(of_training(site)) == 2 or workflow.poll(), 120)
        second = list(of_training(site))[-1]
        memory = [job["memory"] for job in of_training(site).values()]
        assert memory[1] == memory[0] * 3 // 2
        site.start(second)
        assert workflow.wait(120) == 0, (repository / "said").read_text()
    finally:
        workflow.kill()
        workflow.wait()
    assert list(of_training(site)) == [first, second]
    assert starts(repository, NATURAL) == 1
    assert json.loads((repository / DONE).read_text())["config_hash"] == "h"


def dry_run(folder, site, target):
    """What would be made, by rule, and all that was said."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}/workflow/plugins:{ROOT}"}
    said = subprocess.run(
        [str(folder / "environment/bin/python"), *WORDS, "--dry-run", "--", target],
        cwd=folder,
        env=environment | {"PATH": f"{site.bin}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {
        line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith(("rule ", "localrule "))
    }


@pytest.mark.slow
def test_what_ends_while_no_workflow_is_there_is_made_again_when_its_settings_change(repository, tmp_path):  # noqa: F811
    """Snakemake keeps what an output was made by for the jobs alone whose end it sees."""
    site = Site(tmp_path / "site").install()
    (site.folder / "held").write_text("rule_evaluate ")
    metrics = repository / f"runs/demo/results/{NATURAL}/metrics.json"
    workflow = launch(repository, site, str(metrics.relative_to(repository)))
    try:
        until(lambda: evaluations(site) or workflow.poll(), 120)
        until((repository / f"runs/demo/jobs/evaluate/{NATURAL}.json").exists)
    finally:
        workflow.kill()
        workflow.wait()
    (number,) = evaluations(site)
    site.start(number)
    until(lambda: site.jobs()[number]["queue"] == "COMPLETED", 60)
    assert metrics.is_file()

    # A workflow that begins later has nothing to do, and knows when it has.
    target = str(metrics.relative_to(repository))
    assert dry_run(repository, site, target) == set()
    file = repository / "reproductions/demo.yaml"
    before = file.read_text()
    grid = yaml.safe_load(before)
    grid["experiments"]["mixture"]["evaluate"] = {"documents-per-domain": 7}
    file.write_text(yaml.safe_dump(grid))
    try:
        assert dry_run(repository, site, target) == {"evaluate"}
    finally:
        file.write_text(before)


def evaluations(site):
    return {number: job for number, job in site.jobs().items() if job["comment"].startswith("rule_evaluate ")}
