"""``dataflex-cli status``, and a real run that is watched while it trains, when it has died and when it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.errors import UserError

from .conftest import SUFFIX, Rung

REPOSITORY = Path(__file__).resolve().parent.parent.parent
runner = CliRunner()


def status(*arguments: object) -> dict[str, Any]:
    result = runner.invoke(app, ["status", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.output))


def by_name(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cell["cell"].removesuffix(SUFFIX): cell for cell in content["cells"]}


def test_json(busy: Rung) -> None:
    content = status(busy.root)
    assert content["finished"] is False
    assert content["corpora"] == {"corpus": True}
    assert content["summary"]["restarts"] == 1
    assert content["summary"]["states"]["failed"] == 1
    cells = by_name(content)
    assert {name: cell["state"] for name, cell in cells.items()} == {
        "natural": "evaluated",
        "uniform": "training",
        "proxy": "failed",
        "doremi": "waiting",
    }
    uniform = cells["uniform"]
    assert (uniform["step"], uniform["total_steps"], uniform["tokens"]) == (200, 500, "supervised")
    assert uniform["tokens_per_second"] == pytest.approx(8700)
    assert uniform["seconds_left"] == pytest.approx(300, abs=5)
    assert uniform["why_restarted"] == ["time limit"]
    assert uniform["logs"] == [f"{busy.root}/logs/train/mixture/uniform{SUFFIX}.log"]
    assert cells["proxy"]["checkpoint"] == 100
    assert cells["doremi"]["waits_for"] == [f"mixture/proxy{SUFFIX}"]


def test_a_grid_file_that_is_named(busy: Rung) -> None:
    (busy.root / "grid.json").unlink()
    assert status(busy.root)["grid"] is None
    file = Path("reproductions/little.yaml")
    assert status(busy.root, "--grid", file)["grid"] == str(file)


def test_text(busy: Rung) -> None:
    result = runner.invoke(app, ["status", str(busy.root)])
    assert result.exit_code == 0
    assert "1 of 4 trained, 1 of 3 evaluated" in result.output.replace("\n", " ")
    assert "error: [Errno 28] No space left on device" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "name the folder of a grid"), ([".", "--watch", "--json"], "leave out --watch")],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    result = runner.invoke(app, ["status", *arguments])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def test_the_command_line_ends_when_the_grid_has(rung: Rung) -> None:
    for method in ("natural", "uniform", "proxy", "doremi"):
        rung.done(method)
        rung.results(method)
    result = runner.invoke(app, ["status", str(rung.root), "--watch", "--every", "0.1"])
    assert result.exit_code == 0
    assert "4 of 4 trained, 3 of 3 evaluated" in result.output


@pytest.mark.slow
def test_a_run_that_trains_dies_and_goes_on(rung: Rung, config: dict[str, Any]) -> None:
    """A real run: kill -9 after its first checkpoint; then it is started again and ends."""
    from dataflex.host.prepare import check
    from dataflex.host.train import train

    run_dir = rung.root.resolve() / f"train/mixture/natural{SUFFIX}"
    keys = {"output_dir": str(run_dir), "save_strategy": "steps", "save_steps": 10, "max_steps": 60}
    keys |= {"train_type": "dynamic_mix", "component_name": "static", "include_num_input_tokens_seen": "all"}
    file = rung.root.parent.resolve() / "config.yaml"
    file.write_text(yaml.safe_dump(config | keys))
    events = rung.events("natural", {"event": "start", "time": 0, "host": "here", "slurm_job": None})
    log = rung.log("natural", "")
    command = [sys.executable, "-m", "dataflex.cli", "train", str(file)]
    with (
        log.open("w") as stream,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=stream, stderr=stream) as running,
    ):
        rung.lock("natural", silent=0)
        seen = []
        while not (run_dir / "checkpoint-10/dataflex/complete.json").is_file() and running.poll() is None:
            seen.append(by_name(status(rung.root))["natural"])
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    assert {cell["state"] for cell in seen} == {"training"}
    steps = [cell["step"] for cell in seen if cell["step"] is not None]
    assert steps == sorted(steps)

    now = time.time()
    lock = rung.root / f"attempts/train/mixture/natural{SUFFIX}.lock"
    os.utime(lock, (now - 300, now - 300))
    dead = by_name(status(rung.root))["natural"]
    assert (dead["state"], dead["total_steps"]) == ("lost", 60)
    assert dead["step"] >= dead["checkpoint"] >= 10
    trained = [
        json.loads(line)
        for line in (run_dir / "trainer_log.jsonl").read_text().split("\n")
        if line.endswith("}")
    ]
    assert dead["step"] == trained[-1]["current_steps"]
    assert dead["tokens_per_second"] is None or dead["tokens_per_second"] > 0

    with events.open("a") as stream:
        stream.write(json.dumps({"event": "start", "time": now, "host": "here", "slurm_job": None}) + "\n")
    lock.unlink()
    fresh = by_name(status(rung.root))["natural"]
    assert (fresh["state"], fresh["step"], fresh["restarts"]) == ("training", dead["checkpoint"], 1)
    train(check(yaml.safe_load(file.read_text())))
    with events.open("a") as stream:
        stream.write(json.dumps({"event": "end", "time": time.time(), "status": 0, "reason": None}) + "\n")
    rung.done("natural")
    done = by_name(status(rung.root))["natural"]
    assert (done["state"], done["step"], done["restarts"]) == ("trained", 60, 1)
    assert done["why_restarted"] == ["died without a word on here"]
    assert done["loss"] == pytest.approx(trained[0]["loss"], rel=0.9)
