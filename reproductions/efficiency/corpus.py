"""Building a corpus: throughput by number of processes, memory, and reading rows of the result."""

from __future__ import annotations

import tempfile
from pathlib import Path

from efficiency.sides import Bench, Report, console, library
from efficiency.text import generate


def run(
    sources: list[Path],
    tokenizer: str,
    output: Path,
    *,
    gigabytes: float,
    workers: list[int],
    repeats: int = 1,
    budget: float = 0.25,
    folder: Path | None = None,
) -> Report:
    """Generate a corpus, build it, and write ``corpus.json``.

    Args:
        sources: real text in SlimPajama's schema, whose words are drawn.
        tokenizer: folder of a fast tokenizer.
        output: folder of the results.
        gigabytes: of text.
        workers: numbers of processes.
        repeats: builds of each.
        budget: share of the tokens that a subset takes.
        folder: for the corpus and what is built from it; none takes the system's own for such files.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        # Workers start elsewhere.
        here = Path(name).resolve()
        text = here / "text"
        with console.status("generating text"):
            size = generate(sources, text, round(gigabytes * 1e9))
        files = sum(path.stat().st_size for path in text.iterdir())
        about = {
            "bytes": size,
            "compressed_bytes": files,
            "tokenizer": Path(tokenizer).name,
            "budget": budget,
        }
        report = Report("corpus", about)
        bench = Bench(report, here, 1, "corpus")
        options = {
            "text": str(text),
            "tokenizer": str(Path(tokenizer).resolve()),
            "built": str(here / "built"),
            "budget": str(budget),
        }
        bench.time(library(), {"reading": repeats}, {"workers": 1}, options=options)
        for turn in range(repeats):
            for count in workers if turn % 2 == 0 else reversed(workers):
                # One build a process: its peak memory is that of its children.
                own = options | {"workers": str(count)}
                bench.time(library(), {"build": 1}, {"workers": count}, options=own)
        bench.time(library(), {"subset": repeats, "rows": repeats}, {"workers": max(workers)}, options=own)
    report.write(output / "corpus.json")
    return report
