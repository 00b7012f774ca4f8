"""LLaMA-Factory's own training, and this library's, as their command lines run them."""

from __future__ import annotations

from typing import Any

from efficiency.workers.gate import serve


def train(config: dict[str, Any]) -> None:
    """Train as configured; without ``train_type`` the run is LLaMA-Factory's alone."""
    if "train_type" not in config:
        from llamafactory.train.tuner import run_exp

        run_exp(config)
        return
    from dataflex.host.prepare import check
    from dataflex.host.train import train as train_dynamic

    train_dynamic(check(config))


if __name__ == "__main__":
    serve(train)
