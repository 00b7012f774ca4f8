"""Rewards by name, and their numbers for sampled continuations."""

from __future__ import annotations

import numpy as np

from dataflex.arrays import FloatArray
from dataflex.collectives import on_first_rank
from dataflex.errors import UserError
from dataflex.signals.rewards.answer import Answer, Judgement, Reward
from dataflex.signals.rewards.endpoint import Endpoint, Judge
from dataflex.signals.rewards.function import load_function, one_by_one
from dataflex.signals.rewards.option_match import option_match
from dataflex.signals.rewards.overlap import exact_match, token_f1
from dataflex.signals.rollouts import Rollouts

BUILT_IN: dict[str, Judgement] = {
    "option_match": option_match,
    "exact_match": exact_match,
    "token_f1": token_f1,
}


def build_reward(name: str, endpoint: Endpoint | None = None) -> Reward:
    """Make a reward.

    Args:
        name: a built-in one, ``endpoint``, or ``package.module:function``.
        endpoint: the server to ask; for ``endpoint`` alone.

    Raises:
        UserError: there is no such reward, or it can't be used as it is described.
    """
    if (name == "endpoint") != (endpoint is not None):
        raise UserError(
            "reward: endpoint needs the parameter endpoint with base_url and model"
            if endpoint is None
            else f"endpoint is given but reward is {name!r}: set reward: endpoint or leave endpoint out"
        )
    if endpoint is not None:
        return Judge(endpoint)
    if ":" in name:
        return one_by_one(load_function(name), name)
    if name not in BUILT_IN:
        raise UserError(
            f"no reward is called {name!r}: there are {', '.join(BUILT_IN)}, endpoint "
            "and package.module:function"
        )
    return one_by_one(BUILT_IN[name], name)


def score_rollouts(reward: Reward, rollouts: Rollouts) -> FloatArray:
    """Return the reward of each continuation, shape ``(validation rows, continuations)``.

    Rank 0 judges and tells the others: a server is asked once, and a reward need not repeat itself.

    Raises:
        UserError: the reward failed; on all ranks.
    """
    answers = [
        Answer(prompt, reference, text)
        for prompt, reference, texts in zip(
            rollouts.prompts, rollouts.references, rollouts.texts, strict=True
        )
        for text in texts
    ]
    numbers = on_first_rank(lambda: np.asarray(reward(answers), np.float64))
    return numbers.reshape(len(rollouts.prompts), -1)
