"""What components can measure at a step, with the model as it is then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.bench import CACHED_TOKENS, Bench
from dataflex.engine.signals import Signals
from dataflex.errors import UserError
from dataflex.signals import alignment
from dataflex.signals import targets as target_gradients
from dataflex.signals.adam import MomentsOf, read_moments
from dataflex.signals.checkpoints import moments_of, weights_of
from dataflex.signals.embeddings import Embeddings, EmbeddingSource, centred, embed
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.gradients import trainable
from dataflex.signals.losses import pool_losses
from dataflex.signals.passes import IGNORED, Rows, tokens_and_labels
from dataflex.signals.pooling import hidden_state_vectors
from dataflex.signals.rollouts import Rollouts, Sampling, sample_rollouts
from dataflex.signals.states import rising_means
from dataflex.signals.store import GradientStore
from dataflex.signals.texts import row_texts
from dataflex.signals.twins import as_the_first
from dataflex.signals.untouched import untouched


class Measurements(Signals):
    """The signals of one step; see ``Signals`` for what they mean. Losses are measured once and kept.

    Args:
        bench: the run's.
        step: optimizer step.
        checkpoint: measure with its weights and moments; they are in place already.
    """

    def __init__(self, bench: Bench, step: int, checkpoint: Path | None = None) -> None:
        self._bench, self._step, self._checkpoint = bench, step, checkpoint
        self._losses: FloatArray | None = None

    @override
    def losses(self) -> FloatArray:
        if self._losses is None:
            with untouched(self._bench.model):
                losses = pool_losses(self._bench.model, self._bench.pool, self._bench.batch_tokens)
            self._losses = as_the_first(losses, self._bench.twins())
        return self._losses

    @override
    def validation_targets(self, groups: IntArray, features: GradientFeatures) -> Targets:
        bench = self._bench
        with untouched(bench.model, backward=True):
            return target_gradients.validation_targets(
                bench.model, self._validation(), groups, features, bench.batch_tokens
            )

    @override
    def policy_targets(
        self, rollouts: Rollouts, advantages: FloatArray, groups: IntArray, features: GradientFeatures
    ) -> Targets:
        bench = self._bench
        with untouched(bench.model, backward=True):
            return target_gradients.policy_targets(
                bench.model, self._continuations(rollouts), advantages, groups, features, bench.batch_tokens
            )

    def _validation(self) -> Rows:
        if self._bench.validation is None:
            raise UserError("there is no validation set: name one in eval_dataset")
        return self._bench.validation

    def _continuations(self, rollouts: Rollouts) -> Rows:
        """The continuations behind their prompts as rows; only the continuations are supervised."""
        sequences = [
            (prompt, continuation)
            for prompt, several in zip(rollouts.prompt_tokens, rollouts.tokens, strict=True)
            for continuation in several
        ]

        def batch(numbers: Sequence[int]) -> dict[str, Any]:
            rows = []
            for prompt, continuation in (sequences[number] for number in numbers):
                ids = [*prompt.tolist(), *continuation.tolist()]
                labels = [IGNORED] * len(prompt) + continuation.tolist()
                rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
            return self._bench.collate(rows)

        return Rows(
            np.array([len(prompt) + len(continuation) for prompt, continuation in sequences]),
            np.array([len(continuation) for _, continuation in sequences]),
            batch,
        )

    @override
    def alignment(
        self, targets: Targets, features: GradientFeatures, rows: IntArray | None = None
    ) -> FloatArray:
        bench = self._bench
        chosen = np.arange(len(bench.pool.lengths)) if rows is None else rows
        store = self._store(features)
        with untouched(bench.model, backward=True):
            scores = alignment.alignment(
                bench.model,
                bench.pool,
                chosen,
                targets,
                features,
                self._moments(features),
                bench.batch_tokens,
                store,
            )
        if store is not None:
            store.close()
        return as_the_first(scores, bench.twins()[chosen])

    @override
    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        bench = self._bench
        with untouched(bench.model, backward=True):
            return alignment.group_alignment(
                bench.model,
                bench.pool,
                groups,
                targets,
                features,
                self._moments(features),
                bench.batch_tokens,
            )

    def _moments(self, features: GradientFeatures) -> MomentsOf | None:
        if features.gradient == "sgd":
            return None
        parameters, optimizer = trainable(self._bench.model), self._bench.optimizer()
        if self._checkpoint is not None:
            return moments_of(self._checkpoint, optimizer, parameters)
        return read_moments(optimizer, parameters)

    def _store(self, features: GradientFeatures) -> GradientStore | None:
        if not features.store or features.projection is None:
            return None
        at = f"step-{self._step:06d}" if self._checkpoint is None else str(self._checkpoint)
        about = {
            "projection": vars(features.projection),
            "gradient": features.gradient,
            "adam_eps_mode": features.adam_eps_mode,
            "measured_at": at,
        }
        return GradientStore(
            self._bench.folder / "gradients" / at.strip("/").replace("/", "_"),
            len(self._bench.pool.lengths),
            features.projection.dimension,
            about,
        )

    @override
    def rollouts(self, sampling: Sampling, seed: int) -> Rollouts:
        bench = self._bench
        rows = [tokens_and_labels(bench.validation_data[n]) for n in range(len(self._validation().lengths))]
        with untouched(bench.model), torch.no_grad():
            return sample_rollouts(
                bench.model,
                bench.tokenizer,
                rows,
                sampling,
                seed,
                sampling.batch_tokens or CACHED_TOKENS * bench.batch_tokens,
                next(bench.model.parameters()).device,
                bench.end_tokens,
            )

    @override
    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        bench, validation = self._bench, self._validation()
        if source.model is None and source.vectors is None:
            with untouched(bench.model), bench.autocast():
                found = Embeddings(
                    *(
                        hidden_state_vectors(bench.model, rows, bench.batch_tokens, what)
                        for rows, what in ((bench.pool, "the pool"), (validation, "the validation set"))
                    )
                )
            return found if source.centre is False else centred(found)
        with bench.loading_whole():
            return embed(
                source,
                lambda: row_texts(bench.pool_data, bench.tokenizer, source.text),
                lambda: row_texts(bench.validation_data, bench.tokenizer, source.text),
                bench.folder / "embeddings",
                rows=len(bench.pool.lengths),
                validation_rows=len(validation.lengths),
            )

    @override
    def validation_states(self, rows: IntArray) -> FloatArray:
        bench, validation = self._bench, self._validation()
        chosen = Rows(
            validation.lengths[rows],
            validation.supervised[rows],
            lambda numbers: validation.batch(rows[np.asarray(numbers)].tolist()),
        )
        with untouched(bench.model), bench.autocast():
            vectors = hidden_state_vectors(
                bench.model, chosen, bench.batch_tokens, "validation rows", rising_means
            )
        return vectors.astype(np.float64)

    @override
    @contextmanager
    def at_checkpoint(self, checkpoint: Path) -> Iterator[Measurements]:
        with weights_of(self._bench.model, checkpoint):
            yield Measurements(self._bench, self._step, checkpoint)
