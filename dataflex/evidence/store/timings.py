"""Timings in the store: seconds on one machine that no other repeats, in files that are reviewed alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from dataflex.errors import UserError
from dataflex.evidence import digests
from dataflex.evidence.results import read_json

SCHEMA = Path(__file__).with_name("timings.yaml")


def misfits(folder: Path) -> Iterator[str]:
    """Yield a sentence for each benchmark's file that does not have its form.

    Raises:
        UserError: the folder holds none.
    """
    from jsonschema import Draft202012Validator  # slow to import, and seldom needed

    validator = Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder} holds no timings: run make efficiency MEASURED={folder}")
    for file in files:
        content = read_json(file)
        wrong = next(validator.iter_errors(content), None)
        if wrong is not None:
            place = "/".join(str(part) for part in wrong.absolute_path)
            yield f"{file.name}{f', {place}' if place else ''}: {wrong.message}"
            continue
        if file.stem.partition("-")[0] != content["benchmark"]:
            yield f"{file.name} holds the benchmark {content['benchmark']!r}"
        sides = {measured["side"] for measured in (*content["runs"], *content["memory"])}
        for side in sorted(sides - content["environments"].keys()):
            yield f"{file.name}: nobody knows on what {side!r} was measured"


def troubles(folder: Path) -> Iterator[str]:
    """Yield a sentence for each reason not to trust reviewed timings: their digests and their form.

    Raises:
        UserError: they have no digests, or there are none.
    """
    for name in digests.changed(folder):
        yield f"{name}: differs from its recorded digest"
    yield from misfits(folder)


def seal(folder: Path) -> int:
    """Record the digests of timings whose form is right; how many benchmarks there are.

    Raises:
        UserError: one has another form.
    """
    for sentence in misfits(folder):
        raise UserError(f"{folder}: {sentence}")
    digests.write(folder)
    return len(list(folder.glob("*.json")))
