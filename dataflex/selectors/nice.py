"""NICE: rows that raise a reward which has no gradient, by the policy gradient of sampled answers.

Jingtan Wang, Xiaoqiang Lin, Rui Qiao, Pang Wei Koh, Chuan-Sheng Foo, Bryan Kian Hsiang Low: "NICE Data
Selection for Instruction Tuning in LLMs with Non-differentiable Evaluation Metric", ICML 2025; code at
github.com/JTWang2000/NICE. As LESS, but a validation row's gradient is that of the sum over sampled
answers of advantage times the answer's summed negative log-likelihood.

Defaults are the authors': 20 answers, temperature 1.2, top-k 50, top-p 0.95, 300 tokens, advantage = reward.
What differs: an answer's end token counts as part of it, and there is no reward model among the rewards (a
Python function can call one). Only answers sampled at temperature 1 without top-k and top-p estimate the
gradient of the expected reward without bias; the authors' sampling, the default, does so approximately.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from dataflex.engine.component import Context, Facts, FloatArray, IntArray
from dataflex.errors import UserError
from dataflex.selectors._influence import InfluenceSelector
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.rewards.answer import Reward
from dataflex.signals.rewards.build import build_reward, score_rollouts
from dataflex.signals.rewards.endpoint import Endpoint
from dataflex.signals.rewards.option_match import count_options, refuse_references
from dataflex.signals.rollouts import Rollouts, Sampling


class NiceSelector(InfluenceSelector):
    """Take the rows whose training step raises the reward of the model's own answers most."""

    needs = frozenset({"validation_set", "generation", "per_sample_gradient"})
    paper = "Wang et al., ICML 2025, openreview.net/forum?id=2wt8m5HUBs"

    example = {"reward": "token_f1", "mc_samples": 3, "max_new_tokens": 4}

    reward: str = "option_match"
    """option_match, exact_match, token_f1, endpoint, or package.module:function(prompt, reference, text)."""
    endpoint: Endpoint | None = None
    """The server that judges, for reward: endpoint."""
    mc_samples: Annotated[int, Field(ge=1)] = 20
    """Answers to each validation prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.2
    """Of the sampling."""
    top_k: Annotated[int, Field(ge=0)] = 50
    """Likeliest tokens that are sampled from; 0 takes all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Mass of the likeliest tokens that are sampled from; 1 takes all."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 300
    """Longest answer; lower it where the reward looks at a short answer, since it costs most of the time."""
    # Left out of what tells runs apart: answers don't depend on it.
    sampling_tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, exclude=True)
    """Tokens that are sampled side by side, prompts included; none: four times those of a training batch on a
    device. They lie in the attention cache, 128 KiB each for a 7B model with 8 key/value heads in bf16."""
    policy: Literal["vanilla", "rejection"] = "vanilla"
    """vanilla: all answers count with their advantage; rejection: those above the threshold alone."""
    threshold: float = 0.0
    """Reward that an answer must exceed under policy: rejection."""
    baseline: Literal["none", "leave_one_out"] = "none"
    """Subtracted from a reward: nothing, or the mean reward of the row's other answers (less variance)."""

    _reward: Reward | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline == "leave_one_out" and (self.mc_samples < 2 or self.policy != "vanilla"):
            raise ValueError("baseline leave_one_out needs mc_samples of at least 2 and policy vanilla")
        return self

    def check(self, facts: Facts) -> None:
        """Refuse a reward that is not there, and right answers that it can't judge by."""
        super().check(facts)
        self._reward = build_reward(self.reward, self.endpoint)
        right_answers = facts.validation.references if facts.validation else None
        if self.reward == "option_match" and right_answers:
            refuse_references(right_answers())

    def targets(self, context: Context, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the policy gradient of each group of validation rows.

        Raises:
            UserError: no answer of any row is worth more or less than nothing.
        """
        sampling = Sampling(
            self.mc_samples,
            self.temperature,
            self.top_p,
            self.top_k,
            self.max_new_tokens,
            self.sampling_tokens,
        )
        rollouts = context.signals.rollouts(sampling, int(context.rng("nice").integers(2**63)))
        if self._reward is None:
            self._reward = build_reward(self.reward, self.endpoint)
        rewards = score_rollouts(self._reward, rollouts)
        values = advantages(rewards, self.policy, self.baseline, self.threshold)
        telling = (values != 0).any(axis=1)
        if not telling.any():
            raise UserError(
                f"nice: no sampled answer of {rewards.size} counts anything under reward {self.reward!r} "
                f"(mean {rewards.mean():g}): train longer before the first selection (warmup_step), raise "
                "mc_samples, or choose a reward that gives part marks, for example token_f1"
            )
        context.notes.update(_notes(rollouts, rewards, telling, groups))
        if self.reward == "option_match":
            context.notes["right_answers"] = count_options(rollouts.references)
        return context.signals.policy_targets(rollouts, values, _groups_that_tell(groups, telling), features)


def advantages(rewards: FloatArray, policy: str, baseline: str, threshold: float) -> FloatArray:
    """Return what each sampled answer counts in the policy gradient.

    Args:
        rewards: shape ``(validation rows, answers)``, finite.
        policy: ``vanilla``, or ``rejection``: answers with a reward above the threshold alone, divided by
            their number.
        baseline: ``none``, or ``leave_one_out``: minus the mean reward of the row's other answers. It depends
            on none of the answer's own draws, so that the gradient's mean stays what it is.
        threshold: for ``rejection``.

    Returns:
        Same shape.
    """
    if policy == "rejection":
        kept = rewards > threshold
        return np.where(kept, rewards, 0.0) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    if baseline == "none":
        return rewards
    answers = rewards.shape[1]
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    # Equal rewards give exactly 0, whatever their mean was rounded to.
    equal = (rewards == rewards[:, :1]).all(axis=1, keepdims=True)
    return np.where(equal, 0.0, centred * answers / (answers - 1))


def _groups_that_tell(groups: IntArray, telling: np.ndarray) -> IntArray:
    """Number the groups that have a telling row from 0.

    Rows of the others have no gradient and count in no group; they are put into the first one.
    """
    left = np.unique(groups[telling])
    return np.where(telling, np.searchsorted(left, groups), 0)


def _notes(rollouts: Rollouts, rewards: FloatArray, telling: np.ndarray, groups: IntArray) -> dict[str, Any]:
    rows = np.unique(np.linspace(0, len(rewards) - 1, 3).astype(int)).tolist()
    return {
        "mean_reward": float(rewards.mean()),
        "answers_cut": rollouts.cut,
        "rows_without_signal": float(1 - telling.mean()),
        "subtasks_without_signal": len(np.unique(groups)) - len(np.unique(groups[telling])),
        "examples": [
            {
                "prompt": rollouts.prompts[row][-200:],
                "reference": rollouts.references[row][:200],
                "text": rollouts.texts[row][0][:200],
                "reward": float(rewards[row, 0]),
            }
            for row in rows
        ],
    }
