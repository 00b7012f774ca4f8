"""`dataflex-cli evaluate` and `dataflex-cli held-out`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    target: Annotated[
        Path, typer.Argument(help="Folder of a model, of a LoRA adapter, or of a finished run.")
    ],
    corpus: Annotated[Path, typer.Option(help="Corpus whose test questions and documents are scored.")],
    output: Annotated[
        Path, typer.Option(help="Folder for metrics.json, questions.jsonl and documents.jsonl.")
    ],
    base_model: Annotated[str | None, typer.Option(help="Base model of an adapter.")] = None,
    step: Annotated[
        int | None, typer.Option(help="Score the run's checkpoint after this step, by the questions alone.")
    ] = None,
    documents: Annotated[
        bool | None,
        typer.Option("--documents/--no-documents", help="Score the documents too. Default: without --step."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass.")] = 8,
    context: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a window: what a model was trained on from scratch. Default: its positions."
        ),
    ] = None,
    shots: Annotated[int, typer.Option(help="Examples in an MMLU prompt.")] = 0,
    documents_per_domain: Annotated[int | None, typer.Option(help="Score only so many of a domain.")] = None,
) -> None:
    """Measure MMLU and the perplexity of every domain with lm-eval."""
    from dataflex.evaluation.evaluate import evaluate as measure

    metrics = measure(
        target,
        corpus,
        output,
        base_model=base_model,
        step=step,
        documents=step is None if documents is None else documents,
        batch_size=batch_size,
        context=context,
        shots=shots,
        documents_per_domain=documents_per_domain,
    )
    from dataflex.evaluation import perplexity

    score, parts = metrics["mmlu"], metrics.get("perplexity", {})
    note = ", not told from guessing" if score["at_chance"] else ""
    typer.echo(f"MMLU {score['acc']:.4f} ± {score['stderr']:.4f} of {score['n']}{note}")
    typer.echo(
        f"loss on the answers {score['answer_nll']:.4f} nats (guessing: {score['chance']['answer_nll']:.4f})"
    )
    for name, told in ((perplexity.ALL, "all documents"), (perplexity.NATURAL, "the corpus's mixture")):
        if total := parts.get(name):
            typer.echo(
                f"perplexity of {told} {total['token']:.2f} a token, {total['bits_per_byte']:.4f} bits a byte"
            )
    typer.echo(f"{output}/metrics.json")


def held_out(
    target: Annotated[Path, typer.Argument(help="Folder of a model, or of a finished run.")],
    corpus: Annotated[Path, typer.Option(help="Corpus of `corpus markov` whose test documents are scored.")],
    output: Annotated[Path, typer.Option(help="Folder for held_out.csv.")],
    batch_size: Annotated[int, typer.Option(help="Documents a forward pass.")] = 64,
) -> None:
    """Measure the loss on held-out text of domains whose entropies are known."""
    from dataflex.evaluation.held_out import held_out as measure

    losses = measure(target, corpus, output, batch_size=batch_size)
    typer.echo("nats a symbol: " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
