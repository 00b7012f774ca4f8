"""Checks on a node as the trainings get one: its GPUs, and the libraries that their settings need there.

Whatever a training would do without instead of failing, an attention it was not asked for, is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.errors import UserError, one_line
from dataflex.host.attention import NAME, mend_flash_attention
from dataflex.host.capabilities import FLASH_ATTENTION, has_flash_attention
from dataflex.preflight.machine import gpus
from dataflex.preflight.report import Finding, conclude


def check_devices(
    file: Path, output: Path, asked: int, *, experiment: str | None, scale: str | None
) -> list[Finding]:
    """Look at the node that this runs on; writes a report and, if nothing failed, the JSON file.

    Args:
        file: the grid.
        output: the JSON file.
        asked: GPUs that this job has asked for.
        experiment: whose trainings are to run on such nodes.
        scale: theirs.

    Raises:
        UserError: something failed, or the grid has no such trainings.
    """
    grid = grids.load(file)
    if experiment is None or scale is None:
        raise UserError("--devices looks at what some trainings need: give --experiment and --scale")
    cells = [cell for cell in grids.cells(grid, experiments=[experiment]) if cell.scale == scale]
    if not cells:
        scales = ", ".join(grid["experiments"][experiment]["scales"])
        raise UserError(f"no scale is called {scale!r}; there are {scales}")
    configs = [grids.settings(grid, cell) for cell in cells]
    findings = [gpus(asked)]
    if findings[0].state == "passed":
        findings.append(memory(grid.get("preflight", {}).get("gpu_memory_gb")))
    findings += libraries(configs, asked)
    if asked and all(finding.state != "failed" for finding in findings):
        fa2 = any(config.get("flash_attn") == "fa2" for config in configs)
        bf16 = any(config.get("bf16") for config in configs)
        findings.append(step(NAME if fa2 else None, "cuda", "bfloat16" if bf16 else "float32"))
    conclude(f"the devices of {experiment}.{scale}", findings, output)
    return findings


def memory(needed: float | None) -> Finding:
    """Whether the smallest visible GPU has the memory that the grid asks for."""
    import torch

    found = min(
        torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())
    )
    told = f"{found / 1e9:.1f} GB a GPU"
    if needed is None:
        return Finding("GPU memory", "skipped", f"{told}; the grid asks for no size (gpu_memory_gb)")
    if found / 1e9 < needed:
        return Finding(
            "GPU memory",
            "failed",
            f"{told}, {needed:g} needed: ask for larger ones with `constraint` or another partition in the "
            "profile, or train smaller batches with more gradient_accumulation_steps in the grid",
        )
    return Finding("GPU memory", "passed", f"{told}, {needed:g} needed")


def libraries(configs: Iterable[Mapping[str, Any]], asked: int) -> list[Finding]:
    """Whether bf16, nccl, FlashAttention and DeepSpeed are there, as far as the trainings use them."""
    import torch

    configs, found = list(configs), []
    if asked and any(config.get("bf16") for config in configs):
        there = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        told = "these GPUs compute in it" if there else "take GPUs of compute capability 8.0 or later"
        found.append(Finding("bf16", "passed" if there else "failed", told))
    if asked:
        there = torch.distributed.is_available() and torch.distributed.is_nccl_available()
        told = "torch has it" if there else "install a torch that was built with it"
        found.append(Finding("nccl", "passed" if there else "failed", told))
    if any(config.get("flash_attn") == "fa2" for config in configs):
        there = has_flash_attention()
        told = "flash_attn can be used" if there else FLASH_ATTENTION
        found.append(Finding("FlashAttention-2", "passed" if there else "failed", told))
    if any(config.get("deepspeed") for config in configs):
        there = find_spec("deepspeed") is not None
        told = "it can be imported" if there else "install it: pip install -e '.[deepspeed]'"
        found.append(Finding("DeepSpeed", "passed" if there else "failed", told))
    return found


def step(attention: str | None, device: str, dtype: str) -> Finding:
    """Whether a small model gets a gradient there: kernels that are installed may still not run.

    Args:
        attention: as transformers names it; None: its own choice.
        device: where the model lies.
        dtype: of its weights, as torch names it.
    """
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
    )
    if attention == NAME:
        mend_flash_attention()
    try:
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention, dtype=getattr(torch, dtype)
        ).to(device)
        ids = torch.randint(512, (2, 128), device=device)
        model(input_ids=ids, labels=ids).loss.backward()
        finite = all(bool(one.grad.isfinite().all()) for one in model.parameters())
    except Exception as error:  # whatever it is, a training would end in it
        return Finding("a step", "failed", f"a model of two layers can't be trained: {one_line(error)[:300]}")
    told = f"a model of two layers in {dtype}, attention {model.config._attn_implementation}"
    if not finite:
        return Finding("a step", "failed", f"{told}: its gradient is not finite")
    return Finding("a step", "passed", told)
