"""DoReMi on real runs of a few steps: the proxy by itself, and the job of all parts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.errors import UserError
from dataflex.host.doremi import Job, Part
from dataflex.host.prepare import check, prepare
from dataflex.host.train import train

from .conftest import Run
from .cutting import assert_equal, cut_after, interrupt

Config = dict[str, Any]
PROXY: Config = {
    "train_type": "dynamic_mix",
    "component_name": "doremi",
    "mixture_sample_rule": "uniform",
    "update_step": 1,
    "update_times": 0,
}
STATIC: Config = {"train_type": "dynamic_mix", "static_mix": True}
# Plain gradient descent without clipping: the parameters show the gradients of all steps.
DESCENT = {
    "optim": "sgd",
    "learning_rate": 0.5,
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "dataset": "sft,sft_long",
    "stage": "sft",
    "cutoff_len": 64,
}


def split(batch: int, accumulation: int) -> dict[str, int]:
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}


def mixtures(run: Run) -> list[dict[str, Any]]:
    return [line for line in run.lines("plan_log.jsonl") if line["component"] == "doremi"]


def series(run: Run, key: str) -> np.ndarray:
    return np.array([list(line[key].values()) for line in mixtures(run)], float)


def learned(folder: Path) -> list[float]:
    return list(json.loads((folder / "manifest.json").read_text())["learned_proportions"].values())


@pytest.fixture
def reference(run: Callable[..., Run]) -> Callable[..., str]:
    """Train a reference model that is better than the proxy is at first; return its run directory."""
    return lambda **keys: str(run(**STATIC | {"train_step": 12, "learning_rate": 5e-3} | keys).folder)


def proxy(reference: str, **params: Any) -> Config:
    return PROXY | {"component_params": {"reference_model_path": reference} | params}


def test_the_first_step_is_plain_training_on_equal_shares(run: Callable[..., Run], tiny: Path) -> None:
    ours = run(**proxy(str(tiny / "model"), reference_losses="live"), train_step=1)
    plain = run(**STATIC, mixture_sample_rule="uniform", train_step=1)
    assert ours.losses == plain.losses
    for name, weight in plain.weights.items():
        assert torch.equal(ours.weights[name], weight)


def test_a_model_is_not_above_itself(run: Callable[..., Run], tiny: Path) -> None:
    """The proxy starts as its reference: the first scores are zero, and no weight moves."""
    start = str(tiny / "model")
    one = run(**proxy(start, reference_losses="live", score_clip="none"), train_step=2)
    assert series(one, "alpha")[1] == pytest.approx(np.full(3, 1 / 3), abs=1e-6)
    assert series(one, "scores")[1] == pytest.approx(np.zeros(3), abs=1e-6)


def test_a_hand_made_run_repeats_the_weights(run: Callable[..., Run], reference: Callable[..., str]) -> None:
    """From logged scores alone: alpha, its mean, and what the manifest offers to later runs."""
    one = run(**proxy(reference(), reference_losses="live"), train_step=8)
    scores, alpha, c = series(one, "scores")[1:], np.full(3, 1 / 3), 1e-3
    every = [alpha]
    for score in scores:
        raised = alpha * np.exp(score)
        alpha = (1 - c) * raised / raised.sum() + c / 3
        every.append(alpha)
    assert np.abs(scores).min() > 1e-3
    assert series(one, "alpha") == pytest.approx(np.array(every), abs=1e-9)
    assert series(one, "average")[-1] == pytest.approx(np.mean(every, 0), abs=1e-9)
    weights = series(one, "loss_weights")
    assert weights == pytest.approx(3 * np.array(every), abs=1e-9)
    # The eighth step is one more update, which no later step was trained with.
    final = np.array(learned(one.folder)) * 9 - np.sum(every, 0)
    assert final.sum() == pytest.approx(1, abs=1e-9)
    assert np.abs(final - every[-1]).max() > 1e-4


@pytest.mark.parametrize("params", [{}, {"normaliser": "domain", "score_clip": "domain"}])
def test_batch_and_accumulation_do_not_matter(
    run: Callable[..., Run], reference: Callable[..., str], params: Config
) -> None:
    keys = DESCENT | proxy(reference(**DESCENT), **params) | {"train_step": 3}
    whole = run(**keys, **split(8, 1))
    assert np.abs(series(whole, "alpha")[-1] - 1 / 2).max() > 1e-4
    for batch, accumulation in ((4, 2), (1, 8)):
        part = run(**keys, **split(batch, accumulation))
        for key in ("scores", "alpha", "average"):
            assert series(part, key)[1:] == pytest.approx(series(whole, key)[1:], abs=2e-6)
        for name, weight in whole.weights.items():
            torch.testing.assert_close(part.weights[name], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("losses", ["cached", "live"])
def test_ranks_do_not_matter(
    run: Callable[..., Run], torchrun: Callable[..., Run], reference: Callable[..., str], losses: str
) -> None:
    keys = DESCENT | {"train_step": 3}
    model = reference(**DESCENT)
    # The two processes make the cache that the single one reads.
    double = torchrun(**keys, **proxy(model, reference_losses=losses), **split(2, 2))
    single = run(**keys, **proxy(model, reference_losses=losses), **split(8, 1))
    for key in ("scores", "alpha", "average"):
        assert series(double, key)[1:] == pytest.approx(series(single, key)[1:], abs=2e-6)
    assert learned(double.folder) == pytest.approx(learned(single.folder), abs=1e-6)
    for name, weight in single.weights.items():
        torch.testing.assert_close(double.weights[name], weight, rtol=1e-5, atol=1e-6)


def test_cached_and_live_losses_agree(run: Callable[..., Run], reference: Callable[..., str]) -> None:
    """Dropout shows that computing the cache leaves the random states alone."""
    model = reference()
    keys = {"train_step": 6, "finetuning_type": "lora", "lora_dropout": 0.3}
    live = run(**keys, **proxy(model, reference_losses="live"))
    made = run(**keys, **proxy(model))
    found = run(**keys, **proxy(model))
    files = list(Path(model).glob("reference_losses/*/part-*.npy"))
    tokens = json.loads((made.folder / "manifest.json").read_text())["data"]
    assert sum(np.load(file).nbytes for file in files) == 2 * sum(d["loss_tokens"] for d in tokens.values())
    assert series(made, "scores")[1:] == pytest.approx(series(live, "scores")[1:], abs=2e-3)
    assert made.losses == found.losses
    assert np.array_equal(series(made, "alpha"), series(found, "alpha"))
    assert made.losses == pytest.approx(live.losses, abs=1e-3)


def test_the_reference_is_left_as_it_was_and_out_of_the_checkpoint(
    run: Callable[..., Run], reference: Callable[..., str]
) -> None:
    model = Path(reference())
    before = {file.name: file.read_bytes() for file in model.iterdir() if file.is_file()}
    keys = {"train_step": 3, "save_strategy": "steps", "save_steps": 3}
    one = run(**keys, **proxy(str(model), reference_losses="live"))
    plain = run(**keys, **STATIC)
    assert {file.name: file.read_bytes() for file in model.iterdir() if file.is_file()} == before
    saved = [torch.load(r.folder / "checkpoint-3/optimizer.pt", weights_only=True) for r in (one, plain)]
    assert saved[0]["state"].keys() == saved[1]["state"].keys()
    assert one.weights.keys() == plain.weights.keys()


def test_an_adapter_may_be_the_reference(run: Callable[..., Run], reference: Callable[..., str]) -> None:
    """A proxy that starts from the same adapter is not above it; the base alone would be."""
    lora = {"finetuning_type": "lora", "lora_rank": 4}
    adapter = reference(**lora, learning_rate=2e-2)
    keys = proxy(adapter, reference_losses="live", score_clip="none")
    same = run(**keys, **lora, adapter_name_or_path=adapter, train_step=2)
    assert series(same, "scores")[1] == pytest.approx(np.zeros(3), abs=1e-5)
    base = run(**keys, **lora, train_step=2)
    assert np.abs(series(base, "scores")[1]).max() > 1e-3


def test_the_reference_has_its_own_weights_even_where_the_run_begins_with_random_ones(
    config: Config, tiny: Path
) -> None:
    prepared = prepare(
        check(config | proxy(str(tiny / "model")) | {"train_step": 2, "train_from_scratch": True})
    )
    assert prepared.reference is not None
    model = prepared.reference.load()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    parameters = dict(model.named_parameters())
    for name, weight in load_file(tiny / "model" / "model.safetensors").items():
        assert torch.equal(parameters[name], weight)


@pytest.mark.parametrize("stop", [3, 4])
def test_resume_is_bitwise_equal(run: Callable[..., Run], reference: Callable[..., str], stop: int) -> None:
    """Two steps an update: the checkpoint of step 3 holds evidence that no update has used yet."""
    keys = proxy(reference()) | {
        "update_step": 2,
        "train_step": 7,
        "save_strategy": "steps",
        "save_steps": stop,
    }
    keys |= {"finetuning_type": "lora", "lora_dropout": 0.3}
    whole = run(**keys)
    assert learned(whole.folder)
    assert_equal(run(**keys, output_dir=str(cut_after(whole, stop))), whole)


def test_a_run_keeps_what_another_has_learned(run: Callable[..., Run], reference: Callable[..., str]) -> None:
    one = run(**proxy(reference(), reference_losses="live"), train_step=4)
    after = run(**STATIC, component_params={"proportions_from": str(one.folder)}, train_step=2)
    kept = after.lines("plan_log.jsonl")[-1]["proportions"]
    assert list(kept.values()) == pytest.approx(learned(one.folder), rel=1e-12)
    turned = run(
        **STATIC,
        dataset="docs,code,more_code",
        component_params={"proportions_from": str(one.folder)},
        train_step=1,
    )
    assert turned.lines("plan_log.jsonl")[-1]["proportions"] == pytest.approx(kept, rel=1e-12)
    with pytest.raises(UserError, match=r"name the same in dataset, not code, more_code$"):
        check({**_plain(after), "dataset": "code,more_code"})
    with pytest.raises(UserError, match="learned no proportions; mixer doremi does"):
        check({**_plain(after), "component_params": {"proportions_from": str(after.folder)}})
    (one.folder / "manifest.json").write_text('{"status": "running"}')
    with pytest.raises(UserError, match="is not finished"):
        check(_plain(after))


def _plain(run: Run) -> Config:
    config: Config = yaml.safe_load((run.folder / "config.yaml").read_text())
    return config | {"output_dir": f"{run.folder}-again"}


def other_tokenizer(tiny: Path, folder: Path) -> Path:
    """The tiny model with two tokens' numbers exchanged."""
    shutil.copytree(tiny / "model", folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = [token for token, number in vocabulary.items() if number in (60, 61)]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content))
    return folder


def test_a_reference_that_does_not_fit(
    config: Config, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llamafactory.model

    def load_model(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(llamafactory.model, "load_model", load_model)
    (tmp_path / "empty").mkdir()
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "manifest.json").write_text('{"status": "running"}')
    for folder, message in (
        ("nowhere", "reference_model_path: no folder nowhere: name a finished run"),
        (tmp_path / "empty", "holds no model"),
        (unfinished, "is not finished"),
    ):
        with pytest.raises(UserError, match=message):
            check(config | proxy(str(folder)) | {"train_step": 2})
    other = other_tokenizer(tiny, tmp_path / "other")
    with pytest.raises(UserError, match=r"has another tokenizer than the run, for example for '"):
        prepare(check(config | proxy(str(other)) | {"train_step": 2}))
    prepare(check(config | proxy(str(tiny / "model")) | {"train_step": 2}))
    with pytest.raises(UserError, match="reference_model_path is missing"):
        check(config | PROXY | {"train_step": 2})


# The job ------------------------------------------------------------------------------------------------

SMALL: Config = {"learning_rate": 5e-3, "train_step": 6}
SAVING: Config = {"save_strategy": "steps", "save_steps": 2}


@pytest.fixture
def job(config: Config, tmp_path: Path) -> Callable[..., Job]:
    def make(folder: str = "job", *, keys: Config | None = None, **block: Any) -> Job:
        whole = config | SAVING | {"train_step": 4, "output_dir": str(tmp_path / folder)} | (keys or {})
        return Job(whole | {"doremi": {"small": SMALL} | block})

    return make


def train_file(file: Path) -> None:
    train(check(yaml.safe_load(file.read_text())))


def test_the_parts_build_on_each_other(job: Callable[..., Job]) -> None:
    one = job()
    one.check()
    trained: list[str] = []

    def noting(file: Path) -> None:
        trained.append(file.stem)
        train_file(file)

    one.run(noting, until="reference")
    assert trained == ["reference"]
    one.run(noting, until="proxy")
    one.run(noting)
    assert trained == ["reference", "proxy", "main"]
    one.run(noting)
    assert trained == ["reference", "proxy", "main"]
    shares = Run(one.folder("reference")).lines("plan_log.jsonl")[-1]["proportions"]
    tokens = json.loads((one.folder("reference") / "manifest.json").read_text())["data"]
    total = sum(data["loss_tokens"] for data in tokens.values())
    assert shares == pytest.approx({name: data["loss_tokens"] / total for name, data in tokens.items()})
    assert len(mixtures(Run(one.folder("proxy")))) == 6
    main = Run(one.folder("main")).lines("plan_log.jsonl")[-1]["proportions"]
    assert list(main.values()) == pytest.approx(learned(one.folder("proxy")), rel=1e-12)
    assert list(main.values()) != pytest.approx([1 / 3] * 3, abs=1e-4)
    written = yaml.safe_load((one.output_dir / "main.yaml").read_text())
    assert written == yaml.safe_load((one.folder("main") / "config.yaml").read_text()) == one.config("main")


def test_rounds_begin_with_what_was_learned_and_end_when_nothing_changes(job: Callable[..., Job]) -> None:
    two = job("two", rounds=2)
    two.run(train_file)
    first, second = learned(two.folder("proxy", 1)), learned(two.folder("proxy", 2))
    given = Run(two.folder("reference", 2)).lines("plan_log.jsonl")[-1]["proportions"]
    assert list(given.values()) == pytest.approx(first, rel=1e-12)
    assert second != pytest.approx(first, abs=1e-6)
    main = Run(two.folder("main")).lines("plan_log.jsonl")[-1]["proportions"]
    assert list(main.values()) == pytest.approx(second, rel=1e-12)
    # With a tolerance that any change is below, the first round is the last.
    done: list[str] = []
    calm = job("calm", rounds=5, tolerance=1.0)
    calm.run(lambda file: (done.append(file.stem), train_file(file))[1])
    assert done == ["reference", "proxy", "main"]


@pytest.mark.parametrize("part", ["reference", "proxy", "main"])
def test_an_interrupted_part_goes_on(job: Callable[..., Job], part: Part) -> None:
    whole = job("whole")
    whole.run(train_file)
    cut = job("cut")

    def killed(file: Path) -> None:
        train_file(file)
        if file.stem == part:
            interrupt(file.with_suffix(""), 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.run(killed)
    again: list[str] = []
    cut.run(lambda file: (again.append(file.stem), train_file(file))[1])
    assert again == ["reference", "proxy", "main"][["reference", "proxy", "main"].index(part) :]
    assert json.loads((cut.folder(part) / "manifest.json").read_text())["resumed"] == 1
    assert learned(cut.folder("proxy")) == learned(whole.folder("proxy"))
    for name in ("reference", "proxy", "main"):
        ours, theirs = (load_file(j.folder(name) / "model.safetensors") for j in (cut, whole))  # type: ignore[arg-type]
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_part_that_was_killed_before_its_first_checkpoint_starts_anew(job: Callable[..., Job]) -> None:
    one = job(keys={"save_strategy": "no"})

    def killed(file: Path) -> None:
        train_file(file)
        interrupt(file.with_suffix(""), 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.run(killed)
    one.check()
    one.run(train_file, until="reference")
    assert json.loads((one.folder("reference") / "manifest.json").read_text())["resumed"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("part", ["reference", "proxy", "main"])
def test_a_killed_job_gives_the_same_numbers(config: Config, tmp_path: Path, part: str) -> None:
    """kill -9 as soon as the part has a checkpoint; the same command again ends as if nothing had been."""
    command = [sys.executable, "-m", "dataflex.cli", "doremi"]
    folders = {}
    for name in ("whole", "cut"):
        folders[name] = tmp_path / name
        whole = config | SAVING | {"train_step": 4, "output_dir": str(folders[name])}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(whole | {"doremi": {"small": SMALL}}))
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    cut = [*command, str(tmp_path / "cut.yaml")]
    below = "main" if part == "main" else f"round1/{part}"
    mark = folders["cut"] / below / "checkpoint-2" / "dataflex" / "complete.json"
    with subprocess.Popen(cut, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not mark.is_file() and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    assert mark.is_file()
    for line in ([*command, str(tmp_path / "whole.yaml")], cut):
        done = subprocess.run(line, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    assert learned(folders["cut"] / "round1/proxy") == learned(folders["whole"] / "round1/proxy")
    ours, theirs = (
        load_file(folder / "main/model.safetensors") for folder in (folders["cut"], folders["whole"])
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_finished_part_of_another_configuration_is_refused(job: Callable[..., Job]) -> None:
    job().run(train_file, until="reference")
    changed = job(reference={"learning_rate": 1e-4})
    with pytest.raises(UserError, match=r"finished with learning_rate 0\.005, not 0\.0001: change it back"):
        changed.run(train_file)


@pytest.mark.parametrize(
    ("keys", "block", "message"),
    [
        ({}, {"smal": {}}, "doremi: unknown key 'smal', did you mean 'small'"),
        ({}, {"rounds": 0}, "rounds: input should be greater than or equal to 1"),
        ({"train_type": "dynamic_mix"}, {}, "train_type is decided by doremi itself: remove it"),
        ({"mixture_sample_rule": "uniform"}, {}, "mixture_sample_rule .* belongs to doremi.reference"),
        ({}, {"proxy": {"update_times": 3}}, "doremi.proxy: update_times is decided"),
        ({}, {"main": {"output_dir": "x"}}, "doremi.main: output_dir"),
        ({}, {"params": {"reference_model_path": "x"}}, "remove reference_model_path"),
        ({}, {"params": {"etta": 2.0}}, "unknown key 'etta', did you mean 'eta'"),
        ({}, {"proxy": {"learning_rte": 1.0}}, "did you mean 'learning_rate'"),
        ({}, {"main": {"dataset": "code,nope"}}, "dataset 'nope' is not in"),
        ({"output_dir": None}, {}, "output_dir is missing"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    job: Callable[..., Job], tmp_path: Path, keys: Config, block: Config, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        job(keys=keys, **block).check()
    assert not (tmp_path / "job").exists()


def test_without_a_block(config: Config) -> None:
    with pytest.raises(UserError, match="doremi is missing"):
        Job(config)


def test_the_command(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = tmp_path / "job.yaml", tmp_path / "job"
    file.write_text(yaml.safe_dump(config | {"train_step": 2, "doremi": {}}))
    arguments = ["doremi", str(file), f"output_dir={folder}", "doremi.small.train_step=3"]
    told = CliRunner().invoke(app, [*arguments, "--until", "target"])
    assert isinstance(told.exception, UserError)
    assert "until: there are reference, proxy, main" in str(told.exception)
    done = CliRunner().invoke(app, [*arguments, "--until", "proxy"])
    assert done.exit_code == 0, done.output
    assert sum(learned(folder / "round1/proxy")) == pytest.approx(1)
    assert json.loads((folder / "round1/proxy/manifest.json").read_text())["total_steps"] == 3
    assert not (folder / "main").exists()
    monkeypatch.setenv("NNODES", "2")
    several = CliRunner().invoke(app, arguments)
    assert "on one node" in str(several.exception)
