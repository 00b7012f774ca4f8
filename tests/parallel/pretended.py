"""A device that no machine lacks: its tensors lie in this process's memory, and mix with those of the CPU no
more than a GPU's do.

``start()`` makes ``torch.device("pretended")`` known. What such a tensor computes is computed by the CPU, so that
a run on it must equal a run on the CPU to the last bit; but an operation that takes tensors of both raises where
CUDA's would (numbers without a dimension and indices of the CPU are taken), and ``.numpy()`` is refused. So a batch, an index or a mask that was left behind is found where there is
no GPU. What it can't find: kernels of a GPU that round otherwise, streams, pinned memory, other precisions.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
TRANSFERS = {"aten::copy_", "aten::_to_copy", "aten::_copy_from", "aten::_copy_from_and_resize"}
INDEXED = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
"""May take indices of the CPU's, if what is indexed lies on the device: as CUDA's do."""


class Pretended(torch.Tensor):
    """A tensor of the device; ``host`` is the CPU's tensor that it wraps."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor) -> Pretended:
        laid = {}
        if host.layout is torch.strided:
            laid = {"strides": host.stride(), "storage_offset": host.storage_offset()}
        wrapped = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, host.size(), dtype=host.dtype, device=torch.device(NAME, 0), **laid
        )
        wrapped.host = host
        return wrapped  # type: ignore[no-any-return]

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"can't convert {NAME} device type tensor to numpy: use Tensor.cpu() first")

    def tolist(self) -> Any:
        return self.host.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        """Return that of ``host``, by which files tell which tensors are shared."""
        return self.host.untyped_storage()

    def data_ptr(self) -> int:
        return self.host.data_ptr()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A file holds the CPU's tensor; what loads it moves it to where it is needed."""
        return self.host.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Pretended({self.host!r})"

    @classmethod
    def __torch_dispatch__(
        cls, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(op, args, kwargs or {})


class Module:
    """What PyTorch and its users ask of ``torch.cuda``, and so of ``torch.pretended``."""

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """All numbers are drawn by the CPU."""

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def start() -> None:
    """Make the device known to PyTorch, have trainers train on it, and models keep what their layers share."""
    os.environ["ACCELERATE_TORCH_DEVICE"] = f"{NAME}:0"
    _setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    makes = torch.library.Library("_", "IMPL")
    makes.fallback(lambda op, *args, **kwargs: _computed(op, args, kwargs), "PrivateUse1")
    # PyTorch itself copies with `__torch_dispatch__` switched off, as in torch.tensor(..., device=...).
    copies = torch.library.Library("aten", "IMPL")
    copies.impl(
        "copy_", lambda *args, **kwargs: _computed(torch.ops.aten.copy_.default, args, kwargs), "PrivateUse1"
    )
    _kept.extend((makes, copies))
    load = torch.load
    # Files are read into the CPU's memory: PyTorch knows no way to bring a whole storage here.
    torch.load = lambda *args, **kwargs: load(*args, **{**kwargs, "map_location": "cpu"})
    # Else a parameter that two layers share would become two.
    torch.__future__.set_swap_module_params_on_conversion(True)


_kept: list[torch.library.Library] = []
"""A library's kernels go with it."""


def _computed(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    name = op._schema.name
    if name not in TRANSFERS:
        _refuse_a_mixture(name, given)
    there = any(isinstance(value, Pretended) for value in given)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner, options = tree_map(_host, args), tree_map(_host, kwargs)
    if name == "aten::histc" and not inner[0].is_floating_point():
        # A GPU counts integers, too.
        found = op(inner[0].float(), *inner[1:], **options).to(inner[0].dtype)
    else:
        found = op(*inner, **options)
    # What an operation in place returns is what it was given.
    same = {id(_host(value)): value for value in given}

    def wrapped(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return same[id(value)] if id(value) in same else Pretended(value) if there else value
        return value

    return tree_map(wrapped, found)


def _host(value: Any) -> Any:
    return value.host if isinstance(value, Pretended) else value


def _refuse_a_mixture(name: str, given: list[torch.Tensor]) -> None:
    bound = given
    if name in INDEXED and isinstance(given[0], Pretended):
        bound = given[-1:] if "put" in name else []
    left_behind = any(value.dim() > 0 and not isinstance(value, Pretended) for value in bound)
    if left_behind and any(isinstance(value, Pretended) for value in given):
        places = [f"{value.device.type} {tuple(value.shape)}" for value in given]
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but got {places}")
