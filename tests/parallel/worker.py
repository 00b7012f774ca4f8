"""Trains configurations one after the other in the processes that torchrun started, and keeps what each rank saw.

    python -m tests.parallel.worker JOBS.json

The file holds ``{"strategy": ..., "device": ..., "jobs": {name: configuration}}``. Processes are started once for all jobs,
because loading the libraries takes longer than a run of a few steps.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    DISABLE_VERSION_CHECK="1",
    LLAMAFACTORY_VERBOSITY="WARN",
)

import torch.distributed as dist
from safetensors.torch import save_file


def shard_with_fsdp2() -> None:
    """Let the Trainer shard its model with FSDP2, which accelerate's launcher does on GPUs only."""
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType
    from transformers import Trainer

    create = Trainer.create_accelerator_and_postprocess

    def forced(self: Any) -> None:
        create(self)
        blocks = {type(module).__name__ for module in self.model.modules()}
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="TRANSFORMER_BASED_WRAP",
            transformer_cls_names_to_wrap=sorted(name for name in blocks if name.endswith("DecoderLayer")),
            state_dict_type="FULL_STATE_DICT",
            cpu_ram_efficient_loading=False,
            reshard_after_forward=True,
        )
        shared = self.accelerator.state._shared_state
        shared.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
        self.is_fsdp_enabled = True

    def save(self: Any, output_dir: str | None = None, **_: Any) -> None:
        folder = Path(output_dir or self.args.output_dir)
        parts = self.model.state_dict().items()
        weights = {name: part.full_tensor() if hasattr(part, "full_tensor") else part for name, part in parts}
        if not self.args.should_save:
            return
        if hasattr(self.model, "peft_config"):
            from peft import get_peft_model_state_dict

            adapter = get_peft_model_state_dict(self.model, weights)
            self.model.peft_config["default"].save_pretrained(folder)
            save_file(
                {key: part.contiguous() for key, part in adapter.items()},
                folder / "adapter_model.safetensors",
            )
            return
        # Fused experts are taken apart again, as in a model's own file.
        self.model.save_pretrained(folder, state_dict=weights)

    # Its own way does not come to an end on CPUs.
    Trainer.save_model = save  # type: ignore[method-assign]
    Trainer.create_accelerator_and_postprocess = forced  # type: ignore[method-assign]


def keep_journals() -> list[dict[str, Any]]:
    """Return a list that gets every line of plan log and ledger, on ranks that write no file too.

    And whether a reference model beside the one in training is partitioned.
    """
    from dataflex.engine.journal import Journal

    lines: list[dict[str, Any]] = []
    append = Journal.append

    def kept(self: Journal, record: dict[str, Any]) -> None:
        lines.append(record)
        append(self, record)

    Journal.append = kept  # type: ignore[method-assign]

    from dataflex.signals.reference import LiveReference

    create = LiveReference.__init__

    def created(self: LiveReference, model: Any) -> None:
        create(self, model)
        lines.append({"reference_in_parts": all(hasattr(p, "ds_numel") for p in model.parameters())})

    LiveReference.__init__ = created  # type: ignore[method-assign]
    return lines


def main(file: Path) -> None:
    given = json.loads(file.read_text())
    rank = int(os.environ.get("RANK", "0"))
    if given["device"] == "pretended":
        from . import pretended

        pretended.start()
    from dataflex.host.leaving import leave
    from dataflex.host.prepare import check
    from dataflex.host.train import train

    if (given["strategy"], given["device"]) == ("fsdp2", "cpu"):
        shard_with_fsdp2()
    if given["strategy"].startswith("zero") and given["device"] == "cpu":
        # Here `use_cpu` is not said, and without it bf16 is asked of a GPU.
        from transformers import training_args

        training_args.is_torch_bf16_gpu_available = lambda: True  # type: ignore[assignment]
    lines = keep_journals()
    destroy, dist.destroy_process_group = dist.destroy_process_group, lambda: None
    for name, config in given["jobs"].items():
        lines.clear()
        seen = file.parent / f"{name}.rank{rank}.json"
        try:
            train(check(config))
            seen.write_text(json.dumps(lines))
        except Exception:  # the other jobs have their own tests
            seen.with_suffix(".error").write_text(traceback.format_exc())
    if dist.is_initialized():
        destroy()
    leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
