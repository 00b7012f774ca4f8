"""Passes of each kind of decision, in multiples of plain ones; memory and disk in bytes a parameter."""

from typing import Any

import pytest

from dataflex.planning.architecture import Architecture
from dataflex.planning.corpora import Corpus
from dataflex.planning.disk import checkpoint_bytes, checkpoints, model_bytes, run_bytes, token_bytes
from dataflex.planning.flops import Trained, forward, training
from dataflex.planning.memory import memory_of, zero_stage
from dataflex.planning.work import Work, work_of

MODEL = Architecture(64, 128, 2, 4, 2, 500)
OTHER = Architecture(32, 64, 1, 2, 2, 500)
POOL = Corpus(says="", rows=1000, row_tokens=50, validation_rows=20, validation_row_tokens=30)
FULL = Trained(None, True)
BASE = {
    "stage": "sft",
    "finetuning_type": "full",
    "cutoff_len": 100,
    "per_device_train_batch_size": 4,
    "max_steps": 110,
}
SELECT = {"train_type": "dynamic_select", "warmup_step": 10, "update_step": 50, "update_times": 2}
WEIGH = {"train_type": "dynamic_weight"}


def work(config: dict[str, Any], corpus: Corpus = POOL, ranks: int = 1) -> Work:
    found = work_of(BASE | config, MODEL, corpus, ranks, lambda name: OTHER if name == "other" else None)
    assert found.passes[0].what == "training"
    return found


def beside(config: dict[str, Any]) -> float:
    """Operations beside those of the training."""
    return sum(one.flops for one in work(config).passes[1:])


POOL_TOKENS, VALIDATION_TOKENS = 1000 * 50, 20 * 30


def test_training_alone() -> None:
    found = work({"train_type": "static"}, ranks=3)
    assert (found.steps, found.batch_rows, found.tokens) == (110, 12, 110 * 12 * 50)
    assert found.flops == training(MODEL, found.tokens, 50, FULL)


@pytest.mark.parametrize("method", ["random", "loss", "delta_loss", "less", "near", "cluster_less", "nice"])
def test_selections(method: str) -> None:
    params = {"embedding_model": "other"} if method in ("near", "cluster_less") else {}
    params |= {"cluster_size": 8, "samples_per_cluster": 2} if method == "cluster_less" else {}
    params |= {"mc_samples": 3, "max_new_tokens": 7} if method == "nice" else {}
    once = forward(OTHER, POOL_TOKENS + VALIDATION_TOKENS, 50, logits=False)
    answers = 20 * 3 * 7
    gradients = {
        "less": POOL_TOKENS + VALIDATION_TOKENS,
        "cluster_less": POOL_TOKENS / 4 + VALIDATION_TOKENS,
        "nice": POOL_TOKENS + answers + 3 * VALIDATION_TOKENS,
    }
    expected = {
        "random": 0.0,
        "loss": 2 * forward(MODEL, POOL_TOKENS, 50),
        "delta_loss": 2 * forward(MODEL, POOL_TOKENS, 50),
        "near": once,
    } | {name: 2 * training(MODEL, tokens, 50, FULL) for name, tokens in gradients.items()}
    expected["cluster_less"] += once
    expected["nice"] += 2 * forward(MODEL, answers + VALIDATION_TOKENS, 30)
    found = beside(SELECT | {"component_name": method, "component_params": params})
    assert found == pytest.approx(expected[method])


@pytest.mark.parametrize(
    ("keys", "times"),
    [
        ({"eval_strategy": "steps", "eval_steps": 50}, 4),  # steps 50, 100, 110 and when all is done
        ({"eval_strategy": "steps", "eval_steps": 55}, 3),
        ({"eval_strategy": "steps", "eval_steps": 0.25}, 5),  # every 28 steps
        ({"eval_strategy": "steps", "logging_steps": 100}, 3),
        ({"eval_strategy": "epoch", "num_train_epochs": 1.5}, 3),
        ({"eval_strategy": "no", "eval_steps": 50}, 0),
        ({}, 0),
    ],
)
def test_evaluations_in_the_run(keys: dict[str, Any], times: int) -> None:
    asked = {"train_type": "static", "eval_dataset": "questions"} | keys
    assert beside(asked) == pytest.approx(times * forward(MODEL, VALIDATION_TOKENS, 30))


def test_held_out_text_that_is_evaluated_in_the_run() -> None:
    config = {"train_type": "dynamic_mix", "component_name": "static", "static_mix": True}
    config |= {"packed_corpus": "corpus", "eval_dataset": "held_out"}
    config |= {"eval_strategy": "steps", "eval_steps": 200}
    found = work(config, Corpus(says="", tokens=10**6, weights={"a": 1.0}, held_out_tokens=5000))
    assert found.passes[1].flops == pytest.approx(2 * forward(MODEL, 5000, 100))
    assert found.passes[1].times == 2
    assert work(config, Corpus(says="", tokens=10**6, weights={"a": 1.0})).unknown


def test_a_model_that_is_trained_embeds_anew_at_every_update() -> None:
    own = forward(MODEL, POOL_TOKENS + VALIDATION_TOKENS, 50, logits=False)
    assert beside(SELECT | {"component_name": "tsds"}) == pytest.approx(2 * own)


def test_a_method_of_ones_own_costs_what_it_stands_for() -> None:
    path = {"component_params": {"path": "dataflex.selectors.loss:LossSelector"}}
    assert beside(SELECT | {"component_name": "custom"} | path) == beside(SELECT | {"component_name": "loss"})


def test_weights_cost_nothing_but_the_states_that_they_compare_with() -> None:
    assert beside(WEIGH | {"component_name": "loss"}) == 0
    adapt = WEIGH | {"component_name": "adapt", "warmup_step": 10}
    params = {"refresh_interval": 30, "anchors": 5}
    expected = forward(MODEL, 4 * 5 * 30, 30, logits=False)
    assert beside(adapt | {"component_params": params}) == pytest.approx(expected)


def test_a_reference_model_goes_forward_with_every_token_or_once_over_all() -> None:
    corpus = Corpus(says="", tokens=9_000, weights={"a": 2, "b": 1})
    mix = {
        "stage": "pt",
        "train_type": "dynamic_mix",
        "component_name": "doremi",
        "update_step": 5,
        "update_times": 0,
    }

    def reference(losses: str) -> float:
        params = {"reference_losses": losses} | (
            {"reference_model_path": "other"} if losses != "zero" else {}
        )
        return sum(one.flops for one in work(mix | {"component_params": params}, corpus).passes[1:])

    assert reference("live") == forward(OTHER, 110 * 4 * 100, 100)
    assert reference("cached") == forward(OTHER, 9_000, 100)
    assert reference("zero") == 0


def test_what_nobody_knows_is_said() -> None:
    nothing = Corpus(says="")
    unknown = work(SELECT | {"component_name": "less"}, nothing).unknown
    assert set(unknown) == {"rows of the validation set", "rows of the pool"}
    missing = {"component_name": "near", "component_params": {"embedding_model": "hub/model"}}
    assert work(SELECT | missing).unknown == ("the size of the embedding model hub/model",)
    assert work(SELECT | {"component_name": "random"}, nothing).unknown == ()


def state(config: dict[str, Any], ranks: int) -> tuple[int, int, int]:
    found = memory_of(BASE | {"train_type": "static"} | config, MODEL, POOL, ranks, lambda _: None)
    return found.weights, found.gradients, found.optimizer


def test_bytes_a_parameter() -> None:
    count = MODEL.parameters
    assert state({}, 1) == (4 * count, 4 * count, 8 * count)
    assert state({}, 2) == (4 * count, 8 * count, 8 * count)
    stages = {n: {"deepspeed": {"zero_optimization": {"stage": n}}, "bf16": True} for n in (1, 2, 3)}
    assert state(stages[1], 4) == (2 * count, 2 * count, 12 * count // 4)
    assert state(stages[2], 4) == (2 * count, 2 * count // 4, 12 * count // 4)
    gathered = 2 * max(MODEL.layer_parameters, MODEL.head_weights)
    assert state(stages[3], 4) == (2 * count // 4 + gathered, 2 * count // 4, 12 * count // 4)
    small = MODEL.lora_parameters(8)
    assert state({"finetuning_type": "lora", "bf16": True}, 1) == (
        2 * count + 4 * small,
        4 * small,
        8 * small,
    )
    assert zero_stage({"deepspeed": "reproductions/deepspeed/zero3.json"}) == 3
    assert zero_stage({}) is None


def test_activations_and_logits_grow_with_what_is_in_a_batch() -> None:
    plain = memory_of(BASE, MODEL, POOL, 1, lambda _: None)
    assert plain.logits == 2 * 4 * (4 * 100) * 500
    kept = memory_of(BASE | {"disable_gradient_checkpointing": True}, MODEL, POOL, 1, lambda _: None)
    assert kept.activations > plain.activations
    double = memory_of(BASE | {"per_device_train_batch_size": 8}, MODEL, POOL, 1, lambda _: None)
    assert (double.activations, double.logits) == (2 * plain.activations, 2 * plain.logits)
    # A direction, gradients of as many validation rows as there are, and of as many pool rows as fit.
    less = memory_of(BASE | SELECT | {"component_name": "less"}, MODEL, POOL, 1, lambda _: None)
    row = 4 * MODEL.parameters
    assert less.others == row + 20 * row + min(2**28, 1000 * row)
    assert less.peak == plain.peak + less.others


def test_answers_lie_in_an_attention_cache() -> None:
    """65,536 tokens of Mistral-7B, as the paper's grid samples: 32 layers x 8 heads x 128 x 2 x 2 bytes each."""
    mistral = Architecture(4096, 14336, 32, 32, 8, 32768)
    lora = SELECT | {"finetuning_type": "lora", "bf16": True, "cutoff_len": 1024}

    def others(method: str, **params: Any) -> int:
        config = BASE | lora | {"component_name": method, "component_params": params}
        return memory_of(config, mistral, POOL, 1, lambda _: None).others

    assert others("nice", sampling_tokens=65536) == 65536 * 32 * 8 * 128 * 2 * 2 == 8_589_934_592
    # Four batches' tokens unless told.
    assert others("nice") == 4 * (4 * 1024) * 128 * 1024
    # Not at once with the gradients, which are larger than a small cache.
    assert others("nice", sampling_tokens=1000) == others("less") > 1000 * 128 * 1024


def test_what_a_run_leaves_on_disk() -> None:
    count, config = MODEL.parameters, {"finetuning_type": "full", "save_steps": 100}
    assert [checkpoints(config, steps) for steps in (99, 100, 101, 1000)] == [1, 1, 2, 10]
    assert checkpoints(config | {"save_total_limit": 2}, 1000) == 2
    assert checkpoints(config | {"save_strategy": "no"}, 1000) == 0
    assert checkpoint_bytes(config, MODEL) == 12 * count
    sharded = config | {"deepspeed": "zero3.json", "bf16": True}
    assert (model_bytes(sharded, MODEL), checkpoint_bytes(sharded, MODEL)) == (2 * count, 14 * count)
    assert run_bytes(sharded, MODEL, 250) == 2 * count + 3 * 14 * count
    small = MODEL.lora_parameters(8)
    assert checkpoint_bytes({"finetuning_type": "lora", "lora_rank": 8}, MODEL) == 12 * small
    assert [token_bytes(10, vocabulary) for vocabulary in (2**16, 2**16 + 1)] == [20, 40]
