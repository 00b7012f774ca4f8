"""The command line: ``python -m efficiency``, with this folder's parent on the module path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from efficiency import corpus as corpus_benchmark
from efficiency import job
from efficiency import less as less_benchmark
from efficiency import loss as loss_benchmark
from efficiency import neighbours as neighbours_benchmark
from efficiency import order as order_benchmark
from efficiency import steps as steps_benchmark
from efficiency import tsds as tsds_benchmark
from efficiency.sides import Report
from paper_figures.efficiency import build as result_tables

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(job.app, name="job")

Data = Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Rows of instruction, input, output.")]
Model = Annotated[str, typer.Option(help="tiny, or the folder of a model.")]
Output = Annotated[Path, typer.Option(help="Folder of the results.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each process.")]
Venv = Annotated[Path | None, typer.Option(help="Virtual environment of upstream's dataflex 1.1.")]
Rounds = Annotated[int, typer.Option(min=1, help="Timed rounds; variants take turns.")]
Shares = Annotated[list[float], typer.Option(help="Parts of the pool to score.")]
Sizes = Annotated[list[int], typer.Option(help="Numbers to try.")]

Corpus = Annotated[Path, typer.Option(exists=True, file_okay=False, help="Domains of plain text.")]
Names = Annotated[list[str] | None, typer.Option(help="Measure this variant only; may be repeated.")]

DATA = Path("runs/demo/corpus/instructions.jsonl")
CORPUS = Path("runs/demo/corpus")
RESULTS = Path("runs/efficiency/results")
THREADS = os.cpu_count() or 1


def _fail_if_ours_did(report: Report) -> None:
    """Another side may fail: that is a result."""
    if any(failure["side"] == "library" for failure in report.failures):
        raise typer.Exit(1)


@app.command()
def less(
    data: Data = DATA,
    model: Model = "tiny",
    rows: Annotated[int, typer.Option(min=1, help="Rows of the pool.")] = 160,
    validation: Annotated[int, typer.Option(min=1, help="Rows to aim at.")] = 8,
    share: Shares = [0.05, 0.1, 0.5, 1.0],  # noqa: B006
    repeats: Rounds = 5,
    projection: Annotated[int, typer.Option(min=1, help="Dimensions, on both sides.")] = 4096,
    checkpointing: Annotated[bool, typer.Option(help="Gradient checkpointing on all sides.")] = False,
    upstream: Venv = None,
    upstream_projects: Annotated[bool, typer.Option(help="Minutes for 16 rows on a CPU.")] = True,
    output: Output = RESULTS,
    threads: Threads = THREADS,
) -> None:
    """Time LESS scoring beside plain forward and backward passes."""
    report = less_benchmark.run(
        data,
        model,
        output,
        rows=rows,
        validation=validation,
        shares=share,
        repeats=repeats,
        projection=projection,
        checkpointing=checkpointing,
        upstream_venv=upstream,
        upstream_repeats=min(repeats, 3),
        upstream_projects=upstream_projects,
        threads=threads,
    )
    _fail_if_ours_did(report)


@app.command()
def loss(
    data: Data = DATA,
    model: Model = "tiny",
    rows: Annotated[int, typer.Option(min=1, help="Rows of the pool.")] = 128,
    repeats: Rounds = 7,
    upstream: Venv = None,
    output: Output = RESULTS,
    threads: Threads = THREADS,
) -> None:
    """Time Loss scoring beside plain forward passes."""
    report = loss_benchmark.run(
        data,
        model,
        output,
        rows=rows,
        repeats=repeats,
        upstream_venv=upstream,
        upstream_repeats=min(repeats, 5),
        threads=threads,
    )
    _fail_if_ours_did(report)


@app.command()
def neighbours(
    pool: Sizes = [5_000, 20_000, 100_000],  # noqa: B006
    queries: Sizes = [50, 285, 1_000],  # noqa: B006
    k: Annotated[int, typer.Option(min=1, help="Neighbours of a query.")] = 1000,
    repeats: Rounds = 5,
    upstream: Venv = None,
    output: Output = RESULTS,
    threads: Threads = THREADS,
) -> None:
    """Time nearest neighbours beside a blocked matrix product, and count those that are missed."""
    report = neighbours_benchmark.run(
        output,
        pools=pool,
        queries=queries,
        neighbours=k,
        repeats=repeats,
        upstream_venv=upstream,
        threads=threads,
    )
    _fail_if_ours_did(report)


@app.command()
def tsds(
    pool: Sizes = [5_000, 20_000, 100_000],  # noqa: B006
    queries: Sizes = [50, 285, 1_000],  # noqa: B006
    repeats: Rounds = 3,
    upstream: Venv = None,
    authors: Annotated[Path | None, typer.Option(help="Checkout of ZifanL/TSDS.")] = None,
    output: Output = RESULTS,
    threads: Threads = THREADS,
) -> None:
    """Time TSDS from vectors to probabilities."""
    report = tsds_benchmark.run(
        output,
        pools=pool,
        queries=queries,
        repeats=repeats,
        upstream_venv=upstream,
        authors=authors,
        threads=threads,
    )
    _fail_if_ours_did(report)


@app.command()
def corpus(
    tokenizer: Annotated[str, typer.Option(help="Folder of a fast tokenizer.")],
    source: Annotated[list[Path], typer.Option(help="Real text in SlimPajama's schema, to draw words of.")],
    gigabytes: Annotated[float, typer.Option(min=0.001, help="Text to generate.")] = 2.0,
    workers: Sizes = [1, 2],  # noqa: B006
    repeats: Rounds = 1,
    folder: Annotated[Path | None, typer.Option(help="For the generated corpus; removed again.")] = None,
    output: Output = RESULTS,
) -> None:
    """Time the build of a generated corpus by number of processes, with its memory."""
    report = corpus_benchmark.run(
        source, tokenizer, output, gigabytes=gigabytes, workers=workers, repeats=repeats, folder=folder
    )
    _fail_if_ours_did(report)


@app.command()
def order(
    rows: Sizes = [10**6, 10**9, 10**12],  # noqa: B006
    domains: Annotated[int, typer.Option(min=1, help="Strata of the mixture.")] = 7,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a step.")] = 512,
    repeats: Rounds = 5,
    output: Output = RESULTS,
) -> None:
    """Time the draw of a step's rows at random places of a run."""
    report = order_benchmark.run(output, rows=rows, domains=domains, batch=batch, repeats=repeats)
    _fail_if_ours_did(report)


@app.command()
def steps(
    corpus: Corpus = CORPUS,
    model: Annotated[str, typer.Option(help="tiny, moe, or the folder of a model.")] = "tiny",
    batch: Annotated[int, typer.Option(min=1, help="Rows of a micro-batch.")] = 8,
    accumulation: Annotated[int, typer.Option(min=1, help="Micro-batches of a step.")] = 1,
    cutoff: Annotated[int, typer.Option(min=8, help="Tokens of every row.")] = 512,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each run that count.")] = 60,
    variant: Names = None,
    upstream: Venv = None,
    output: Output = RESULTS,
    threads: Threads = THREADS,
) -> None:
    """Time optimizer steps of mixers and weighters beside LLaMA-Factory's own, one step each in turn."""
    report = steps_benchmark.run(
        corpus,
        model,
        output,
        batch=batch,
        accumulation=accumulation,
        cutoff=cutoff,
        steps=steps,
        only=variant or [],
        upstream_venv=upstream,
        threads=threads,
    )
    _fail_if_ours_did(report)


@app.command()
def tables(
    output: Output = RESULTS,
    note: Annotated[list[str] | None, typer.Option(help="Said below the tables; may be repeated.")] = None,
) -> None:
    """Make the tables and the CSV file from the results alone."""
    print(result_tables.write(output, note or []))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(exists=True, help="A .gguf file.")],
    target: Annotated[Path, typer.Argument(help="Folder of the model.")],
) -> None:
    """Turn a GGUF file into a model's folder; needs the package gguf."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    app()
