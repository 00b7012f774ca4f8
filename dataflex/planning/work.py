"""What a run computes: its steps and the passes over models that they and the method's decisions cost.

Passes follow from what a component declares in its ``needs``, so that a new method is planned without a
change here: gradients of rows are a forward and backward over pool and validation set at every update, losses
a forward, embeddings a pass of the embedding model, generation a forward a sampled token, a reference model
a forward a trained token. All are divided among the processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflex.config import DataFlexConfig, DecisionConfig, split
from dataflex.corpus.packed.shards import HELD_OUT
from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind, make_schedule, run_steps
from dataflex.errors import UserError
from dataflex.planning.architecture import Architecture
from dataflex.planning.corpora import Corpus
from dataflex.planning.flops import Trained, forward, training
from dataflex.registry import build

Find = Callable[[str], Architecture | None]
"""Architecture of the model at a path or of a name; None: nobody knows."""

# Defaults of transformers and LLaMA-Factory.
BATCH, EPOCHS, CUTOFF, LOGGING = 8, 3.0, 2048, 500


@dataclass(frozen=True)
class Pass:
    """Passes of one kind, over the whole run."""

    what: str
    flops: float
    times: int = 1
    sampling: bool = False
    """Token by token, which is slower than its operations say."""


@dataclass(frozen=True)
class Work:
    """What one training run computes."""

    steps: int
    batch_rows: int
    tokens: int
    """Trained on, padding left out."""
    passes: tuple[Pass, ...]
    unknown: tuple[str, ...] = ()
    """What could not be counted, in words."""

    @property
    def flops(self) -> float:
        """Operations of all passes."""
        return sum(one.flops for one in self.passes)


def batch_rows(config: Mapping[str, Any], ranks: int) -> int:
    """Rows of an optimizer step over micro-batches, accumulation and ranks."""
    micro = int(config.get("per_device_train_batch_size", BATCH))
    return micro * int(config.get("gradient_accumulation_steps", 1)) * ranks


def cutoff(config: Mapping[str, Any]) -> int:
    """The most tokens of a row."""
    return int(config.get("cutoff_len", CUTOFF))


def is_packed(config: Mapping[str, Any]) -> bool:
    """Whether every row has as many tokens as it may have."""
    return bool(config.get("packing", config.get("stage") == "pt")) or "packed_corpus" in config


def row_tokens(config: Mapping[str, Any], corpus: Corpus) -> float:
    """Mean tokens of a row: the cutoff where rows are packed or nothing is known."""
    if is_packed(config) or corpus.row_tokens is None:
        return cutoff(config)
    return min(corpus.row_tokens, cutoff(config))


def pool_rows(config: Mapping[str, Any], corpus: Corpus) -> int | None:
    """Rows to choose from; None when nobody knows."""
    if not is_packed(config):
        return corpus.rows
    domains = corpus.domain_tokens().values()
    return sum(tokens // cutoff(config) for tokens in domains) or None


def steps_of(config: Mapping[str, Any], own: DataFlexConfig, rows: int | None, ranks: int) -> int:
    """Return the optimizer steps of a run, by the run's own rules.

    Raises:
        UserError: they follow from a corpus of which nobody knows the size.
    """
    kinds: dict[Kind, tuple[int, int, int]] = {
        one.kind: (one.warmup_step, one.update_step, one.update_times) for one in own.decision_list()
    }
    steps = run_steps(
        kinds,
        train_step=own.train_step,
        max_steps=int(config.get("max_steps", -1)),
        epochs=float(config.get("num_train_epochs", EPOCHS)),
        rows=rows or 0,
        batch_rows=batch_rows(config, ranks),
    )
    if not steps:
        raise UserError(
            "the steps follow from the size of the corpus, which is not there: say what to expect under "
            "`expected` of the corpus in the grid, or set max_steps"
        )
    return steps


def trained_of(config: Mapping[str, Any], model: Architecture) -> Trained:
    """Return what is trained of the model."""
    checkpointing = not config.get("disable_gradient_checkpointing", False)
    return Trained(adapters(config, model), checkpointing)


def adapters(config: Mapping[str, Any], model: Architecture) -> int | None:
    """Parameters of LoRA; None where the whole model is trained."""
    if config.get("finetuning_type", "lora") != "lora":
        return None
    targets = str(config.get("lora_target", "all"))
    names = None if targets == "all" else [name.strip() for name in targets.split(",")]
    return model.lora_parameters(int(config.get("lora_rank", 8)), names)


def work_of(config: Mapping[str, Any], model: Architecture, corpus: Corpus, ranks: int, find: Find) -> Work:
    """Count what a run computes.

    Args:
        config: as rendered for the run.
        model: that is trained.
        corpus: what the run reads.
        ranks: processes.
        find: architectures of further models.
    """
    own, _ = split(dict(config))
    length, rows = row_tokens(config, corpus), pool_rows(config, corpus)
    steps, batch = steps_of(config, own, rows, ranks), batch_rows(config, ranks)
    tokens = round(steps * batch * length)
    trained = trained_of(config, model)
    passes = [Pass("training", training(model, tokens, length, trained), steps)]
    unknown: list[str] = []
    if times := evaluations(config, steps):
        seen, row = _evaluated(config, corpus, length)
        if seen:
            passes.append(Pass("evaluations in the run", times * forward(model, seen, row), times))
        else:
            unknown.append("what is evaluated in the run")
    for decision in own.decision_list():
        component = build(decision.kind, decision.component_name, decision.component_params)
        counted = _Counting(model, trained, corpus, length, rows, tokens, find)
        passes += counted.passes(decision, component, steps)
        unknown += counted.unknown
    return Work(steps, batch, tokens, tuple(passes), tuple(unknown))


def evaluations(config: Mapping[str, Any], steps: int) -> int:
    """How often a run evaluates: on its way, at its last step, and once more when it is done."""
    strategy = str(config.get("eval_strategy", "no"))
    if strategy == "no" or not config.get("eval_dataset"):
        return 0
    if strategy == "epoch":
        return math.ceil(float(config.get("num_train_epochs", EPOCHS))) + 1
    every = float(config.get("eval_steps") or config.get("logging_steps", LOGGING))
    return math.ceil(steps / (every if every >= 1 else math.ceil(every * steps))) + 1


def _evaluated(config: Mapping[str, Any], corpus: Corpus, length: float) -> tuple[float, float]:
    """Tokens that one evaluation goes through, and those of a row."""
    if "packed_corpus" in config and config["eval_dataset"] == HELD_OUT:
        return corpus.held_out_tokens, length
    row = corpus.validation_row_tokens or length
    return (corpus.validation_rows or 0) * row, row


class _Counting:
    """Counts the passes of one decision."""

    def __init__(
        self,
        model: Architecture,
        trained: Trained,
        corpus: Corpus,
        length: float,
        rows: int | None,
        tokens: int,
        find: Find,
    ) -> None:
        self.model, self.trained, self.corpus, self.find = model, trained, corpus, find
        self.length, self.tokens, self.rows = length, tokens, rows
        self.validation_length = corpus.validation_row_tokens or length
        self.validation = (corpus.validation_rows or 0) * self.validation_length
        self.unknown: list[str] = []

    def passes(self, decision: DecisionConfig, component: Component, steps: int) -> list[Pass]:
        """Passes of a run of so many steps."""
        needs = component.requirements()
        if "validation_set" in needs and not self.corpus.validation_rows:
            self.unknown.append("rows of the validation set")
        if decision.kind == "select":
            return self._selection(decision, component, steps)
        if "reference_model" in needs:
            return self._reference(component)
        if decision.kind == "weight" and "hidden_states" in needs:
            interval = int(getattr(component, "refresh_interval", 1))
            anchors = getattr(component, "anchors", None)
            seen = min(self.validation, anchors * self.validation_length) if anchors else self.validation
            times = -(-max(steps - decision.warmup_step, 0) // interval)
            flops = forward(self.model, seen * times, self.validation_length, logits=False)
            return [Pass("states of validation rows", flops, times)]
        return []

    def _selection(self, decision: DecisionConfig, component: Component, steps: int) -> list[Pass]:
        schedule = make_schedule(
            "select", decision.warmup_step, decision.update_step, decision.update_times, steps
        )
        updates = sum(phase.name == "update" for phase in schedule.phases())
        needs = component.requirements()
        if needs and self.rows is None:
            self.unknown.append("rows of the pool")
        pool = (self.rows or 0) * self.length
        found = []
        if "embeddings" in needs:
            found.append(self._embeddings(component, pool, updates))
        if "per_sample_gradient" in needs:
            target = self.validation
            if "generation" in needs:
                sampled = _sampled(component, self.corpus.validation_rows or 0)
                target = sampled + self.validation * int(getattr(component, "mc_samples", 1))
                flops = updates * forward(self.model, sampled + self.validation, self.validation_length)
                found.append(Pass("sampled answers", flops, updates, sampling=True))
            kept = _representatives(component)
            flops = training(self.model, kept * pool + target, self.length, self.trained)
            found.append(Pass("gradients of rows", updates * flops, updates))
        elif "per_sample_loss" in needs:
            found.append(Pass("losses of rows", updates * forward(self.model, pool, self.length), updates))
        return found

    def _embeddings(self, component: Component, pool: float, updates: int) -> Pass:
        name = getattr(component, "embedding_model", None)
        found = self.find(name) if name else self.model
        if found is None:
            self.unknown.append(f"the size of the embedding model {name}")
            return Pass("embeddings", 0.0, 1)
        length = min(self.length, float(getattr(component, "max_tokens", self.length)))
        # A model of its own gives the same vectors at every update; the one in training does not.
        times = 1 if name else updates
        tokens = pool * length / self.length + self.validation
        return Pass("embeddings", times * forward(found, tokens, length, logits=False), times)

    def _reference(self, component: Component) -> list[Pass]:
        losses, path = (
            getattr(component, "reference_losses", "live"),
            getattr(component, "reference_model_path", None),
        )
        if losses == "zero":
            return []
        found = self.find(str(path)) if path else self.model
        if found is None:
            self.unknown.append(f"the size of the reference model {path}")
            return []
        seen = self.tokens if losses == "live" else (self.corpus.tokens or self.tokens)
        return [Pass("losses of the reference model", forward(found, seen, self.length))]


def _sampled(component: Component, rows: int) -> int:
    """Tokens that are sampled at an update, at the most."""
    return rows * int(getattr(component, "mc_samples", 1)) * int(getattr(component, "max_new_tokens", 0))


def _representatives(component: Component) -> float:
    """Share of the pool's rows whose gradients are taken."""
    size = getattr(component, "cluster_size", None)
    return 1.0 if size is None else min(1.0, int(getattr(component, "samples_per_cluster", 1)) / int(size))
