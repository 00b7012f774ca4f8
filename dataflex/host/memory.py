"""How much memory a run's tensors take at the most, found out before any weight is loaded.

The model is built as LLaMA-Factory builds it, but of fake tensors, which have shapes and no numbers. A
micro-batch of the longest rows is trained on, and for a method that takes gradients of rows, batches of the
validation set and of the pool are measured, all by the code of the run itself; what lives at once is counted.

Not counted are the interpreter and its libraries (about a gigabyte), what an operation takes for itself while
it runs, and what an allocator keeps in reserve.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dataflex.arrays import IntArray
from dataflex.engine.context import Context
from dataflex.engine.signals import Signals
from dataflex.host.capabilities import ADAM
from dataflex.host.prepare import Prepared
from dataflex.host.reference import whole_model
from dataflex.selectors._influence import InfluenceSelector
from dataflex.signals.adam import Moments, MomentsOf
from dataflex.signals.alignment import batch_alignments
from dataflex.signals.features import Targets
from dataflex.signals.gradients import SampleGradients, trainable
from dataflex.signals.live_bytes import LiveBytes
from dataflex.signals.losses import sum_of_mean_losses, token_losses
from dataflex.signals.passes import Batch, token_batches
from dataflex.signals.projection import BLOCK, KEPT_BYTES, Projection
from dataflex.signals.targets import add_units, hold, small
from dataflex.signals.untouched import untouched


@dataclass(frozen=True)
class Memory:
    """Bytes of tensors, of a process that holds everything."""

    weights: int
    reference: int
    """Weights of a reference model that stays beside the one in training."""
    gradients: int
    moments: int
    """Of Adam; those of other optimizers are not counted."""
    layer: int
    """Of the largest block or single parameter: what a partitioned model gathers at a time."""
    training: int
    """Peak of a training step."""
    passing: int
    """The same if no gradient were kept."""
    selection: int | None
    """Peak of a selection's passes over gradients of rows; none without one."""

    def peaks(self, ranks: int) -> dict[str, tuple[int, int | None]]:
        """Return the peaks of a training step and of a selection in each of some processes, by strategy.

        What a strategy partitions is divided; its own buffers are not counted, but for the copy of the
        gradients that data parallelism reduces.
        """
        if ranks == 1:
            return {"one process": (self.training, self.selection)}
        models = self.weights + self.reference
        spared_moments = self.moments - self.moments // ranks
        spared_models = models - models // ranks - self.layer
        with_part = self.passing + self.gradients // ranks
        # The peak of a step before moments and models are divided, and what a process is then spared.
        strategies = {
            "data parallelism": (self.training + self.gradients, 0),
            "ZeRO-1": (self.training, spared_moments),
            "ZeRO-2": (with_part, spared_moments),
            "ZeRO-3, FSDP2": (with_part, spared_moments + spared_models),
        }
        return {
            name: (step - spared, None if self.selection is None else self.selection - spared)
            for name, (step, spared) in strategies.items()
        }


def predict_memory(prepared: Prepared) -> Memory:
    """Count the memory of a run that is planned; see above."""
    args, lengths = prepared.checked.args, prepared.domains.lengths
    rows = args.training.per_device_train_batch_size
    longest, shortest = int(lengths.max()), int(lengths.min())
    live = LiveBytes()
    with FakeTensorMode(allow_non_fake_inputs=True), live:
        model = _model(prepared)
        weights, parameters = live.now, trainable(model)
        reference = _reference(prepared)
        models = live.now
        adam = args.training.optim.value in ADAM
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for _, p in parameters if adam]
        kept = live.now
        with _gradients_dropped(parameters):
            _train(model, reference, _batch(prepared, rows, longest, shortest))
        passing = live.peak
        # From the second micro-batch on gradients are there already.
        for _ in range(min(2, args.training.gradient_accumulation_steps)):
            _train(model, reference, _batch(prepared, rows, longest, shortest))
        training = live.peak
        model.zero_grad()
        selector, selection = _selector(prepared), None
        if selector is not None:
            live.begin()
            with untouched(model, backward=True):
                _measure(prepared, selector, model, _moments_of(moments), rows * longest)
            selection = live.peak
    return Memory(
        weights=weights,
        reference=models - weights,
        gradients=sum(_bytes(parameter) for _, parameter in parameters),
        moments=kept - models,
        layer=_layer(model),
        training=training,
        passing=passing,
        selection=selection,
    )


@contextmanager
def _gradients_dropped(parameters: Sequence[tuple[str, nn.Parameter]]) -> Iterator[None]:
    """Let no gradient outlive its making, as where it is handed on to the process that keeps it."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    handles = [parameter.register_post_accumulate_grad_hook(drop) for _, parameter in parameters]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _layer(model: nn.Module) -> int:
    blocks = [block for module in model.modules() if isinstance(module, nn.ModuleList) for block in module]
    single = [_bytes(parameter) for parameter in model.parameters()]
    return max([*single, *(sum(map(_bytes, block.parameters())) for block in blocks)])


def _model(prepared: Prepared) -> nn.Module:
    from llamafactory.model import load_model

    args = prepared.checked.args
    own = copy.copy(args.model)
    # Made from its configuration: no file of weights is read.
    own.train_from_scratch = True
    with torch.device("meta"):
        model = load_model(prepared.tokenizer_module["tokenizer"], own, args.finetuning, is_trainable=True)
    _make_tensors(model)
    return _in_half(model) if prepared.checked.config.get("bf16") else model


def _make_tensors(model: nn.Module) -> None:
    """Give a model without storage fake tensors; parameters that were one stay one."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        own: Any
        for own in (module._parameters, module._buffers):
            for name, old in own.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype)
                    trained = old.requires_grad
                    made[id(old)] = nn.Parameter(new, trained) if isinstance(old, nn.Parameter) else new
                own[name] = made[id(old)]


def _in_half(model: nn.Module) -> nn.Module:
    """Let a model compute as accelerate lets it: in bf16, with outputs in fp32."""
    from accelerate.utils import convert_outputs_to_fp32

    model.forward = convert_outputs_to_fp32(torch.autocast("cpu", torch.bfloat16)(model.forward))
    return model


def _reference(prepared: Prepared) -> nn.Module | None:
    """Return the model beside the one in training, if its losses are computed at every step."""
    from transformers import AutoConfig, AutoModelForCausalLM

    frozen = prepared.reference
    if frozen is None or frozen.source.losses != "live":
        return None
    config = AutoConfig.from_pretrained(whole_model(Path(frozen.source.model)))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    _make_tensors(model.eval().requires_grad_(False))
    return _in_half(model) if prepared.checked.config.get("bf16") else model


def _train(model: nn.Module, reference: nn.Module | None, batch: Batch) -> None:
    model.train()
    _loss(model, reference, batch).backward()


def _loss(model: nn.Module, reference: nn.Module | None, batch: Batch) -> torch.Tensor:
    """Return a loss whose graph holds no more than that of a training step."""
    labels = batch.pop("labels")
    losses, _ = token_losses(model(**batch).logits, labels)
    if reference is not None:
        with torch.no_grad():
            token_losses(reference(**batch).logits, labels)
    return losses.sum()


def _selector(prepared: Prepared) -> InfluenceSelector | None:
    decision = prepared.decisions.get("select")
    component = decision.component if decision else None
    return component if isinstance(component, InfluenceSelector) else None


def _moments_of(moments: list[tuple[torch.Tensor, torch.Tensor]]) -> MomentsOf:
    def of(index: int) -> Moments:
        first, second = moments[index]
        return Moments(first.float().flatten(), second.float().flatten(), 1, (0.9, 0.999), 1e-8)

    return of


def _measure(
    prepared: Prepared, selector: InfluenceSelector, model: nn.Module, moments: MomentsOf, tokens: int
) -> None:
    """Aim at the validation set and measure the pool: the batches of the longest rows, and of most rows."""
    validation = prepared.domains.validation
    assert validation is not None
    context = Context(prepared.facts, step=0, update=0, signals=cast(Signals, None))
    features, groups = selector.features(context), int(selector.groups(context).max()) + 1
    engine = SampleGradients(model)
    projection = features.projection and cast(Projection, _MemoryOf(features.projection))
    features = replace(features, projection=projection)
    widths = engine.elements if projection is None else [projection.dimension]
    directions = [torch.zeros(groups, width) for width in widths]
    lengths = np.array([len(validation[number]["input_ids"]) for number in range(len(validation))])
    for rows, longest, shortest in _extremes(lengths, small(token_batches(lengths, tokens), model)):
        held = [torch.zeros(rows, width) for width in widths]
        loss = partial(sum_of_mean_losses, model, _batch(prepared, rows, longest, shortest))
        engine.run(loss, _shape(prepared, rows, longest), rows, partial(hold, held, projection))
        add_units(directions, held, torch.zeros(rows, dtype=torch.int64))
        del held
    targets = Targets(directions, [1] * groups, 0)
    of = moments if features.gradient == "adam" else None
    pool = prepared.domains.lengths
    for rows, longest, shortest in _extremes(pool, token_batches(pool, tokens)):
        batch_alignments(engine, model, _batch(prepared, rows, longest, shortest), targets, features, of)


class _MemoryOf:
    """A projection that takes what one takes and makes nothing: fake tensors can't be sparse."""

    def __init__(self, projection: Projection) -> None:
        self._projection, self.dimension = projection, projection.dimension
        self._kept: dict[int, torch.Tensor] = {}

    def apply(self, parameter: int, gradients: torch.Tensor) -> torch.Tensor:
        """See ``Projection.apply``."""
        entries = gradients.shape[1]
        if self._projection.kind == "dense":
            torch.empty(min(entries * self.dimension, BLOCK))
        elif sum(map(_bytes, self._kept.values())) + 8 * entries <= KEPT_BYTES:
            # A place and a sign for every element.
            self._kept.setdefault(parameter, torch.empty(2 * entries))
        else:
            torch.empty(2 * min(entries, BLOCK))
        return gradients.new_zeros(len(gradients), self.dimension)


def _extremes(lengths: IntArray, batches: list[list[int]]) -> list[tuple[int, int, int]]:
    """Return rows, longest and shortest row of the batches with the longest rows and with most of them."""
    found = [lengths[batch] for batch in (batches[0], max(batches, key=len))]
    return list(dict.fromkeys((len(own), int(own.max()), int(own.min())) for own in found))


def _shape(prepared: Prepared, rows: int, longest: int) -> tuple[int, int]:
    # LLaMA-Factory's collator of fine-tuning rounds up.
    multiple = 8 if prepared.checked.args.finetuning.stage == "sft" else 1
    return rows, -(-longest // multiple) * multiple


def _batch(prepared: Prepared, rows: int, longest: int, shortest: int) -> Batch:
    shape = _shape(prepared, rows, longest)
    ids, labels = (torch.ones(shape, dtype=torch.int64) for _ in range(2))
    # Without padding the model makes no mask of its own.
    mask = torch.ones(shape, dtype=torch.int64) if shortest < shape[1] else None
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
