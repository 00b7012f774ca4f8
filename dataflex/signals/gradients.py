"""Per-sample gradients of a whole batch, from one forward and one backward pass.

The loss of a batch is the sum of its samples' losses, so the gradient of a sample with respect to a layer's
parameters follows from the layer's input and from the gradient of its output at that sample's positions
(Goodfellow 2015, arXiv 1510.01799). A probe behind every layer that owns a trainable parameter keeps the
first and receives the second; the gradients of a parameter are handed on as soon as they are complete and
are never stored for the whole model.

The backward pass runs with all parameters frozen: it computes no gradient of its own for them, so that
``.grad``, the buffers of DeepSpeed and the hooks of data parallelism stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from dataflex.errors import UserError
from dataflex.signals.sharding import elements, gathers_by_layer

_CHECKPOINTING = "_gradient_checkpointing_func"
"""Attribute of a transformers block that recomputes it in the backward pass."""

CHUNK_ELEMENTS = 2**26
"""Elements of the gradients that are materialised at once: 256 MiB in fp32."""


Consumer = Callable[[int, slice, torch.Tensor], None]
"""Receives the gradients of one parameter for some samples: the parameter's index, which samples, and the
gradients, shape ``(samples, elements)``, which it may change in place."""

Formula = Callable[[nn.Module, str, torch.Tensor, torch.Tensor], torch.Tensor]
"""Layer, name of its parameter, its inputs and output gradients, both ``(n, T, ...)``, to the parameter's
gradients, ``(n, *parameter.shape)``."""


def trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that are trained, each once, in the order that indices refer to."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


@dataclass
class _Pending:
    """What is known of one parameter's gradients while the backward pass runs."""

    awaited: int = 0
    uses: list[Callable[[slice], torch.Tensor]] = field(default_factory=list)


class SampleGradients:
    """Computes per-sample gradients of a model's trainable parameters.

    Args:
        model: a causal language model, possibly with adapters. Every trainable parameter must belong to a
            layer that treats the positions of a batch alike: linear (adapters are), embedding,
            normalisation, or any layer whose output at a sample depends on that sample's input alone.

    Raises:
        UserError: a trainable parameter belongs to no layer of its own.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.parameters = trainable(model)
        self.elements = [elements(parameter) for _, parameter in self.parameters]
        """Of each parameter, over all ranks."""
        index = {id(parameter): i for i, (_, parameter) in enumerate(self.parameters)}
        self._owned: dict[nn.Module, list[tuple[str, int]]] = {}
        for module in model.modules():
            own = [
                (name, index[id(p)]) for name, p in module.named_parameters(recurse=False) if id(p) in index
            ]
            if own:
                self._refuse_containers(module, own)
                self._owned[module] = own
        self._pending = [_Pending() for _ in self.parameters]
        self._anchor = torch.zeros(1)
        self._in_backward = self._emitting = False
        self._samples = self._rows = self._positions = 0
        self._consume: Consumer

    def _refuse_containers(self, module: nn.Module, own: list[tuple[str, int]]) -> None:
        if isinstance(module, nn.ParameterList | nn.ParameterDict):
            raise UserError(
                f"per-sample gradients of {self.parameters[own[0][1]][0]} are not available: it belongs to "
                "no layer of its own; choose another lora_target, or turn off use_dora"
            )

    def run(
        self, loss: Callable[[], torch.Tensor], batch_shape: tuple[int, int], samples: int, consume: Consumer
    ) -> None:
        """Run a forward and a backward pass and hand every parameter's per-sample gradients to ``consume``.

        Args:
            loss: runs the forward pass and returns the sum of the samples' losses, a scalar.
            batch_shape: rows and padded positions of the batch.
            samples: samples of the batch; each is ``rows / samples`` rows that follow one another.
            consume: called once or more for every parameter that took part in the loss; a parameter's
                chunks come one after another and cover all samples.
        """
        self._rows, self._positions = batch_shape
        self._samples, self._consume = samples, consume
        with self._probed():
            try:
                total = loss()
                self._in_backward = True
                total.backward()
                for parameter, pending in enumerate(self._pending):
                    # Some of its layer's outputs had no part in the loss.
                    self._emit(parameter, pending)
            finally:
                self._in_backward = self._emitting = False
                self._pending = [_Pending() for _ in self.parameters]

    @contextmanager
    def _probed(self) -> Iterator[None]:
        # In front of the hooks of DeepSpeed, which then have a layer's parameters gathered when the gradient
        # of its output comes by.
        handles = [
            module.register_forward_hook(self._attach, with_kwargs=True, prepend=True)
            for module in self._owned
        ]
        parameters = [parameter for _, parameter in self.parameters]
        device = parameters[0].device
        self._anchor = torch.zeros(1, device=device, requires_grad=True)
        # Other ways of checkpointing look for parameters that are trained, and here none is.
        blocks = [m for m in self._model.modules() if getattr(m, "gradient_checkpointing", False)]
        functions = {block: getattr(block, _CHECKPOINTING, None) for block in blocks}
        for block in blocks:
            setattr(block, _CHECKPOINTING, partial(checkpoint, use_reentrant=False))
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for block, function in functions.items():
                setattr(block, _CHECKPOINTING, function)
            for parameter in parameters:
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()

    def _attach(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if self._emitting:
            # A formula runs a layer once more, with what is in it.
            return output
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        if not isinstance(output, torch.Tensor) or len(given) != 1:
            raise UserError(self._refusal(module, "it does not map one tensor to one tensor"))
        inputs = given[0]
        for tensor in (inputs, output):
            if tensor.shape[0] not in (self._rows, self._rows * self._positions):
                raise UserError(self._refusal(module, "it mixes the positions of several samples"))
        if not self._in_backward:
            for _, parameter in self._owned[module]:
                self._pending[parameter].awaited += 1
        return _Probe.apply(output, inputs, self._anchor, self, module)

    def _refusal(self, module: nn.Module, why: str) -> str:
        name = self.parameters[self._owned[module][0][1]][0]
        return f"per-sample gradients of {name} ({type(module).__name__}) are not available: {why}; freeze it"

    def receive(self, module: nn.Module, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
        """Take a layer's input and the gradient of its output, as the backward pass reaches it."""
        inputs, gradient = self._by_sample(inputs), self._by_sample(gradient)
        for name, parameter in self._owned[module]:
            pending = self._pending[parameter]
            pending.uses.append(self._use(module, name, inputs, gradient))
            if len(pending.uses) == pending.awaited:
                self._emit(parameter, pending)

    def _use(
        self, module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor
    ) -> Callable[[slice], torch.Tensor]:
        formula = _formula(module)
        if formula is None:
            inner = (parameter for child in module.children() for parameter in child.parameters())
            if any(map(gathers_by_layer, inner)):
                # Every rank would gather them as often as it has rows.
                raise UserError(self._refusal(module, "under ZeRO-3 it must hold no other layers"))
            rows = self._rows // self._samples
            return lambda chunk: _row_by_row(module, name, inputs[chunk], gradient[chunk], rows).float()
        return lambda chunk: formula(module, name, inputs[chunk], gradient[chunk]).float()

    def _by_sample(self, tensor: torch.Tensor) -> torch.Tensor:
        """Bring ``(rows, positions, ...)``, flattened or not, to ``(samples, a sample's positions, ...)``."""
        flat = tensor.shape[0] == self._rows * self._positions and self._positions > 1
        features = tensor.shape[1:] if flat else tensor.shape[2:]
        return tensor.reshape(self._samples, -1, *features)

    def _emit(self, parameter: int, pending: _Pending) -> None:
        if not pending.uses:
            return
        size = self.elements[parameter]
        step = max(1, CHUNK_ELEMENTS // max(size, 1))
        for start in range(0, self._samples, step):
            chunk = slice(start, min(start + step, self._samples))
            self._emitting = True
            gradients = pending.uses[0](chunk)
            for use in pending.uses[1:]:
                gradients = gradients + use(chunk)
            self._emitting = False
            self._consume(parameter, chunk, gradients.reshape(chunk.stop - chunk.start, size))
        pending.uses.clear()


class _Probe(torch.autograd.Function):
    """Identity behind a layer. What it needs of the forward pass is saved the way that autograd saves things,

    so that a checkpointed block recomputes it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        output: torch.Tensor,
        inputs: torch.Tensor,
        anchor: torch.Tensor,
        engine: SampleGradients,
        module: nn.Module,
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs)
        ctx.engine, ctx.module = engine, module
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (gradient,) = gradients
        (inputs,) = ctx.saved_tensors
        ctx.engine.receive(ctx.module, inputs, gradient)
        anchored = torch.zeros(1, device=gradient.device) if ctx.needs_input_grad[2] else None
        return gradient, None, anchored, None, None


def _linear(module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    if name == "bias":
        return gradient.sum(1)
    return gradient.transpose(1, 2) @ inputs.to(gradient.dtype)


def _transposed_linear(
    module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    if name == "bias":
        return gradient.sum(1)
    return inputs.to(gradient.dtype).transpose(1, 2) @ gradient


def _embedding(module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    assert isinstance(module, nn.Embedding)
    if module.padding_idx is not None:
        gradient = gradient.masked_fill((inputs == module.padding_idx).unsqueeze(-1), 0)
    rows, size = len(inputs), module.num_embeddings
    places = inputs + size * torch.arange(rows, device=inputs.device).unsqueeze(1)
    total = gradient.new_zeros(rows * size, gradient.shape[-1])
    return total.index_add_(0, places.flatten(), gradient.flatten(0, 1)).view(rows, size, -1)


def _layer_norm(module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    assert isinstance(module, nn.LayerNorm)
    if name == "bias":
        return gradient.sum(1)
    return (F.layer_norm(inputs, module.normalized_shape, None, None, module.eps) * gradient).sum(1)


def _root_mean_square_norm(
    module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """The layer runs once more with a weight of its own for every sample: they broadcast over positions."""
    weight = getattr(module, name).detach()
    weights = weight.expand(len(inputs), *[1] * (inputs.ndim - 2), *weight.shape).requires_grad_()
    with torch.enable_grad():
        output = _run_again(module, name, weights, inputs)
    return torch.autograd.grad(output, weights, gradient)[0].flatten(1, -2).sum(1)


def _row_by_row(
    module: nn.Module, name: str, inputs: torch.Tensor, gradient: torch.Tensor, rows: int
) -> torch.Tensor:
    """For any other layer: it runs again on every row alone; ``rows``: rows of a sample."""
    weight = getattr(module, name).detach().requires_grad_()
    samples = len(inputs)
    inputs, gradient = (t.unflatten(1, (rows, -1)).flatten(0, 1) for t in (inputs, gradient))
    found = []
    for row, its_gradient in zip(inputs, gradient, strict=True):
        with torch.enable_grad():
            output = _run_again(module, name, weight, row.unsqueeze(0))
        found.append(torch.autograd.grad(output, weight, its_gradient.unsqueeze(0))[0])
    return torch.stack(found).unflatten(0, (samples, rows)).sum(1)


class _Hookless(nn.Module):
    """A layer without its own hooks: ours and those that gather its parameters are for the model's passes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer.forward(inputs)
        return found


def _run_again(module: nn.Module, name: str, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return a layer's output with another tensor in place of one of its parameters."""
    return torch.func.functional_call(_Hookless(module), {f"layer.{name}": weight}, (inputs.detach(),))


_FORMULAS: dict[type[nn.Module], Formula] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
}


def _formula(module: nn.Module) -> Formula | None:
    """Return the formula of a layer; none for one that does something of its own, if only a scaling."""
    for known, formula in _FORMULAS.items():
        if type(module).forward is known.forward:
            return formula
    kind = type(module).__name__
    if kind == "Conv1D":
        return _transposed_linear
    if kind.endswith("RMSNorm") and not isinstance(module, nn.RMSNorm):
        return _root_mean_square_norm
    return None
