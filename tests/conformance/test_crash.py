"""kill -9, anywhere, in a run of any registered component: started again, it ends in the same bits.

A few deaths for each component here; ``make test-crash`` runs the rest of the file, every step and every file.
"""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from laptop.equality import assert_same_run
from safetensors import safe_open

import dataflex
from dataflex.engine.checkpoints import checkpoints_of
from dataflex.engine.schedule import Kind

from ..registered import EVERY
from .cases import run_of
from .faults import STEPS, Fault, Place
from .harness import Box

MakeBox = Callable[..., Box]
every_component = pytest.mark.parametrize(("kind", "name"), EVERY)
one_of_each_kind = pytest.mark.parametrize(("kind", "name"), [EVERY[0], EVERY[6], EVERY[-1]])


@pytest.fixture
def case(tiny: Path, experts: dict[str, Path]) -> Callable[[Kind, str, int], dict[str, Any]]:
    return lambda kind, name, steps: run_of(kind, name, steps, tiny, experts["qwen3_moe"])


def assert_no_pickle(run: Path) -> None:
    """Our part of every checkpoint is JSON and safetensors, and reads as such."""
    for checkpoint in checkpoints_of(run):
        files = sorted((checkpoint / "dataflex").iterdir())
        assert {file.suffix for file in files} == {".json", ".safetensors"}
        for file in files:
            if file.suffix == ".json":
                json.loads(file.read_text())
            else:
                with safe_open(file, "np") as content:
                    assert content.keys() is not None


@every_component
def test_a_few_deaths(box: MakeBox, case: Callable[..., Any], kind: Kind, name: str) -> None:
    """One in a pass over the model where the method makes any, else in a step; one in a checkpoint."""
    turn = EVERY.index((kind, name))
    config = case(kind, name, 12)
    whole, cut = box("whole", config), box("cut", config)
    whole.finish()
    passes = whole.passed().get("pass", 0)
    place: Place = "write" if turn % 2 else "change"
    deaths = [
        Fault("pass", 1 + passes // 2) if passes else Fault(STEPS[turn % 4], from_step=4 + turn % 3),
        Fault(place, 1 + 5 * turn % 8, below="checkpoint-9"),
    ]
    for fault in deaths:
        assert cut.die(fault), fault
    cut.finish()
    assert_same_run(whole.run, cut.run)
    assert_no_pickle(whole.run)


@pytest.mark.slow
@one_of_each_kind
def test_a_few_deaths_on_two_ranks(box: MakeBox, case: Callable[..., Any], kind: Kind, name: str) -> None:
    config = case(kind, name, 12)
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    for fault in (
        Fault("micro-batch", from_step=4, rank=1),
        Fault("write", 1, below="rng_state_1", rank=1),
        Fault("change", 1, below="complete.json", from_step=8),
    ):
        assert cut.die(fault), fault
    cut.finish()
    assert_same_run(whole.run, cut.run)


JOB = {
    "stage": "pt",
    "train_step": 4,
    "dataset": "code,more_code,docs",
    "doremi": {"small": {"train_step": 6}},
}


def job_of(config: dict[str, Any]) -> dict[str, Any]:
    own = {"component_name", "component_params", "train_type"}
    own |= {"warmup_step", "update_step", "update_times", "train_step"}
    return {key: value for key, value in config.items() if key not in own} | JOB


@pytest.mark.slow
def test_deaths_between_the_parts_of_doremi(box: MakeBox, case: Callable[..., Any]) -> None:
    """As the reference run is called complete, as the proxy's configuration is written, before the main run."""
    config = job_of(case("mix", "static", 6))
    whole, cut = box("whole", config), box("cut", config)
    whole.finish("doremi")
    for below, nth in (
        ("reference/manifest.json", 3),
        ("proxy.yaml", 2),
        ("main.yaml", 1),
        ("main/config", 1),
    ):
        assert cut.die(Fault("change", nth, below=below), "doremi"), below
    cut.finish("doremi")
    for part in ("round1/reference", "round1/proxy", "main"):
        assert_same_run(whole.run / part, cut.run / part)


@pytest.mark.crash
@every_component
def test_a_death_at_every_step(box: MakeBox, case: Callable[..., Any], kind: Kind, name: str) -> None:
    """Sixty deaths in a row: before a step, between its micro-batches, after its update, at its end."""
    config = case(kind, name, 60)
    whole, cut = box("whole", config), box("cut", config)
    whole.finish()
    for step in range(60):
        assert cut.die(Fault(STEPS[(step + step // 4) % 4], from_step=step)), step
    cut.finish()
    assert_same_run(whole.run, cut.run)


@pytest.mark.crash
@every_component
@pytest.mark.parametrize("place", ["pass", "change", "write"])
def test_a_death_in_every_pass_and_file(
    box: MakeBox, case: Callable[..., Any], kind: Kind, name: str, place: Place
) -> None:
    """At the first batch or file after each start, the second, the third ... until a run comes to its end."""
    config = case(kind, name, 12)
    whole, cut = box("whole", config), box("cut", config)
    whole.finish()
    most = whole.passed().get(place, 0)
    every = max(1, most // 40) if place == "pass" else 1
    for nth in range(1, most + 2, every):
        if not cut.die(Fault(place, nth)):
            break
    else:
        cut.finish()
    assert_same_run(whole.run, cut.run)


@pytest.mark.crash
@every_component
def test_deaths_of_either_rank(box: MakeBox, case: Callable[..., Any], kind: Kind, name: str) -> None:
    config = case(kind, name, 60)
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    for turn, step in enumerate(range(0, 60, 3)):
        assert cut.die(Fault(STEPS[turn % 4], from_step=step, rank=turn % 2)), step
    cut.finish()
    assert_same_run(whole.run, cut.run)


@pytest.mark.crash
@every_component
def test_deaths_of_either_rank_in_checkpoints(
    box: MakeBox, case: Callable[..., Any], kind: Kind, name: str
) -> None:
    config = case(kind, name, 12)
    whole, cut = box("whole", config, 2), box("cut", config, 2)
    whole.finish()
    struck = [cut.die(Fault("write", nth, below="checkpoint-")) for nth in range(1, 13)]
    assert sum(struck) > 6
    struck = [cut.die(Fault("change", nth, below="checkpoint-", rank=1)) for nth in range(1, 4)]
    assert any(struck)
    cut.finish()
    assert_same_run(whole.run, cut.run)


@pytest.mark.crash
def test_deaths_at_every_file_of_doremi(box: MakeBox, case: Callable[..., Any]) -> None:
    config = job_of(case("mix", "static", 6))
    whole, cut = box("whole", config), box("cut", config)
    whole.finish("doremi")
    for nth in range(1, whole.passed()["change"] + 2):
        if not cut.die(Fault("change", nth), "doremi"):
            break
    for part in ("round1/reference", "round1/proxy", "main"):
        assert_same_run(whole.run / part, cut.run / part)


PICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def test_the_package_never_pickles() -> None:
    """It neither writes pickles nor reads others' unless only plain tensors are let through."""
    for path in sorted(Path(dataflex.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not PICKLERS & {name.name.split(".")[0] for name in node.names}, path
            if isinstance(node, ast.ImportFrom):
                names = {name.name for name in node.names}
                assert node.module not in PICKLERS, path
                assert not (node.module in ("torch", "numpy") and names & {"save", "savez", "load"}), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                given = {key.arg: key.value for key in node.keywords}
                said = {key: ast.unparse(value) for key, value in given.items() if key}
                match ast.unparse(node.func).replace("numpy.", "np."):
                    case "torch.save":
                        raise AssertionError(path)
                    case "torch.load":
                        assert said.get("weights_only") == "True", path
                    case "np.save" | "np.savez" | "np.load":
                        assert said.get("allow_pickle") == "False", path
