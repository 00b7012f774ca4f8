"""Scores by gradients against cosines of autograd's gradients; Adam's step; projections; the store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dataflex.errors import UserError
from dataflex.signals import targets
from dataflex.signals.adam import Moments, adam_step, read_moments
from dataflex.signals.alignment import alignment, group_alignment
from dataflex.signals.features import GradientFeatures
from dataflex.signals.gradients import trainable
from dataflex.signals.passes import Rows
from dataflex.signals.projection import Projection
from dataflex.signals.store import GradientStore, describe, query
from dataflex.signals.targets import policy_targets, validation_targets

from .conftest import LENGTHS, VOCABULARY, make_rows, tiny_model

Alone = Callable[[nn.Module, Rows, int], torch.Tensor]
SGD = GradientFeatures("sgd")
ADAM = GradientFeatures("adam")
GROUPS = np.array([0, 1, 0, 1, 1])


@pytest.fixture
def model() -> nn.Module:
    return tiny_model().eval()


@pytest.fixture
def validation() -> list[list[int]]:
    generator = np.random.default_rng(1)
    return [generator.integers(1, VOCABULARY, size=length).tolist() for length in (6, 9, 14, 4, 7)]


def unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm().clamp(min=1e-12)


def trained(model: nn.Module, rows: Rows, steps: int = 3) -> torch.optim.Optimizer:
    """An optimizer that has taken a few steps, with moments that are far from zero."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.8, 0.95), eps=1e-6)
    for step in range(steps):
        targets.sum_of_mean_losses(model, rows.batch([1 + step, 4])).backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def test_scores_are_mean_cosines_by_subtask(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]], gradient_alone: Alone
) -> None:
    pool, held_out = make_rows(tokens), make_rows(validation)
    target = validation_targets(model, held_out, GROUPS, SGD, batch_tokens=20)
    found = alignment(model, pool, np.arange(len(tokens)), target, SGD, None, batch_tokens=30)
    theirs = torch.stack([unit(gradient_alone(model, held_out, row)) for row in range(5)])
    means = torch.stack([theirs[group == GROUPS].mean(0) for group in (0, 1)])
    for row in range(len(tokens)):
        if pool.supervised[row] == 0:
            assert np.isnan(found[row]).all()
        else:
            cosines = unit(gradient_alone(model, pool, row)) @ means.T
            assert found[row] == pytest.approx(cosines.numpy(), rel=1e-5, abs=1e-7)
    assert target.counts == [2, 3]


@pytest.mark.parametrize("mode", ["outside", "inside"])
def test_adam_features_use_the_moments_of_the_optimizer(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]], gradient_alone: Alone, mode: Any
) -> None:
    """By hand, in float64, from the optimizer's state; the pool's rows only."""
    pool, held_out = make_rows(tokens), make_rows(validation)
    optimizer = trained(model, pool)
    features = GradientFeatures("adam", mode)
    target = validation_targets(model, held_out, GROUPS * 0, features, batch_tokens=50)
    moments = read_moments(optimizer, trainable(model))
    found = alignment(model, pool, np.array([5, 1, 2]), target, features, moments, batch_tokens=30)
    mean = torch.stack([unit(gradient_alone(model, held_out, row)) for row in range(5)]).mean(0).double()
    state = [optimizer.state[p] for p in model.parameters()]
    first, second = (
        torch.cat([s[key].flatten() for s in state]).double() for key in ("exp_avg", "exp_avg_sq")
    )
    for place, row in enumerate((5, 1, 2)):
        gradient = gradient_alone(model, pool, row).double()
        m, v = 0.8 * first + 0.2 * gradient, 0.95 * second + 0.05 * gradient**2
        if mode == "outside":
            step = m / (1 - 0.8**4) / ((v / (1 - 0.95**4)).sqrt() + 1e-6)
        else:
            step = m / (v + 1e-6).sqrt()
        assert found[place, 0] == pytest.approx((unit(step) @ mean).item(), rel=1e-4, abs=1e-6)


def test_the_adam_step_is_the_optimizers_own() -> None:
    """AdamW without weight decay moves a parameter by the learning rate times this step."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(7))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.0)
    for _ in range(3):
        before = parameter.detach().clone()
        gradient = torch.randn(7)
        moments = read_moments(optimizer, [("p", parameter)])(0)
        step = adam_step(gradient.clone().unsqueeze(0), moments, "outside")[0]
        parameter.grad = gradient
        optimizer.step()
        torch.testing.assert_close(before - parameter.detach(), 0.1 * step, rtol=1e-5, atol=1e-7)


class _Counted(float):
    """A number of steps that a GPU would be waited for."""

    looks = 0

    def __int__(self) -> int:
        type(self).looks += 1
        return super().__int__()


def test_steps_are_looked_at_once_a_decision_and_not_once_a_batch(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]]
) -> None:
    pool, parameters = make_rows(tokens), trainable(model)
    optimizer = trained(model, pool)
    target = validation_targets(model, make_rows(validation), GROUPS, ADAM, batch_tokens=50)

    def measured() -> np.ndarray:
        moments = read_moments(optimizer, parameters)
        return alignment(model, pool, np.arange(len(tokens)), target, ADAM, moments, batch_tokens=1)

    plain = measured()
    for steps, looks in ((3, 1), (1000, 2)):
        for _, parameter in parameters:
            optimizer.state[parameter]["step"] = _Counted(steps)
        found = measured()
        assert _Counted.looks == looks * len(parameters)
        # The bias correction tells that a later decision sees the later number.
        assert np.array_equal(found, plain, equal_nan=True) == (steps == 3)


def test_the_first_adam_step_is_the_sign() -> None:
    step = adam_step(torch.tensor([[3.0, -0.2, 0.0]]), Moments(None, None, 0, (0.9, 0.999), 1e-8), "outside")
    torch.testing.assert_close(step, torch.tensor([[1.0, -1.0, 0.0]]))


def test_an_optimizer_without_moments_is_refused(model: nn.Module) -> None:
    with pytest.raises(UserError, match="SGD does not keep: set optim: adamw_torch, or gradient_type: sgd"):
        read_moments(torch.optim.SGD(model.parameters(), lr=0.1), trainable(model))


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("batch_tokens", [1, 25, 1000])
def test_batches_order_and_padding_do_not_matter(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]], batch_tokens: int, left: bool
) -> None:
    optimizer = trained(model, make_rows(tokens))
    moments = read_moments(optimizer, trainable(model))

    def measure(order: np.ndarray, tokens_a_batch: int, **padding: Any) -> np.ndarray:
        target = validation_targets(model, make_rows(validation, **padding), GROUPS, ADAM, tokens_a_batch)
        rows = make_rows([tokens[i] for i in order], **padding)
        return alignment(model, rows, np.arange(len(order)), target, ADAM, moments, tokens_a_batch)

    plain = measure(np.arange(len(tokens)), 40)
    order = np.array([7, 3, 0, 6, 1, 5, 2, 4])
    again = measure(order, batch_tokens, left=left, pad_to=8)
    assert again == pytest.approx(plain[order], rel=1e-4, abs=1e-6, nan_ok=True)


def test_groups_of_one_are_rows_and_a_group_has_its_mean_features_direction(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]], gradient_alone: Alone
) -> None:
    pool, held_out = make_rows(tokens), make_rows(validation)
    target = validation_targets(model, held_out, GROUPS, SGD, batch_tokens=50)
    alone = alignment(model, pool, np.arange(8), target, SGD, None, batch_tokens=30)
    groups = [np.array([row]) for row in range(8)] + [np.array([1, 4, 3]), np.array([3, 3])]
    found = group_alignment(model, pool, groups, target, SGD, None, batch_tokens=20)
    assert found[:8] == pytest.approx(alone, rel=1e-4, abs=1e-6, nan_ok=True)
    mean = unit(unit(gradient_alone(model, pool, 1)) + unit(gradient_alone(model, pool, 4)))
    means = torch.cat(target.directions, 1)
    assert found[8] == pytest.approx((mean @ means.T).numpy(), rel=1e-4)
    assert np.isnan(found[9]).all()


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_projected_scores_are_near_the_exact_ones(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]], kind: Any, tmp_path: Path
) -> None:
    """Within 4 / sqrt(k), and unbiased over seeds; what is stored gives the same scores again."""
    pool, held_out = make_rows(tokens), make_rows(validation)
    chosen = np.array([0, 1, 2, 4, 5])
    exact = alignment(
        model, pool, chosen, validation_targets(model, held_out, GROUPS, SGD, 50), SGD, None, batch_tokens=30
    )
    errors = []
    for seed in range(12):
        features = replace(SGD, projection=Projection(kind, 512, seed))
        target = validation_targets(model, held_out, GROUPS, features, 50)
        store = GradientStore(tmp_path / "store", len(tokens), 512, {"seed": seed})
        found = alignment(model, pool, chosen, target, features, None, 30, store)
        store.close()
        errors.append(found - exact)
        again = query(tmp_path / "store", target.directions[0].numpy())[chosen]
        assert again == pytest.approx(found, abs=2e-3)
    assert np.abs(errors).max() < 4 / np.sqrt(512)
    assert np.abs(np.mean(errors, 0)).max() < 3 / np.sqrt(512 * 12)
    assert describe(tmp_path / "store")["seed"] == 11


def test_projections_depend_on_seed_and_parameter_only() -> None:
    part = torch.eye(6)
    for kind in ("sparse", "dense"):
        projection = Projection(kind, 16, 3)  # type: ignore[arg-type]
        assert torch.equal(projection.apply(2, part), Projection(kind, 16, 3).apply(2, part))  # type: ignore[arg-type]
        assert not torch.equal(projection.apply(2, part), projection.apply(1, part))
        assert not torch.equal(projection.apply(2, part), Projection(kind, 16, 4).apply(2, part))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_tokens", [1, 16, 40, 1000])
def test_policy_targets_are_gradients_of_weighted_log_likelihoods(
    model: nn.Module, batch_tokens: int
) -> None:
    """Two prompts with three continuations each, against autograd; a prompt without any reward does not count."""
    generator = np.random.default_rng(2)
    sequences = [generator.integers(1, VOCABULARY, size=size).tolist() for size in (5, 7, 6, 9, 8, 10)]
    rows = make_rows(sequences)
    advantages = np.array([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0]])
    target = policy_targets(model, rows, advantages, np.array([0, 0]), SGD, batch_tokens)
    loss = torch.zeros(())
    for row, advantage in enumerate(advantages[0]):
        batch = rows.batch([row])
        labels = batch.pop("labels")
        logits = model(**batch).logits[0, :-1]
        loss = loss + advantage * nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    torch.testing.assert_close(torch.cat(target.directions, 1)[0], unit(expected), rtol=1e-4, atol=1e-6)
    assert (target.counts, target.left_out) == ([1], 0)


def test_a_validation_row_without_a_usable_gradient_is_left_out(
    model: nn.Module, validation: list[list[int]]
) -> None:
    rows = make_rows([*validation, [4]])
    groups = np.append(GROUPS, 0)
    target = validation_targets(model, rows, groups, SGD, 50)
    assert (target.counts, target.left_out) == ([2, 3], 1)
    groups[-1] = 2
    with pytest.raises(UserError, match="1 of 3 validation subtasks have no row with a gradient"):
        validation_targets(model, rows, groups, SGD, 50)


def test_gradients_that_are_not_finite_make_no_score(
    model: nn.Module, tokens: list[list[int]], validation: list[list[int]]
) -> None:
    """One embedding is broken: rows that use it get no score, the others the one that they always had."""
    target = validation_targets(model, make_rows(validation), GROUPS, SGD, 50)
    rows = make_rows(tokens)
    plain = alignment(model, rows, np.arange(8), target, SGD, None, 30)
    broken = tokens[4][0]
    model.get_input_embeddings().weight.data[broken] = torch.nan  # type: ignore[operator]
    found = alignment(model, rows, np.arange(8), target, SGD, None, 30)
    hit = np.array([broken in row for row in tokens])
    assert np.isnan(found[hit]).all()
    rest = ~hit & (np.array(LENGTHS) > 1)
    assert rest.sum() >= 3
    assert found[rest] == pytest.approx(plain[rest], rel=1e-4)
