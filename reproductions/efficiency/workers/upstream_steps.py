"""Training with upstream's dataflex, unmodified, as its command line runs it, in upstream's environment."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from efficiency.workers.gate import serve


def train(config: dict[str, Any]) -> None:
    """Train as configured, with the changes to LLaMA-Factory that upstream makes before it."""
    # By name: where types are checked, dataflex is this library.
    cli: Any = import_module("dataflex.cli")
    kind = config["train_type"]
    cli.patch_finetune_params()
    cli.patch_trainer(kind)
    if kind == "dynamic_mix":
        cli.patch_get_dataset()
    # Imported after them, since it takes over what they have put in place.
    from llamafactory.train.tuner import run_exp

    run_exp(config)


if __name__ == "__main__":
    serve(train)
