"""The command line as people type it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataflex.cli import main
from dataflex.config import read_config
from dataflex.errors import UserError
from dataflex.host.launch import torchrun_command, wants_workers

from .conftest import Run


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["dataflex-cli", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code in (0, None)
        return capsys.readouterr().out

    return call


@pytest.fixture
def file(config: dict[str, Any], tmp_path: Path) -> Path:
    config |= {"train_type": "dynamic_mix", "component_name": "random", "warmup_step": 2, "update_step": 2}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize(
    "override",
    ["component_params={strategy:linupper,r:0.5}", "component_params={strategy: linupper, r: 0.5}"],
)
def test_overrides_may_hold_mappings(file: Path, override: str) -> None:
    config = read_config(file, [override, "learning_rate=1e-4", "dataset=code"])
    assert config["component_params"] == {"strategy": "linupper", "r": 0.5}
    assert config["learning_rate"] == 1e-4
    assert config["dataset"] == "code"


def test_inline_parameters_win_over_the_components_file(config: dict[str, Any], tmp_path: Path) -> None:
    from dataflex.config import components_of, split

    file = tmp_path / "components.yaml"
    file.write_text("selectors:\n  loss:\n    name: loss\n    params: {focus: low, focus_weight: 2.0}\n")
    keys = {"train_type": "dynamic_select", "component_name": "loss", "components_cfg_file": str(file)}
    own, _ = split(config | keys | {"component_params": {"focus": "high"}})
    _, component = components_of(own)["select"]
    assert component.focus == "high"  # type: ignore[attr-defined]
    assert component.focus_weight == 2.0  # type: ignore[attr-defined]
    file.write_text("selectors:\n  loss:\n    parms: {}\n")
    with pytest.raises(UserError, match="takes name and params, not 'parms'"):
        components_of(own)


def test_static_mix_keeps_the_initial_proportions_whatever_the_file_says(
    config: dict[str, Any], tmp_path: Path
) -> None:
    from dataflex.config import components_of, split

    file = tmp_path / "components.yaml"
    file.write_text("mixers:\n  static:\n    name: static\n    params: {proportions: [0.5, 0.5]}\n")
    keys = {"train_type": "dynamic_mix", "static_mix": True, "components_cfg_file": str(file)}
    own, _ = split(config | keys | {"init_mixture_proportions": [0.6, 0.3, 0.1]})
    _, mixer = components_of(own)["mix"]
    assert mixer.proportions is None  # type: ignore[attr-defined]
    own, _ = split(
        config | keys | {"init_mixture_proportions": [1, 1, 1], "component_params": {"proportions": [1]}}
    )
    with pytest.raises(UserError, match="remove component_params"):
        components_of(own)


def test_train_then_explain(cli: Callable[..., str], file: Path, tmp_path: Path) -> None:
    out = tmp_path / "there"
    cli("train", str(file), f"output_dir={out}", "update_times=3")
    told = cli("explain", str(out))
    assert "dynamic_mix" in told
    assert "completed" in told
    story = json.loads(cli("explain", str(out), "--json"))
    assert [line["step"] for line in story["decisions"]] == [0, 2, 4, 6]
    assert sum(domain["samples"] for domain in story["domains"].values()) == 8 * 4
    rerun = read_config(out / "config.yaml")
    assert rerun["update_times"] == 3
    assert rerun["output_dir"] == str(out)
    manifest = story["manifest"]
    assert manifest["data"]["docs"]["rows"] > 0
    assert len(manifest["data"]["docs"]["sha256"]) == 64
    assert manifest["versions"]["llamafactory"]
    assert manifest["wall_seconds"] > 0


def test_explain_knows_selection_and_weights(
    run: Callable[..., Run], cli: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    selected = run(
        train_type="dynamic_select", component_name="loss", warmup_step=1, update_step=2, num_train_epochs=1
    )
    assert "of 1,649 rows" in cli("explain", str(selected.folder)).replace("\n", " ")
    weighted = run(train_type="dynamic_weight", warmup_step=2, train_step=6)
    capsys.readouterr()
    told = json.loads(cli("explain", str(weighted.folder), "--json"))["decisions"]
    assert [(line["step"], line["last_step"], line["steps"]) for line in told] == [(2, 5, 4)]


def test_plan_before_anything_loads(
    cli: Callable[..., str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llamafactory.model

    monkeypatch.delattr(llamafactory.model, "load_model")
    assert "domains" in cli("plan", str(file), "update_times=3")
    plan = json.loads(cli("plan", str(file), "update_times=3", "--json"))
    assert plan["total_steps"] == 8
    assert [phase["samples"] for phase in plan["phases"]["mix"]] == [8, 8, 8, 8]
    assert sum(domain["samples"] for domain in plan["domains"]) == pytest.approx(32, abs=0.2)
    assert not Path(read_config(file)["output_dir"]).exists()


def test_plan_of_a_run_on_other_machines(cli: Callable[..., str], file: Path) -> None:
    """Eight ranks, DeepSpeed and a known mixture, planned where none of it is."""
    keys = ("component_name=static", "component_params={proportions:[0.7,0.2,0.1]}", "update_times=3")
    keys += ("deepspeed=nowhere/zero3.json", "bf16=true")
    plan = json.loads(cli("plan", str(file), *keys, "--ranks", "8", "--json"))
    assert plan["batch_rows"] == 8 * 4
    shares = [domain["share"] for domain in plan["domains"]]
    initial = [domain["loss_tokens"] for domain in plan["domains"]]
    expected = [0.25 * n / sum(initial) + 0.75 * p for n, p in zip(initial, (0.7, 0.2, 0.1), strict=True)]
    assert shares == pytest.approx(expected)
    assert plan["decided_later"] == []


def test_listing_components(cli: Callable[..., str]) -> None:
    listed = json.loads(cli("components", "--json"))
    assert set(listed) == {"select", "mix", "weight"}
    assert listed["select"]["loss"]["parameters"]["focus"]["default"] == "medium"
    assert "focus_weight" in cli("components")


def test_llamafactorys_own_commands_are_reachable() -> None:
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", "dataflex.cli", "help"], capture_output=True, text=True, env=env, check=True
    )
    assert "llamafactory-cli train" in done.stdout


def test_several_devices_start_torchrun() -> None:
    assert wants_workers({}, devices=4)
    assert wants_workers({"FORCE_TORCHRUN": "1"}, devices=0)
    assert not wants_workers({}, devices=1)
    assert wants_workers({"USE_MCA": "true"}, devices=0)
    assert not wants_workers({"USE_RAY": "1"}, devices=4)
    assert not wants_workers({"LOCAL_RANK": "0", "FORCE_TORCHRUN": "1"}, devices=4)
    command = torchrun_command({"NNODES": "2", "NODE_RANK": "1", "MASTER_PORT": "99"}, 4, 1, ["a.yaml"])
    assert " ".join(command[1:]) == (
        "-m torch.distributed.run --nproc-per-node 4 --nnodes 2 --node-rank 1 --master-addr 127.0.0.1 "
        "--master-port 99 -m dataflex.cli train a.yaml"
    )
    elastic = torchrun_command({"RDZV_ID": "7", "MIN_NNODES": "1", "MAX_NNODES": "3"}, 2, 5, ["a.yaml"])
    assert "1:3" in elastic
    assert "127.0.0.1:5" in elastic


@pytest.mark.slow
def test_a_mistake_on_several_ranks_is_told_once(config: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        yaml.safe_dump(config | {"train_type": "dynamic_mix", "update_step": 1, "dataset": "nope"})
    )
    env = os.environ | {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dataflex.cli", "train", str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("dataflex-cli: dataset 'nope' is not in") == 1
