"""Taking results into the store: checked like code before they are reviewed like code."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence import answers, coherence, consistency, digests, reference
from dataflex.evidence.agreement import Trouble
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store.identity import result_id
from dataflex.evidence.store.schema import misfits

Asked = Callable[[CellResult], coherence.Settings | None]


def troubles(results: Sequence[CellResult], asked: Asked | None = None) -> Iterator[Trouble]:
    """Yield a cell and a sentence for each reason not to trust the cells of a rung.

    Their form, whether summaries follow from outcomes, and whether the cells fit each other and their grid
    (see ``coherence.troubles`` for ``asked``).
    """
    sound = []
    for result in results:
        odd = list(misfits(result))
        yield from ((result, sentence) for sentence in odd)
        if odd:
            continue
        sound.append(result)
        yield from ((result, sentence) for sentence in consistency.contradictions(result))
    yield from coherence.troubles(sound, asked, answers.read())


def add(
    source: Path,
    target: Path,
    *,
    replace: bool = False,
    reference_file: Path | None = None,
    measured_on: str = "",
    asked: Asked | None = None,
) -> list[CellResult]:
    """Copy the cells of a results folder to a rung of the store, and record digests.

    Args:
        source: folder of results, as a grid leaves it.
        target: the rung's folder in the store.
        replace: whether the rung becomes these cells alone; else they are added, and a cell that is there
            already must be the same.
        reference_file: written anew from all cells of the rung, with tolerances over its seeds; None where
            the rung has one seed.
        measured_on: what the reference numbers were measured on, in a few words.
        asked: the settings that the rung's grid renders for a cell.

    Returns:
        The cells that were copied.

    Raises:
        UserError: a cell is not to be trusted, or another one is there in its place; ``reference_file`` is
            there and holds other things.
    """
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise UserError(
            f"{source} and {target} lie in each other: results are added from the folder of a grid"
        )
    if reference_file:
        reference.require_own(reference_file)
    new = read_results(source)
    old = [] if replace or not target.exists() else read_results(target)
    there = {(*result.key, result.seed): result for result in old}
    copied = []
    for result in new:
        before = there.get((*result.key, result.seed))
        if before is None:
            copied.append(result)
        elif result_id(before) != result_id(result):
            raise UserError(
                f"{before.folder} is another result of the same cell: remove it first, in a commit that says "
                "why, or put the whole rung anew with --replace"
            )
    for result, sentence in troubles([*old, *copied], asked):
        raise UserError(f"{result.folder}: {sentence}")
    references = reference.measure([*old, *copied], measured_on) if reference_file else []
    if replace and target.exists():
        shutil.rmtree(target)
    for result in copied:
        folder = target / result.folder.relative_to(source)
        folder.mkdir(parents=True)
        for name in result.files:
            shutil.copyfile(result.folder / name, folder / name)
    digests.write(target)
    if reference_file:
        reference.write(references, reference_file)
    return copied
