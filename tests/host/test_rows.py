"""The right rows at the right step, whoever fetches them and however they are split."""

import functools
import gc
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataflex.engine.conductor import Conductor
from dataflex.engine.feed import ROW_IDS
from dataflex.engine.trainer import DynamicTrainer
from dataflex.selectors.random import RandomSelector

from .conftest import Run

SELECT = {
    "train_type": "dynamic_select",
    "component_name": "random",
    "warmup_step": 3,
    "update_step": 2,
    "update_times": 3,
    "num_train_epochs": 1,
}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[int, list[int]]], dict[int, np.ndarray]]:
    """Note the rows that reach the loss at each step, and what the selector chose."""
    trained: list[tuple[int, list[int]]] = []
    chosen: dict[int, np.ndarray] = {}
    compute_loss, select = DynamicTrainer.compute_loss, RandomSelector.select

    def noting(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if ROW_IDS in inputs:
            trained.append((self.state.global_step, inputs[ROW_IDS].tolist()))
        return compute_loss(self, model, inputs, *args, **kwargs)

    def choosing(self: Any, context: Any, n: int) -> Any:
        chosen[context.step] = select(self, context, n)
        return chosen[context.step]

    monkeypatch.setattr(DynamicTrainer, "compute_loss", noting)
    monkeypatch.setattr(RandomSelector, "select", choosing)
    return trained, chosen


@pytest.mark.parametrize("workers", [0, 2])
def test_selected_rows_are_trained_in_their_phase_and_nowhere_else(
    run: Callable[..., Run], watched: Any, workers: int
) -> None:
    trained, chosen = watched
    run(**SELECT, dataloader_num_workers=workers)
    assert sorted(chosen) == [3, 5, 7]
    assert len(trained) == 9 * 2
    for start, ids in chosen.items():
        phase = [row for step, rows in trained for row in rows if start <= step < start + 2]
        assert sorted(phase) == sorted(ids.tolist())
    warmup = [row for step, rows in trained for row in rows if step < 3]
    assert len(set(warmup)) == len(warmup) == 12


def test_a_new_cycle_begins_with_a_new_warmup(run: Callable[..., Run], watched: Any) -> None:
    trained, chosen = watched
    result = run(**SELECT | {"num_train_epochs": 2})
    assert sorted(chosen) == [3, 5, 7, 12, 14, 16]
    first, second = ([r for s, rows in trained for r in rows if a <= s < a + 3] for a in (0, 9))
    assert first != second
    assert [line["component"] for line in result.lines("plan_log.jsonl") if line["step"] == 9] == ["warmup"]


def test_mixture_realises_its_proportions_over_tokens(run: Callable[..., Run]) -> None:
    """Domains of unequal row lengths: shares of loss tokens, not of rows, are the asked ones."""
    shares = {"sft": 0.3, "sft_long": 0.7}
    result = run(
        stage="sft",
        dataset="sft,sft_long",
        cutoff_len=128,
        train_type="dynamic_mix",
        static_mix=True,
        init_mixture_proportions=shares,
        train_step=60,
        logging_steps=60,
    )
    ledger = {line["domain"]: line for line in result.lines("ledger.jsonl")}
    # Rows of the second domain are about three times as long: rows drawn by these shares would give it 88 %.
    assert ledger["sft_long"]["samples"] / 240 < 0.55
    for name, share in shares.items():
        assert ledger[name]["share_asked"] == pytest.approx(share)
        # 240 rows: a domain's realised tokens vary with the rows that its present epoch has reached.
        assert ledger[name]["share_realised"] == pytest.approx(share, abs=0.03)


def test_mixture_changes_without_losing_rows(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []
    original = Conductor.rows_of_step

    def noting(self: Conductor, step: int) -> Any:
        drawn.append(original(self, step))
        return drawn[-1]

    monkeypatch.setattr(Conductor, "rows_of_step", noting)
    result = run(
        train_type="dynamic_mix", component_name="random", warmup_step=4, update_step=3, update_times=4
    )
    mixtures = [line["proportions"] for line in result.lines("plan_log.jsonl")]
    assert len(mixtures) == 5
    assert len({tuple(mixture.values()) for mixture in mixtures}) == 5
    rows = np.concatenate(drawn)
    assert len(rows) == 16 * 4
    assert len(set(rows.tolist())) == len(rows)


def test_row_ids_never_reach_the_model(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Qwen2ForCausalLM

    forward, seen = Qwen2ForCausalLM.forward, set()

    @functools.wraps(forward)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.update(kwargs)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Qwen2ForCausalLM, "forward", noting)
    run(**SELECT)
    assert "input_ids" in seen
    assert not seen & {ROW_IDS, "domain_id", "labels"}


def test_segments_leave_no_loader_and_no_worker_behind(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    close = DynamicTrainer.close_feed

    def noting(self: Any) -> None:
        held.append(len(self.accelerator._dataloaders))
        close(self)

    monkeypatch.setattr(DynamicTrainer, "close_feed", noting)
    run(**SELECT, dataloader_num_workers=1)
    assert held == [0]
    gc.collect()
    assert multiprocessing.active_children() == []


def test_selection_and_mixture_and_weights_in_one_run(run: Callable[..., Run]) -> None:
    schedule = {"warmup_step": 2, "update_step": 2, "update_times": 2}
    result = run(
        num_train_epochs=1,
        decisions=[
            {"kind": "select", "component_name": "loss"} | schedule,
            {"kind": "mix", "component_name": "random"} | schedule,
            {"kind": "weight", "component_name": "loss", "warmup_step": 3},
        ],
    )
    kinds = [(line["step"], line["decision"]) for line in result.lines("plan_log.jsonl")]
    assert kinds == [
        (0, "mix"),
        (2, "select"),
        (2, "mix"),
        (3, "weight"),
        (4, "select"),
        (4, "mix"),
        (4, "weight"),
        (5, "weight"),
    ]
