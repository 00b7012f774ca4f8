"""How much each sample of an optimizer step counts, whatever its micro-batches and ranks.

Weights that compare samples with each other need the losses of the whole step before its first backward.
Those that look at a sample by itself don't, only their common scale does; it is put on the gradients after
the step's last backward, which is exact, because a gradient is linear in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from dataflex.arrays import FloatArray
from dataflex.collectives import concatenate_ranks, sum_over_ranks, world
from dataflex.engine.answers import sample_weights
from dataflex.engine.conductor import Conductor
from dataflex.engine.context import Context, Samples
from dataflex.engine.decision import Decision
from dataflex.engine.divergence import diverged
from dataflex.engine.factors import common_scale, token_weights
from dataflex.engine.seen import Seen
from dataflex.engine.signals import Signals
from dataflex.engine.weighter import Weighter


class Weighing:
    """The weights of one optimizer step.

    Called in this order: ``learn`` if ``needs_forward``; ``factors`` of each micro-batch of this rank, as
    they are trained; ``scale`` after the last backward; ``close`` after the optimizer's step.

    Args:
        conductor: knows mixer and weighter.
        step: optimizer step.
        signals: of this step.
        micro_batches: that this rank gets.
        can_scale: whether gradients can be scaled between the last backward and the optimizer's step.
    """

    def __init__(
        self, conductor: Conductor, step: int, signals: Signals, micro_batches: int, *, can_scale: bool
    ) -> None:
        self._conductor, self._step, self._signals = conductor, step, signals
        self._micro_batches, self._can_scale = micro_batches, can_scale
        self._decision = conductor.decisions.get("weight")
        self._weighter = _due(self._decision, step)
        self._by_domain = conductor.domain_factors(step)
        self._beforehand: list[tuple[FloatArray, FloatArray]] = []
        """Weights and factors of the micro-batches that were learned and are not trained yet."""
        self._trained: list[FloatArray] = []
        """Of each micro-batch that was trained: loss sums, tokens, weights, shape ``(B, 3)``."""
        self._waiting: FloatArray | None = None
        """Weighted and plain tokens of this rank whose common scale has to wait."""
        if self._weighter is not None:
            self._weighter.before_step(self._context())

    def needs_forward(self) -> bool:
        """Tell whether all losses of the step have to be known before its first backward."""
        weighter = self._weighter
        if weighter is None or self._micro_batches == 1:
            return False
        return not weighter.by_sample() or (weighter.relative() and not self._can_scale)

    def learn(self, seen: Sequence[Seen]) -> None:
        """Weigh all micro-batches of this rank from a forward of their own, before they are trained."""
        assert self._weighter is not None
        self._beforehand = self._weigh(self._weighter, seen)

    def factors(self, seen: Seen) -> torch.Tensor | None:
        """Return the factors of a micro-batch's summed token losses, shape ``(B,)``; None: all are one."""
        if self._weighter is None:
            if self._is_observed():
                self._trained.append(np.insert(seen.table(), 2, 1.0, axis=1))
            return None if self._by_domain is None else self._of_domains(seen).to(seen.loss_sums)
        known = self._beforehand.pop(0) if self._beforehand else self._weigh(self._weighter, [seen])[0]
        weights, factors = known
        self._trained.append(np.column_stack([seen.table(), weights]))
        return torch.from_numpy(factors).to(seen.loss_sums)

    def scale(self) -> float | None:
        """Return what gradients and losses of the step are to be multiplied by after its last backward.

        Raises:
            ValueError: all samples have weight zero.
        """
        if self._waiting is None:
            return None
        return common_scale(*sum_over_ranks(torch.from_numpy(self._waiting)).tolist())

    def close(self) -> None:
        """Show the step's samples to the weighter and log its weights."""
        if not self._trained:
            return
        assert self._decision is not None
        assert isinstance(self._decision.component, Weighter)
        loss_sums, loss_tokens, weights = self._every(self._trained).T
        losses = _means(loss_sums, loss_tokens)
        self._decision.component.observe(losses, self._samples(loss_tokens), self._step)
        if self._weighter is not None:
            self._conductor.plan_log.weights(self._step, self._decision.name, weights)

    def _context(self) -> Context:
        assert self._decision is not None
        return self._decision.context(self._conductor.facts, self._step, self._signals)

    def _is_observed(self) -> bool:
        """Tell whether a weighter wants to see samples that it has not weighed."""
        if self._decision is None:
            return False
        assert isinstance(self._decision.component, Weighter)
        return type(self._decision.component).observe is not Weighter.observe

    def _ask(self, weighter: Weighter, losses: FloatArray, samples: Samples) -> FloatArray:
        """Return the weighter's weights; see ``Weighter.weights``."""
        assert self._decision is not None
        answer = weighter.weights(losses, replace(self._context(), samples=samples))
        return sample_weights(answer, self._decision.name, len(losses))

    def _refuse_diverged(self, parts: Sequence[Seen], tables: Sequence[FloatArray]) -> None:
        bad = ~np.isfinite(np.concatenate(tables)[:, 0])
        if bad.any():
            found = torch.cat([part.domains for part in parts]).cpu()[torch.from_numpy(bad)].unique().tolist()
            names = self._conductor.facts.domains
            raise diverged(self._step, [names[index] for index in found], [world()[0]])

    def _weigh(self, weighter: Weighter, parts: Sequence[Seen]) -> list[tuple[FloatArray, FloatArray]]:
        """Return weights and factors of some micro-batches of this rank: of one, or of all of the step.

        Weights that have a common scale, of a part of the step, are left without it: see ``scale``.
        """
        tables = [part.table() for part in parts]
        self._refuse_diverged(parts, tables)
        if weighter.by_sample():
            weights = [
                self._ask(weighter, _means(*table.T), part.samples())
                for table, part in zip(tables, parts, strict=True)
            ]
        else:
            loss_sums, loss_tokens = self._every(tables).T
            every = self._ask(weighter, _means(loss_sums, loss_tokens), self._samples(loss_tokens))
            weights = list(every.reshape(len(parts), world()[1], -1)[:, world()[0]])
        factors, sums = [], np.zeros(2)
        for part, table, own in zip(parts, tables, weights, strict=True):
            domain = np.ones(len(own)) if self._by_domain is None else self._of_domains(part).cpu().numpy()
            of_token = token_weights(own, table[:, 1], of_means=weighter.mass == "sample") * domain
            factors.append(of_token)
            sums += (of_token * table[:, 1]).sum(), (domain * table[:, 1]).sum()
        if not weighter.relative():
            scale = self._tokens_a_sample() if weighter.mass == "sample" else 1.0
            return [(own, factor * scale) for own, factor in zip(weights, factors, strict=True)]
        whole_step = len(parts) == self._micro_batches
        if not whole_step:
            self._waiting = sums if self._waiting is None else self._waiting + sums
            return list(zip(weights, factors, strict=True))
        scale = common_scale(*sum_over_ranks(torch.from_numpy(sums)).tolist())
        return [(own, factor * scale) for own, factor in zip(weights, factors, strict=True)]

    def _samples(self, loss_tokens: FloatArray) -> Samples:
        """Return what is known of all samples of the step, over ranks, in its order of rows."""
        rows = self._conductor.rows_of_step(self._step)
        return Samples(rows, self._conductor.facts.domain_of(rows), loss_tokens.astype(np.int64))

    def _tokens_a_sample(self) -> float:
        """Return the mean number of supervised tokens of the step's samples that have any."""
        tokens = self._conductor.row_tokens[self._conductor.rows_of_step(self._step)]
        return float(tokens.sum() / max((tokens > 0).sum(), 1))

    def _of_domains(self, seen: Seen) -> torch.Tensor:
        assert self._by_domain is not None
        return torch.from_numpy(self._by_domain).to(seen.domains.device)[seen.domains]

    @staticmethod
    def _every(tables: Sequence[FloatArray]) -> FloatArray:
        """Return the tables of all ranks' micro-batches, one line a sample, in the step's order of rows."""
        own = torch.from_numpy(np.stack(tables))
        parts, micro_batch, columns = own.shape
        every = concatenate_ranks(own).reshape(-1, parts, micro_batch, columns)
        return every.transpose(0, 1).reshape(-1, columns).numpy()


def _due(decision: Decision | None, step: int) -> Weighter | None:
    """Return what weighs the samples of a step, if anything does."""
    if decision is None or not decision.schedule.decides_at(step):
        return None
    assert isinstance(decision.component, Weighter)
    return decision.component


def _means(loss_sums: FloatArray, loss_tokens: FloatArray) -> FloatArray:
    """Return mean losses, NaN where there is no supervised token."""
    return np.divide(loss_sums, loss_tokens, out=np.full(len(loss_sums), np.nan), where=loss_tokens > 0)
