"""What can't work with sharded models is refused before anything loads, with the key to change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments
from dataflex.host.capabilities import check_host, check_needs
from dataflex.host.resume import refuse_other_sharding
from dataflex.registry import components


def given(**training: Any) -> HostArguments:
    """The arguments that are looked at; a real parser would ask for several processes and for GPUs."""
    plain = {"deepspeed": None, "fsdp": [], "fsdp_config": {}, "fp16": False, "bf16": False}
    optim = SimpleNamespace(value="adamw_torch")
    data = SimpleNamespace(eval_dataset=["target"], neat_packing=False)
    finetuning = SimpleNamespace(stage="sft", use_dora=False)
    return HostArguments(None, data, SimpleNamespace(**plain | {"optim": optim} | training), finetuning, None)


FSDP1 = {"fsdp": ["full_shard"]}
FSDP2 = {"fsdp": ["full_shard"], "fsdp_config": {"version": 2}}


@pytest.mark.parametrize(
    ("params", "training", "message"),
    [
        ({}, FSDP1, r"flat parameters of fsdp version 1 .* say fsdp_config: \{version: 2\}"),
        ({"checkpoints": ["a"]}, FSDP2, "remove checkpoints, or the key deepspeed or fsdp"),
        ({"checkpoints": ["a"]}, {"deepspeed": "zero1.json"}, "remove checkpoints"),
    ],
)
def test_less_is_refused(params: dict[str, Any], training: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"component 'less' .*{message}"):
        check_needs("less", components()["select"]["less"](**params), given(**training))


@pytest.mark.parametrize("training", [FSDP2, {"deepspeed": "zero3.json"}, {}])
def test_less_is_offered(training: dict[str, Any]) -> None:
    check_needs("less", components()["select"]["less"](), given(**training))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tensor_parallel": {"autotp_size": 2}}, "tensor or sequence parallelism"),
        ({"sequence_parallel_size": 2}, "tensor or sequence parallelism"),
    ],
)
def test_ranks_that_share_samples_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_host(host(use_cpu=False, hf_deepspeed_config=SimpleNamespace(config=config)))


def test_deepspeed_beside_use_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="use_cpu: true beside deepspeed"):
        check_host(host(use_cpu=True, hf_deepspeed_config=SimpleNamespace(config={})))


def host(**training: Any) -> HostArguments:
    """Plain arguments of a run under DeepSpeed, with changes to those of the Trainer."""
    accelerator = SimpleNamespace(split_batches=False, dispatch_batches=None)
    plain = {
        "do_train": True,
        "deepspeed": "zero.json",
        "label_smoothing_factor": 0,
        "accelerator_config": accelerator,
        "auto_find_batch_size": False,
        "average_tokens_across_devices": True,
        "train_sampling_strategy": "random",
    }
    off = dict.fromkeys(("enable_liger_kernel", "use_unsloth", "use_kt"), False)
    model = SimpleNamespace(**off, moe_aux_loss_coef=None)
    data = SimpleNamespace(
        streaming=False,
        tokenized_path=None,
        mix_strategy="concat",
        val_size=0,
        ignore_pad_token_for_loss=True,
    )
    switches = (
        "use_dft_loss",
        "use_eaft_loss",
        "use_asft_loss",
        "use_mca",
        "use_hyper_parallel",
        "include_effective_tokens_per_second",
        "disable_shuffling",
    )
    finetuning = SimpleNamespace(stage="sft", **dict.fromkeys(switches, False))
    return HostArguments(model, data, SimpleNamespace(**plain | training), finetuning, None)


@pytest.mark.parametrize(
    ("files", "deepspeed", "ranks", "message"),
    [
        (["zero_pp_rank_0_mp_rank_00_optim_states.pt"], "z.json", 2, "on 1 processes, .* on 2, can't read"),
        (["mp_rank_00_model_states.pt"], None, 1, "saved with deepspeed, this run is without"),
        ([], "z.json", 2, "saved without deepspeed, this run is with it"),
        (["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], "z.json", 1, None),
        ([], None, 3, None),
    ],
)
def test_checkpoints_that_deepspeed_would_not_read(
    tmp_path: Path, files: list[str], deepspeed: str | None, ranks: int, message: str | None
) -> None:
    for name in files:
        (tmp_path / "global_step4").mkdir(exist_ok=True)
        (tmp_path / "global_step4" / name).touch()
    training = SimpleNamespace(deepspeed=deepspeed, fsdp=[], world_size=ranks)
    if message is None:
        refuse_other_sharding(tmp_path, training)
        return
    with pytest.raises(UserError, match=message):
        refuse_other_sharding(tmp_path, training)
