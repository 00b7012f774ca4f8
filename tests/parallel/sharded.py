"""Measures per-sample gradients on two ranks in the midst of an accumulated step, under every strategy.

    torchrun --nproc-per-node 2 -m tests.parallel.sharded FOLDER

Each model is trained for two optimizer steps of two micro-batches, once with a pass between the micro-batches
of the second step, once without. Everything that the pass could touch is saved before and after it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import numpy as np
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from torch import nn

from dataflex.host.leaving import leave
from dataflex.signals import gradients
from dataflex.signals.adam import read_moments
from dataflex.signals.gradients import SampleGradients, trainable
from dataflex.signals.losses import mean_losses
from dataflex.signals.passes import Rows
from dataflex.signals.untouched import untouched

from ..signals.conftest import LENGTHS, VOCABULARY, make_rows, tiny_model
from ..signals.test_gradients import Scaled

STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
MEASURED = ([1, 4, 2, 7], [0, 5, 6])
"""Rows that each rank measures."""
# Far from zero: Adam divides by the root of the second moment.
ADAM: dict[str, Any] = {"lr": 1e-2, "betas": (0.8, 0.9), "eps": 1e-3}


def rows() -> Rows:
    generator = np.random.default_rng(0)
    return make_rows([generator.integers(1, VOCABULARY, size=length).tolist() for length in LENGTHS])


def tied() -> nn.Module:
    return tiny_model(tie_word_embeddings=True, attention_dropout=0.0)


def unknown_layer() -> nn.Module:
    model = tiny_model(attention_dropout=0.0)
    model.model.layers[1].self_attn.o_proj = nn.Sequential(model.model.layers[1].self_attn.o_proj, Scaled())  # type: ignore[assignment]
    return model


def checkpointed() -> nn.Module:
    model = tied()
    model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    return model


def lora() -> nn.Module:
    torch.manual_seed(1)
    adapted = get_peft_model(
        tiny_model(attention_dropout=0.0),
        LoraConfig(r=3, lora_alpha=7, lora_dropout=0.0, target_modules="all-linear"),
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return adapted


MODELS: dict[str, Callable[[], nn.Module]] = {
    "tied": tied,
    "unknown layer": unknown_layer,
    "checkpointed": checkpointed,
    "lora": lora,
}


def micro_batch(number: int, rank: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(10 * number + rank)
    tokens = torch.randint(1, VOCABULARY, (2, 8), generator=generator)
    return {"input_ids": tokens, "labels": tokens.clone()}


class Stack:
    """A model under a strategy, with the steps of training and what lies in its buffers."""

    def __init__(self, strategy: str, model: nn.Module) -> None:
        self.strategy, self.model = strategy, model
        self.engine: Any = None
        self.wrapped: Any = model
        if strategy == "fsdp2":
            _shard(model)
        own = [p for p in model.parameters() if p.requires_grad]
        # Two groups, as the Trainer makes them.
        groups = [{"params": [p for p in own if (p.ndim > 1) == matrices]} for matrices in (True, False)]
        self.optimizer: Any = torch.optim.AdamW([group for group in groups if group["params"]], **ADAM)
        if strategy == "ddp":
            self.wrapped = nn.parallel.DistributedDataParallel(model)
        if strategy.startswith("zero"):
            import deepspeed

            self.engine, self.optimizer, *_ = deepspeed.initialize(
                model=model, optimizer=self.optimizer, config=_zero(int(strategy[-1]))
            )
            self.wrapped = self.engine

    def backward(self, number: int) -> None:
        loss = self.wrapped(**micro_batch(number, dist.get_rank())).loss
        if self.engine is not None:
            self.engine.backward(loss)
        else:
            (loss / 2).backward()

    def step(self) -> None:
        if self.engine is None:
            self.optimizer.step()
            self.optimizer.zero_grad()

    def tell(self) -> None:
        """DeepSpeed wants to hear of the end of every micro-batch."""
        if self.engine is not None:
            self.engine.step()

    def buffers(self) -> dict[str, str]:
        """Return digests of all tensors that hold parameters, gradients and the optimizer's state."""
        found = {}
        for name, tensor in self._tensors():
            local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            if local.is_meta:
                continue
            found[name] = hashlib.sha256(local.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        return found

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, parameter in self.model.named_parameters():
            yield f"parameter {name}", getattr(parameter, "ds_tensor", parameter)
            if parameter.grad is not None:
                yield f"gradient {name}", parameter.grad
        for number, state in enumerate(self.optimizer.state.values()):
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    yield f"state {number} {key}", value
        # DeepSpeed's own places for gradients: lists, dictionaries and tensors of many names.
        if self.engine is not None:
            for key, value in sorted(vars(self.engine.optimizer).items()):
                yield from _in(value, key)


def _in(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, torch.Tensor):
                yield from _in(one, f"{name} {key}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _in(one, f"{name} {number}")


def _shard(model: nn.Module) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    for module in list(model.modules()):
        if type(module).__name__ == "Qwen2DecoderLayer":
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _zero(stage: int) -> dict[str, Any]:
    """Nothing is kept or fetched beyond the layer that is at work, so that it shows what a pass itself gathers."""
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": False, "contiguous_gradients": True}
    if stage == 3:
        zero |= {
            "stage3_param_persistence_threshold": 0,
            "stage3_prefetch_bucket_size": 0,
            "stage3_max_reuse_distance": 0,
        }
    return {
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": zero,
    }


class Gathered:
    """Which parameters were gathered at the same time, when they were most."""

    def __init__(self, model: nn.Module) -> None:
        self.most: list[str] = []
        # A tied parameter has one name here.
        self._parameters = dict(model.named_parameters())
        for module in model.modules():
            module.register_forward_pre_hook(self._look)
        self._receive = receive = SampleGradients.receive

        def looking(engine: SampleGradients, *args: Any) -> None:
            self._look()
            receive(engine, *args)

        SampleGradients.receive = looking  # type: ignore[method-assign]

    def close(self) -> None:
        SampleGradients.receive = self._receive  # type: ignore[method-assign]

    def now(self) -> list[str]:
        return [name for name, p in self._parameters.items() if p.ds_status.name == "AVAILABLE"]  # type: ignore[attr-defined]

    def _look(self, *_: Any) -> None:
        self.most = max(self.most, self.now(), key=len)


def measure(stack: Stack) -> dict[str, Any]:
    """Return gradients and moments, and what the pass did to the buffers."""
    rank = dist.get_rank()
    before = stack.buffers()
    gathered = Gathered(stack.model) if stack.strategy == "zero3" else None
    # Other numbers of chunks on the ranks.
    gradients.CHUNK_ELEMENTS = 100 if rank else 2**26
    chosen = MEASURED[rank]
    with untouched(stack.model, backward=True):
        engine = SampleGradients(stack.model)
        found = [torch.full((len(chosen), size), torch.nan) for size in engine.elements]
        read = read_moments(stack.optimizer, trainable(stack.model))
        moments = []

        def keep(parameter: int, chunk: slice, gradient: torch.Tensor) -> None:
            if chunk.start == 0:
                own = read(parameter)
                assert own.first is not None
                assert own.second is not None
                moments.append((parameter, own.first.clone(), own.second.clone(), own.steps))
            found[parameter][chunk] = gradient

        batch = rows().batch(chosen)
        shape = tuple(batch["labels"].shape)
        engine.run(lambda: mean_losses(stack.model, batch).sum(), shape, len(chosen), keep)  # type: ignore[arg-type]
    moments.sort(key=lambda one: one[0])
    left = None if gathered is None else gathered.now()
    if gathered is not None:
        gathered.close()
    return {
        "gradients": torch.cat(found, 1),
        "first": torch.cat([one[1] for one in moments]),
        "second": torch.cat([one[2] for one in moments]),
        "steps": {one[3] for one in moments},
        "touched": sorted(key for key, digest in stack.buffers().items() if before.get(key) != digest),
        "watched": len(before),
        "gathered": None if gathered is None else gathered.most,
        "left": left,
    }


def trained(strategy: str, kind: str, *, measured: bool) -> dict[str, Any]:
    stack = Stack(strategy, MODELS[kind]())
    stack.model.train()
    for number in (0, 1):
        stack.backward(number)
        stack.tell()
    stack.step()
    stack.backward(2)
    found = measure(stack) if measured else {}
    stack.tell()
    stack.backward(3)
    stack.tell()
    stack.step()
    # DeepSpeed numbers parameters through a process's life, which makes other names.
    return found | {"after": list(stack.buffers().values())}


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    import deepspeed

    deepspeed.init_distributed("gloo")
    for strategy in STRATEGIES:
        for kind in MODELS:
            try:
                found = trained(strategy, kind, measured=True)
                found["unmeasured"] = trained(strategy, kind, measured=False)["after"]
            except Exception as error:  # the others have tests of their own
                import traceback

                found = {"error": f"{error}\n{traceback.format_exc()}"}
            torch.save(found, folder / f"{strategy}-{kind}-{dist.get_rank()}.pt")
    dist.destroy_process_group()
    leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
