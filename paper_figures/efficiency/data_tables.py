"""Tables of building a corpus and of drawing from it."""

from __future__ import annotations

from collections.abc import Callable

from paper_figures.efficiency.results import Record, Results, Spread, short
from paper_figures.table import Table


def _over(results: Results, variant: str, case: Record, value: Callable[[Record], float]) -> str:
    spread = Spread.of(map(value, results.runs("library", variant, case)))
    return "-" if spread is None else str(spread)


def corpus_table(results: Results) -> Table:
    """Throughput of the build by number of processes."""
    about = results.about
    rows = []
    read: str | None = None
    one: float | None = None
    for case in results.cases():
        if results.runs("library", "reading", case):
            read = _over(results, "reading", case, lambda run: about["bytes"] / run["seconds"] / 1e6)
        built = results.runs("library", "build", case)
        if not built:
            continue
        seconds = results.seconds("library", "build", case)
        assert seconds is not None
        if case["workers"] == 1:
            one = seconds.median
        rows.append(
            [
                str(case["workers"]),
                str(seconds),
                _over(results, "build", case, lambda run: run["bytes"] / run["seconds"] / 1e6),
                _over(results, "build", case, lambda run: run["tokens"] / run["seconds"] / 1e6),
                "-" if one is None else short(one / seconds.median),
                f"{max(run['worker_peak_mib'] for run in built):.0f}",
                f"{max(run['parent_peak_mib'] for run in built):.0f}",
            ]
        )
    notes = [
        f"{about['bytes'] / 1e9:.2f} GB of text ({about['compressed_bytes'] / 1e9:.2f} GB of .jsonl.zst): "
        f"words of real text, drawn anew; tokenizer {about['tokenizer']}.",
        f"Reading and parsing alone, one process: {read} MB/s.",
        "Peak memory is that of the largest process, the starting one beside it.",
    ]
    for case in results.cases():
        taken = results.runs("library", "subset", case)
        drawn = results.runs("library", "rows", case)
        if taken:
            speed = _over(results, "subset", case, lambda run: run["tokens"] / run["seconds"] / 1e6)
            notes.append(f"A subset of {taken[0]['tokens']:,} tokens: {speed} million tokens/s.")
        if drawn:
            time = _over(results, "rows", case, lambda run: run["row_microseconds"])
            opened = _over(results, "rows", case, lambda run: 1e3 * run["open_seconds"])
            notes.append(f"A row of 2,048 tokens at a random place: {time} µs; opening all: {opened} ms.")
    return Table(
        "corpus",
        "Building a corpus: throughput by number of processes",
        ("processes", "seconds", "MB/s", "million tokens/s", "faster", "MiB a process", "MiB beside"),
        rows,
        tuple(notes),
        results=[results.ids] * len(rows),
    )


def order_table(results: Results) -> Table:
    """Time of a step's rows by number of rows."""
    rows = [
        [
            f"{case['rows']:,}",
            *(
                _over(results, variant, case, lambda run, key=key: run[key])  # type: ignore[misc]
                for variant in ("step", "seek")
                for key in ("median_microseconds", "p99_microseconds")
            ),
        ]
        for case in results.cases()
    ]
    return Table(
        "order",
        f"A step of {results.about['batch']} rows at a random place, {results.about['domains']} domains: "
        "microseconds",
        ("rows", "draw, median", "draw, 99 %", "from a state, median", "from a state, 99 %"),
        rows,
        ("From a state: a new order is made from the JSON that a checkpoint holds, then draws.",),
        results=[results.ids] * len(rows),
    )
