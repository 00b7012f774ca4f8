"""What all benchmarks have in common: ratios and their limits, peak memory, where they ran, all numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from paper_figures.efficiency.results import POOL_ORDER, Record, Results, Spread, short
from paper_figures.table import COLUMN, Table

TARGETS = {"exact": 1.1, "projected": 1.3, "losses": 0.9, "library": 1.0}
"""What a pass of this library may cost, in plain passes."""
BESIDE = {POOL_ORDER: "plain, pool order", "plain forward": "plain forward, pool order"}
"""What tables call a yardstick, where its name doesn't say all."""


def _title(results: Results) -> str:
    model = results.about.get("model")
    return f"{results.benchmark}, {model}" if model else str(results.benchmark)


def _case(case: Record) -> str:
    return ", ".join(f"{key} {value}" for key, value in case.items()) or "-"


def targets(every: Sequence[Results]) -> Table:
    """Ratios to the plain pass, beside what they may be."""
    rows, sources = [], []
    for results in every:
        for case in results.cases():
            for side, variant in results.variants(case):
                ratio = results.ratio(side, variant, case)
                if ratio is None:
                    continue
                target = TARGETS.get(variant) if side == "library" else None
                against = results.baseline(side, variant, case) or ""
                sources.append(results.ids)
                worked = results.ratio(side, variant, case, "cpu_seconds")
                rows.append(
                    [
                        f"{_title(results)}: {variant}",
                        _case(case),
                        BESIDE.get(against, against),
                        str(ratio),
                        short(worked.median) if worked else "-",
                        "-" if target is None else f"{target}",
                        _met(ratio, target, against),
                    ]
                )
    return Table(
        "targets",
        "Cost as a multiple of the plain pass over the same rows in the same process",
        ("what", "case", "beside", "ratio of time", "of processor time", "at most", "met"),
        rows,
        (
            "A ratio is median [least to largest] over rounds; both sides of it took turns.",
            "n=1 without a range: one pass in a process of its own, divided by the median plain pass.",
            "By length: in the batches of ours. In pool order rows of any length lie in a batch, which pads "
            "more: a ratio to passes in pool order is open where it is below its limit.",
        ),
        results=sources,
    )


def _met(ratio: Spread, target: float | None, against: str) -> str:
    """Return whether a ratio keeps its limit; beside passes that pad more a small one says little."""
    if target is None:
        return "-"
    if ratio.median > target:
        return "no"
    return "open" if against == POOL_ORDER else "yes"


def memory(every: Sequence[Results]) -> Table:
    """Peak memory of passes that had a process of their own."""
    rows, sources = [], []
    for results in every:
        for case in results.cases():
            for side, variant in results.variants(case):
                peak = results.peak(side, variant, case)
                if peak is None:
                    continue
                sources.append(results.ids)
                before, most = peak["before_mib"], peak["peak_mib"]
                numbers = [f"{most:.0f}", f"{before:.0f}", f"{most - before:.0f}"]
                rows.append([f"{_title(results)}: {side}, {variant}", _case(case), *numbers])
    return Table(
        "memory",
        "Peak memory in MiB, each in a process of its own",
        ("what", "case", "peak", "before", "more"),
        rows,
        ("Before: with model and data loaded. On a GPU the memory of the GPU, else of the process.",),
        results=sources,
    )


def environments(every: Sequence[Results]) -> str:
    """Markdown that says where everything was measured, and what went wrong there."""
    lines = ["**Where it was measured**", ""]
    seen = []
    for results in every:
        for side, found in results.environments.items():
            packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
            line = (
                f"- {side}: {found['processor']}, {found['cores']} cores, {found['threads']} threads, "
                f"{found['memory_gib']} GiB, GPU: {found['gpu'] or 'none'}; "
                f"Python {found['python']}, {packages}"
            )
            if line not in seen:
                seen.append(line)
        for failure in results.failures:
            seen.append(
                f"- failed: {results.name}, {failure['variants']} {failure['case']}: {failure['error']}"
            )
        agreement = results.about.get("rank_correlations", {})
        for what, value in agreement.items():
            seen.append(f"- {_title(results)}: rank correlation of scores, {what}: {value:.4f}")
        if "largest_difference" in results.about:
            difference = results.about["largest_difference"]
            seen.append(f"- {_title(results)}: largest difference from upstream's losses: {difference:.1e}")
    return "\n".join(lines + seen) + "\n"


def measurements(every: Sequence[Results]) -> str:
    """CSV of every number, a line a side and variant in each case."""
    header = ["benchmark", "case", "side", "variant", "n"]
    header += [f"seconds_{kind}" for kind in ("median", "min", "max")]
    header += [f"ratio_{kind}" for kind in ("median", "min", "max")]
    header += ["cpu_ratio_median", "beside", "before_mib", "peak_mib", "recall", COLUMN]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for results in every:
        for case in results.cases():
            for side, variant in results.variants(case):
                writer.writerow([*_line(results, case, side, variant), " ".join(results.ids)])
    return stream.getvalue()


def _line(results: Results, case: Record, side: str, variant: str) -> list[object]:
    seconds = results.seconds(side, variant, case)
    assert seconds is not None
    ratio, worked = results.ratio(side, variant, case), results.ratio(side, variant, case, "cpu_seconds")
    peak = results.peak(side, variant, case)
    line: list[object] = [results.name, _case(case), side, variant, seconds.n]
    line += [f"{value:.4f}" for value in (seconds.median, seconds.least, seconds.most)]
    line += [f"{v:.4f}" for v in (ratio.median, ratio.least, ratio.most)] if ratio else ["", "", ""]
    line.append(f"{worked.median:.4f}" if worked else "")
    against = results.baseline(side, variant, case) or ""
    line.append(BESIDE.get(against, against))
    line += [f"{peak['before_mib']:.0f}", f"{peak['peak_mib']:.0f}"] if peak else ["", ""]
    line.append(results.fact(side, variant, case, "recall") or "")
    return line
