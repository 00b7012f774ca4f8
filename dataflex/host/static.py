"""``train_type: static``: LLaMA-Factory itself, untouched, with an account of the run beside its files."""

from __future__ import annotations

import time

from dataflex.config import split
from dataflex.evidence.manifest import Manifest
from dataflex.host.prepare import Checked


def train(checked: Checked) -> None:
    """Hand LLaMA-Factory its own keys, unchanged, and record configuration, versions, data and time."""
    from llamafactory.train.tuner import run_exp

    started = time.monotonic()
    writes = checked.args.training.should_save
    manifest = Manifest.of(checked.config, checked.files, facts=None, decisions={})
    run_exp(split(checked.config)[1])
    if writes:
        manifest.start(checked.output_dir)
        manifest.complete(checked.output_dir, wall_seconds=time.monotonic() - started)
