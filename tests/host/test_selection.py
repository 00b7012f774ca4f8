"""Selection by gradients in real runs: scores as by hand, nothing left behind, checkpoints, subtasks, faults."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataflex.engine.trainer import DynamicTrainer
from dataflex.errors import UserError
from dataflex.signals.rollouts import sample_rollouts

from .conftest import SELECTION, Run
from .cutting import cut_after


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | SELECTION | {"component_name": "less"}


def scores(run: Run, step: int = 3) -> np.ndarray:
    return np.load(run.folder / "selections" / f"step-{step:06d}.scores.npy")


@pytest.mark.parametrize(
    "keys", [{}, {"disable_gradient_checkpointing": True}], ids=["checkpointed", "plain"]
)
def test_a_selection_by_gradients_leaves_training_bitwise_as_it_was(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    """Random rows with LESS measured beside them, against random rows alone; dropout is on."""
    from dataflex.selectors.less import LessSelector
    from dataflex.selectors.random import RandomSelector

    plain = run(component_name="random", **keys)
    monkeypatch.setattr(
        LessSelector,
        "pick",
        lambda self, scores, context, n: RandomSelector().select(context, n),
    )
    watched = run(**keys)
    assert [line.get("sha256") for line in watched.lines("plan_log.jsonl")] == [
        line.get("sha256") for line in plain.lines("plan_log.jsonl")
    ]
    assert watched.losses == plain.losses
    assert all(torch.equal(watched.weights[name], weight) for name, weight in plain.weights.items())


def test_gradient_checkpointing_and_batch_size_do_not_change_the_scores(run: Callable[..., Run]) -> None:
    first = scores(run(lora_dropout=0.0))
    for keys in (
        {"disable_gradient_checkpointing": True},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
    ):
        assert scores(run(lora_dropout=0.0, **keys)) == pytest.approx(first, rel=1e-4, abs=1e-6)


def test_a_subtask_column_is_read_from_the_file(run: Callable[..., Run]) -> None:
    by_subtask = run(component_params={"validation_subtask": "subject"})
    assert (scores(by_subtask) >= scores(run()) - 1e-6).all()
    assert by_subtask.lines("plan_log.jsonl")[0]["validation_rows"] == 10


def test_full_training_and_the_projected_back_end(run: Callable[..., Run]) -> None:
    """At 4096 dimensions cosines are off by about 1/64."""
    keys = {"finetuning_type": "full", "train_step": 5}
    exact = scores(run(**keys))
    params = {"backend": "projected", "proj_dim": 4096, "keep_gradients": True}
    projected = run(component_params=params, **keys)
    error = scores(projected) - exact
    assert 0 < np.sqrt((error**2).mean()) < 1.5 / 64
    assert np.abs(error).max() < 5 / 64
    from dataflex.signals.store import describe

    about = describe(projected.folder / "gradients" / "step-000003")
    assert about["projection"]["dimension"] == 4096
    assert about["rows"] == len(exact)


def test_scores_over_checkpoints_are_weighted_by_learning_rate(run: Callable[..., Run]) -> None:
    """Two checkpoints of a warm-up run: the sum of each one's scores, weighted; the run goes on as it was."""
    warm = run(
        train_type="dynamic_mix", component_name="static", max_steps=4, save_strategy="steps", save_steps=2
    )
    folders = [str(warm.folder / f"checkpoint-{step}") for step in (2, 4)]
    keys = {"warmup_step": 0, "update_step": 4, "update_times": 1}
    each = [run(component_params={"checkpoints": [folder]}, **keys) for folder in folders]
    both = run(component_params={"checkpoints": folders}, **keys)
    rates = np.array(list(both.lines("plan_log.jsonl")[0]["checkpoints"].values()))
    expected = (rates[:, None] * np.stack([scores(one, 0) for one in each])).sum(0) / rates.sum()
    assert rates[0] > rates[1] > 0
    assert scores(both, 0) == pytest.approx(expected, rel=1e-5)
    assert not np.allclose(scores(each[0], 0), scores(each[1], 0), rtol=1e-3)


def test_scores_at_a_checkpoint_are_those_of_the_run_that_saved_it(run: Callable[..., Run]) -> None:
    saved = run(save_strategy="steps", save_steps=3, warmup_step=3, update_times=1)
    again = run(
        component_params={"checkpoints": [str(saved.folder / "checkpoint-3")]}, warmup_step=0, update_times=1
    )
    assert scores(again, 0) == pytest.approx(scores(saved, 3), rel=1e-5)


def size(prompt: str, reference: str, text: str) -> float:
    """A reward that even a model without training gets, different for most answers."""
    return 1.0 + len(text)


def test_how_many_answers_are_sampled_side_by_side_changes_none(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is no part of what a run is: a resumed one may have another number."""
    sizes: list[int] = []

    def sample(*given: Any) -> Any:
        sizes.append(given[5])
        return sample_rollouts(*given)

    monkeypatch.setattr("dataflex.engine.measuring.sample_rollouts", sample)
    params = {"reward": f"{__name__}:size", "mc_samples": 3, "max_new_tokens": 4}
    keys = {"component_name": "nice", "save_strategy": "steps", "save_steps": 4}
    whole = run(component_params=params, **keys)
    default = sizes[0]
    assert sizes == [default] * 2
    assert default % 4 == 0
    fewer = run(component_params=params | {"sampling_tokens": 70}, **keys)
    assert sizes[2:] == [70] * 2
    assert fewer.lines("plan_log.jsonl") == whole.lines("plan_log.jsonl")
    assert fewer.losses == whole.losses
    resumed = run(
        component_params=params | {"sampling_tokens": 50}, **keys | {"output_dir": str(cut_after(whole, 4))}
    )
    assert sizes[4:] == [50]
    assert resumed.losses == whole.losses


def test_answers_end_where_the_template_the_tokenizer_or_the_model_ends_them(
    run: Callable[..., Run], config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base model whose template, as llama3, puts another end in place of the only one that it knows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(config["model_name_or_path"])
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(config["model_name_or_path"])
    model.generation_config.eos_token_id = [7, 9]
    model.save_pretrained(tmp_path / "base")
    ends: list[list[int]] = []

    def sample(*given: Any) -> Any:
        ends.append(given[7])
        return sample_rollouts(*given)

    monkeypatch.setattr("dataflex.engine.measuring.sample_rollouts", sample)
    params = {"reward": f"{__name__}:size", "mc_samples": 2, "max_new_tokens": 4}
    done = run(component_name="nice", component_params=params, model_name_or_path=str(tmp_path / "base"))
    of_template, own = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert ends == [[of_template, own, 7, 9]] * 2
    assert 0 <= done.lines("plan_log.jsonl")[0]["answers_cut"] <= 1


FAULTS = Path("unset")


def choosing(context: Any, n: int) -> np.ndarray:
    """Fails as long as a file is there, as a reward server that is down would."""
    if FAULTS.exists():
        raise UserError("the reward server does not answer: start it")
    return context.rng("test").permutation(context.facts.total_rows)[:n]


def test_a_decision_that_fails_in_mid_run_loses_nothing(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FAULTS", tmp_path / "down")
    keys = {
        "component_name": "custom",
        "component_params": {"path": f"{__name__}:choosing"},
        "update_times": 3,
    }
    whole = run(**keys)
    FAULTS.touch()
    folder = str(tmp_path / "hit")
    with pytest.raises(UserError, match="start it; the run is saved at step 3 and goes on from there"):
        run(output_dir=folder, **keys)
    FAULTS.unlink()
    resumed = run(output_dir=folder, **keys)
    assert resumed.losses == whole.losses
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in whole.weights.items())
    assert resumed.lines("plan_log.jsonl") == whole.lines("plan_log.jsonl")


@pytest.mark.parametrize("keys", [{"save_strategy": "steps", "save_steps": 3}, {"save_only_model": True}])
def test_what_is_saved_when_a_decision_fails_is_whole(
    run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: dict[str, Any],
) -> None:
    """A checkpoint of the step that is there is not written again: a kill meanwhile would spoil it unseen."""
    monkeypatch.setattr(sys.modules[__name__], "FAULTS", tmp_path / "down")
    saved: list[int] = []
    save = DynamicTrainer._save_checkpoint

    def noting(self: Any, model: Any, trial: Any) -> None:
        saved.append(self.state.global_step)
        save(self, model, trial)

    monkeypatch.setattr(DynamicTrainer, "_save_checkpoint", noting)
    FAULTS.touch()
    keys = keys | {"component_name": "custom", "component_params": {"path": f"{__name__}:choosing"}}
    with pytest.raises(UserError, match="the run is saved at step 3 and goes on from there"):
        run(output_dir=str(tmp_path / "hit"), **keys)
    assert saved == [3]
    assert (tmp_path / "hit" / "checkpoint-3" / "optimizer.pt").is_file()
    FAULTS.unlink()
    run(output_dir=str(tmp_path / "hit"), **keys)


def test_a_later_decision_that_fails_undoes_the_earlier_one_of_its_step(
    run: Callable[..., Run], config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are selected, then the mixture fails: the resumed run decides both once, as one that never failed."""
    from dataflex.mixers.random import RandomMixer

    down, update = tmp_path / "down", RandomMixer.update

    def failing(self: Any, context: Any) -> Any:
        if down.exists():
            raise UserError("no mixture today")
        return update(self, context)

    monkeypatch.setattr(RandomMixer, "update", failing)
    schedule = {"warmup_step": 3, "update_step": 2, "update_times": 2}
    select = {"kind": "select", "component_name": "cluster_less", "component_params": {"cluster_size": 8}}
    keys: dict[str, Any] = {
        "dataset": "sft,sft_long",
        "decisions": [select | schedule, {"kind": "mix", "component_name": "random"} | schedule],
    }
    for key in ("train_type", "component_name", *schedule):
        del config[key]
    whole, folder = run(**keys), str(tmp_path / "hit")
    down.touch()
    with pytest.raises(UserError, match="no mixture today; the run is saved at step 3"):
        run(output_dir=folder, **keys)
    assert [line["decision"] for line in Run(Path(folder)).lines("plan_log.jsonl")] == ["mix"]
    down.unlink()
    resumed = run(output_dir=folder, **keys)
    assert resumed.lines("plan_log.jsonl") == whole.lines("plan_log.jsonl")
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in whole.weights.items())


@pytest.mark.slow
def test_ranks_measure_the_same_scores(run: Callable[..., Run], torchrun: Callable[..., Run]) -> None:
    one = run(lora_dropout=0.0)
    two = torchrun(lora_dropout=0.0, gradient_accumulation_steps=1)
    for step in (3, 5):
        assert scores(two, step) == pytest.approx(scores(one, step), rel=1e-3, abs=1e-5)


def test_an_optimizer_without_moments_is_named(run: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="'less' needs Adam's moments, which optim: sgd as configured"):
        run(optim="sgd")
    assert np.isfinite(scores(run(optim="sgd", component_params={"gradient_type": "sgd"}))).all()
