"""The command line as people type it."""

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dataflex import catalogue
from dataflex.cli import main
from dataflex.config_file import read_config, read_overrides
from dataflex.engine.component import Need
from dataflex.errors import UserError
from dataflex.host.launch import torchrun_command, wants_workers
from dataflex.host.silence import host_silenced

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


@pytest.fixture
def host_records() -> Iterator[list[logging.LogRecord]]:
    """What LLaMA-Factory's logger lets through where it is as talkative as by default."""
    from llamafactory.extras.logging import get_logger

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    records: list[logging.LogRecord] = []
    logger, keeper = get_logger(), Keeper()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(keeper)
    yield records
    logger.removeHandler(keeper)
    logger.setLevel(level)


@pytest.mark.parametrize(
    "override",
    ["component_params={strategy:linupper,r:0.5}", "component_params={strategy: linupper, r: 0.5}"],
)
def test_overrides_may_hold_mappings(file: Path, override: str) -> None:
    config = read_config(file, [override, "learning_rate=1e-4", "dataset=code"])
    assert config["component_params"] == {"strategy": "linupper", "r": 0.5}
    assert config["learning_rate"] == 1e-4
    assert config["dataset"] == "code"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("component_params=[1, 2]", "component_params is a list on the command line, but FILE has a mapping"),
        (
            "component_params.quantiles={low: 1}",
            "component_params.quantiles is a mapping on the command line",
        ),
        ("init_mixture_proportions={code: 1}", "but FILE has a list, [0.5, 0.3, 0.2]: give a list"),
        ("init_mixture_proportions.0=1", "init_mixture_proportions is a mapping on the command line"),
    ],
)
def test_a_list_over_a_mapping_is_told_in_one_line(file: Path, override: str, message: str) -> None:
    more = {"component_params": {"quantiles": [0.3, 0.6]}, "init_mixture_proportions": [0.5, 0.3, 0.2]}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | more))
    with pytest.raises(UserError) as caught:
        read_config(file, [override])
    assert message.replace("FILE", str(file)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_are_merged_into_mappings_and_replace_the_rest(file: Path) -> None:
    more = {"component_params": {"a": {"b": 1, "c": [1, 2]}}, "init_mixture_proportions": [0.5, 0.3, 0.2]}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | more))
    overrides = ["component_params.a={c: [3]}", "init_mixture_proportions=[1, 1, 2]", "dataset=[code]"]
    config = read_config(file, overrides)
    assert config["component_params"] == {"a": {"b": 1, "c": [3]}}
    assert config["init_mixture_proportions"] == [1, 1, 2]
    assert config["dataset"] == ["code"]
    assert read_overrides(overrides) == {
        "component_params": {"a": {"c": [3]}},
        "init_mixture_proportions": [1, 1, 2],
        "dataset": ["code"],
    }


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


def test_explain_shows_what_a_mixer_was_rewarded_for(
    run: Callable[..., Run], cli: Callable[..., str]
) -> None:
    mixed = run(train_type="dynamic_mix", component_name="odm", update_step=1, update_times=0, train_step=4)
    rewards = mixed.lines("plan_log.jsonl")[-1]["rewards"]
    # A table folds its cells.
    told = "".join(cli("explain", str(mixed.folder)).replace("│", " ").split())
    assert "rewards:" in told
    assert all(f"{name}{value:.4g}" in told for name, value in rewards.items())


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


@pytest.mark.parametrize(
    ("changes", "times", "told"),
    [
        ({}, 3, "3 times: num_train_epochs is 3 unless you say otherwise, LLaMA-Factory's default"),
        ({"num_train_epochs": 2}, 2, "gone through 2 times: num_train_epochs is 2"),
        ({"num_train_epochs": 1}, 1, "gone through once: num_train_epochs is 1"),
        ({"num_train_epochs": 1.5}, 1.5, "1.5 times: num_train_epochs is 1.5"),
        ({"max_steps": 21}, 3.5, "3.5 times: max_steps is 21"),
        ({"train_step": 3}, 0.5, "0.5 times: train_step is 3"),
        ({"update_times": 0}, None, None),
        ({"train_type": "dynamic_mix", "component_name": "random"}, None, None),
    ],
)
def test_plan_tells_how_often_a_selections_cycle_is_repeated(
    cli: Callable[..., str], config: dict[str, Any], tmp_path: Path, changes: Any, times: Any, told: Any
) -> None:
    """A cycle of 2 + 2 * 2 steps."""
    schedule = {"warmup_step": 2, "update_step": 2, "update_times": 2}
    keys = {"train_type": "dynamic_select", "component_name": "random"} | schedule | changes
    file = tmp_path / "select.yaml"
    file.write_text(yaml.safe_dump(config | {"dataset": "docs"} | keys))
    plan = json.loads(cli("plan", str(file), "--json"))
    shown = " ".join(cli("plan", str(file)).split())
    if times is None:
        assert plan["cycle"] is None
        assert "gone through" not in shown
        return
    assert plan["cycle"]["steps"] == 6
    assert plan["cycle"]["times"] == times == plan["total_steps"] / 6
    assert told in shown
    warmups = [phase for phase in plan["phases"]["select"] if phase["name"] == "warmup"]
    assert len(warmups) == math.ceil(times)


def test_plan_of_a_selection_beside_a_longer_mixture(
    cli: Callable[..., str], config: dict[str, Any], tmp_path: Path
) -> None:
    decisions = [
        {"kind": "select", "component_name": "random", "update_step": 2, "update_times": 2},
        {"kind": "mix", "component_name": "random", "update_step": 10, "update_times": 3},
    ]
    file = tmp_path / "both.yaml"
    file.write_text(yaml.safe_dump(config | {"dataset": "docs", "decisions": decisions}))
    cycle = json.loads(cli("plan", str(file), "--json"))["cycle"]
    assert cycle == {"steps": 4, "times": 7.5, "because": "the schedule of the mixture is longer"}


@pytest.mark.parametrize("asked", [False, True], ids=["silent", "asked for"])
def test_plan_keeps_llamafactorys_logs_off_the_screen(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host_records: list[logging.LogRecord],
    asked: bool,
) -> None:
    if not asked:
        monkeypatch.delenv("LLAMAFACTORY_VERBOSITY")
    monkeypatch.setattr(sys, "argv", ["dataflex-cli", "plan", str(file), "--json"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert json.loads(shown.out)["total_steps"] > 0
    assert ("training example:" in shown.err) == asked
    assert bool(host_records) == asked


def test_silence_ends_with_its_block_and_lets_errors_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host_records: list[logging.LogRecord]
) -> None:
    monkeypatch.delenv("LLAMAFACTORY_VERBOSITY")
    logger = logging.getLogger("llamafactory.data.loader")
    with suppress(KeyError), host_silenced():
        print("an example")
        logger.warning("inside")
        logger.error("an error")
        raise KeyError
    print("afterwards")
    logger.info("outside")
    assert [record.getMessage() for record in host_records] == ["an error", "outside"]
    assert capsys.readouterr().out == "afterwards\n"
    assert "LLAMAFACTORY_VERBOSITY" not in os.environ


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


def test_all_of_one_component(cli: Callable[..., str]) -> None:
    told = " ".join(cli("components", "odm").split())
    assert told.startswith("mixer odm Draw more from domains whose loss is high")
    assert "start from 1/K" in told
    assert "arXiv:2312.02406" in told
    assert "estimator = 'released' (released | paper | exp3)" in told
    assert "min_exploration = 0.0 (float >= 0)" in told
    assert "reward_scale = None (float > 0 or none)" in told
    assert "focus" not in told
    both = cli("components", "loss")
    assert "selector loss" in both
    assert "weighter loss" in both
    assert "Needs the losses of samples." in both
    less = " ".join(cli("components", "less").split())
    assert "Needs Adam's moments: optim: adamw_torch." in less
    assert "name one in eval_dataset" in less
    (kind,) = json.loads(cli("components", "odm", "--json")).items()
    assert kind[0] == "mix"
    assert list(kind[1]) == ["odm"]


@pytest.mark.parametrize("arguments", [(), ("custom",)])
def test_brackets_in_texts_are_shown(cli: Callable[..., str], arguments: tuple[str, ...]) -> None:
    """Rich would take them for markup."""
    assert "[per_sample_loss]" in cli("components", *arguments)


def test_a_component_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dataflex-cli", "components", "dorem"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert "no component is called 'dorem': did you mean 'doremi'?" in capsys.readouterr().err


def test_every_need_is_told_in_words() -> None:
    assert set(catalogue._NEEDS) == set(get_args(Need))


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
        "-m dataflex.host.agent --nproc-per-node 4 --nnodes 2 --node-rank 1 --master-addr 127.0.0.1 "
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


def test_a_command_without_its_extra_says_what_to_install(monkeypatch, capsys):
    """Grids, claims and reports rest on packages that training does without."""

    def lacking(name):
        def app():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return app

    monkeypatch.setattr(sys, "argv", ["dataflex-cli", "claims"])
    monkeypatch.setattr("dataflex.cli.app", lacking("scipy.stats"))
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "needs scipy.stats: pip install -e '.[suite]'" in capsys.readouterr().err
    monkeypatch.setattr("dataflex.cli.app", lacking("their_own"))
    with pytest.raises(ModuleNotFoundError):
        main()
