"""Turn a study's results into reviewed ones: measure the reference numbers and record the digests.

Run it on purpose, look at the difference in git, and have it reviewed like code.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence import digests, reference
from dataflex.evidence.consistency import contradictions
from dataflex.evidence.results import read_results


def review(study: Path, target: Path, reference_file: Path | None, source: str) -> int:
    """Copy a study's result files to ``target``, measure its reference numbers, return the number of cells.

    No numbers are measured without a ``reference_file``: cells of one seed have no tolerance.

    Raises:
        UserError: a cell is malformed, contradicts its own outcomes, or has too few seeds.
    """
    results = read_results(study)
    for result in results:
        for sentence in contradictions(result):
            raise UserError(f"{result.folder}: {sentence}")
    references = reference.measure(results, source) if reference_file else []
    if target.exists():
        shutil.rmtree(target)
    for result in results:
        folder = target / result.folder.relative_to(study)
        folder.mkdir(parents=True)
        for name in result.files:
            shutil.copyfile(result.folder / name, folder / name)
    digests.write(target)
    if reference_file:
        reference.write(references, reference_file)
    return len(results)


def main() -> None:
    """Command line: ``review.py STUDY/results --target results/demo [--reference CSV --source TEXT]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="CSV to write; left out where cells have one seed")
    parser.add_argument("--source", help="what the numbers were measured on, in a few words")
    arguments = parser.parse_args()
    if (arguments.reference is None) != (arguments.source is None):
        parser.error("--reference and --source belong together")
    try:
        cells = review(arguments.study, arguments.target, arguments.reference, arguments.source or "")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    numbers = (
        f"reference numbers written to {arguments.reference}"
        if arguments.reference
        else "no reference numbers measured"
    )
    print(f"{cells} cells copied to {arguments.target}; {numbers}")


if __name__ == "__main__":
    main()
