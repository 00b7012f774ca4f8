"""Collective operations between two real processes."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from dataflex.collectives import on_first_rank
from dataflex.errors import UserError
from dataflex.signals.rollouts import Sampling, sample_rollouts

SAMPLING = Sampling(continuations=3, temperature=1.2, top_p=0.95, top_k=50, max_new_tokens=8)
# Ends that come early, so that the ranks' continuations finish at different times.
ENDS = list(range(0, 400, 3))


def numbers(failure: Exception | None) -> Any:
    def function() -> Any:
        if not dist.is_initialized() or dist.get_rank() == 0:
            if failure is not None:
                raise failure
            return np.array([0.5, 2.0, -1e-30])
        raise AssertionError("called on rank 1")

    return function


class Sharded(torch.nn.Module):
    """Needs all ranks in every forward, as a model does whose weights lie on several of them."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Any:
        if dist.is_initialized():
            present = torch.tensor([123.0])
            dist.all_reduce(present)
            assert present.item() == 246
        return self.model(**inputs)


def sampled(model_folder: str) -> list[list[list[int]]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = Sharded(AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval())
    rows = [(list(range(3, 5 + 4 * i)), [-100] * (1 + 4 * i) + [7]) for i in range(1, 6)]
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    found = sample_rollouts(model, tokenizer, rows, SAMPLING, 3, 100, torch.device("cpu"), ENDS)
    return [[one.tolist() for one in row] for row in found.tokens]


def of_a_rank(rank: int, folder: str, model_folder: str) -> None:
    os.environ.update(HF_HUB_OFFLINE="1")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    told: dict[str, Any] = {"numbers": on_first_rank(numbers(None)).tolist()}
    for name, failure in {"user": UserError("is the sérver up?"), "bug": ValueError()}.items():
        try:
            on_first_rank(numbers(failure))
        except Exception as error:
            told[name] = f"{type(error).__name__}: {error}"
    told["after"] = on_first_rank(numbers(None)).tolist()
    told["tokens"] = sampled(model_folder)
    torch.save(told, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_on_one_process_the_function_is_just_called() -> None:
    assert on_first_rank(numbers(None)).tolist() == [0.5, 2.0, -1e-30]
    with pytest.raises(UserError, match="up"):
        on_first_rank(numbers(UserError("is it up?")))


@pytest.mark.slow
def test_two_ranks_agree_on_numbers_errors_and_continuations(tiny: Path, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(of_a_rank, (str(tmp_path), str(tiny / "model")), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for told in (first, second):
        assert told["numbers"] == told["after"] == [0.5, 2.0, -1e-30]
        assert told["user"] == "UserError: is the sérver up?"
        assert told["tokens"] == sampled(str(tiny / "model"))
    assert first["bug"] == "ValueError: "
    assert second["bug"] == "RuntimeError: rank 0 failed: ValueError"
