"""`dataflex-cli corpus`: from harvest to statistics, all that makes a corpus or tells of one."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from dataflex.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Make a corpus and a tiny model for it.")

Output = Annotated[Path, typer.Option(help="Folder to make; absent or empty.")]
Seed = Annotated[int, typer.Option(help="Seed of every choice.")]
PerKind = Annotated[int, typer.Option(help="Most rows of one kind in the instruction pool.")]


def _report(card: dict[str, Any]) -> None:
    """Print a table of what was made."""
    from rich.console import Console
    from rich.table import Table

    table = Table("domain", "train", "validation", "test", "MB", "duplicates dropped")
    for name, entry in card["domains"].items():
        parts = [entry[split] for split in ("train", "validation", "test")]
        size = sum(part["bytes"] for part in parts) / 1e6
        dropped = entry["dropped"]["exact_duplicates"] + entry["dropped"]["near_duplicates"]
        dropped += entry["dropped"]["straddling_duplicates"]
        table.add_row(name, *(str(part["documents"]) for part in parts), f"{size:.2f}", str(dropped))
    console = Console()
    console.print(table)
    questions = card["questions"]
    console.print(
        f"questions: {questions['validation']['questions']} validation, "
        f"{questions['test']['questions']} test; instructions: {card['instructions']['rows']}"
    )


@app.command()
def harvest(
    output: Output,
    bytes_per_domain: Annotated[int, typer.Option(help="Text of one domain over all splits.")] = 1_500_000,
    instructions_per_kind: PerKind = 500,
    seed: Seed = 0,
) -> None:
    """Make a corpus of real text from the packages that are installed here."""
    from dataflex.corpus.harvest import harvest as make

    _report(
        make(
            output, bytes_per_domain=bytes_per_domain, instructions_per_kind=instructions_per_kind, seed=seed
        )
    )


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(help="JSONL files in SlimPajama's schema.")],
    output: Output,
    validation: Annotated[list[Path] | None, typer.Option(help="File of the validation split.")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="File of the test split.")] = None,
    instructions_per_kind: PerKind = 500,
    seed: Seed = 0,
) -> None:
    """Make a corpus from your own JSONL files: {"text", "meta": {"redpajama_set_name"}}."""
    from dataflex.corpus.read import read as make

    _report(
        make(
            files,
            output,
            validation=validation or [],
            test=test or [],
            instructions_per_kind=instructions_per_kind,
            seed=seed,
        )
    )


Questions = Annotated[
    str, typer.Option(help="Folder of MMLU, with its files of dev and test; or: packaged, lm-eval's own few.")
]


@app.command()
def instructions(
    train: Annotated[Path, typer.Option(help="Folder of a data set of instructions.")],
    output: Output,
    questions: Questions = "packaged",
    validation: Annotated[
        Path | None, typer.Option(help="Folder of rows to aim at; else the questions of dev.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make a corpus from published instructions: Alpaca's form, ShareGPT's or messages; JSON or Parquet."""
    from dataflex.corpus.given import lay_out_instructions

    card = lay_out_instructions(train, questions, output, validation=validation, seed=seed)
    lost = sum(card["instructions"]["dropped"].values())
    typer.echo(
        f"{output}: {card['instructions']['rows']} instructions, {lost} rows dropped; "
        f"{card['questions']['test']['questions']} test questions"
    )


@app.command("held-out")
def held_out_text(
    packed: Annotated[Path, typer.Argument(metavar="DIR", help="A built corpus.")],
    output: Annotated[Path, typer.Option(help="Folder for its held-out text and questions.")],
    questions: Questions = "packaged",
    documents: Annotated[int | None, typer.Option(min=1, help="Most documents of a domain.")] = None,
    seed: Seed = 0,
) -> None:
    """Write the held-out documents of a built corpus as text, with questions, to evaluate models on."""
    from dataflex.corpus.held_out_text import lay_out_held_out

    card = lay_out_held_out(packed, questions, output, documents=documents, seed=seed)
    counts = ", ".join(f"{name} {entry['test']['documents']}" for name, entry in card["domains"].items())
    typer.echo(f"{output}: documents: {counts}; {card['questions']['test']['questions']} test questions")


@app.command()
def planted(
    corpus: Annotated[Path, typer.Option(help="Corpus whose instructions serve as irrelevant rows.")],
    output: Output,
    seed: Seed = 0,
) -> None:
    """Make a pool whose every row has a known class, to mark what a selection picks from it."""
    from dataflex.corpus.planted import plant

    card = plant(corpus, output, seed=seed)
    classes = ", ".join(f"{count} {name}" for name, count in card["classes"].items())
    typer.echo(f"{output}: {classes}; {card['data']['target_validation']['rows']} rows of validation")


@app.command()
def markov(output: Output, seed: Seed = 0) -> None:
    """Make domains whose entropies are known: Markov chains, one of them noise, one related to another."""
    from dataflex.corpus.markov import make_markov

    card = make_markov(output, seed=seed)
    domains = ", ".join(f"{name} {entry['entropy']:.3f}" for name, entry in card["domains"].items())
    typer.echo(f"{output}: entropy in nats a symbol: {domains}")


@app.command()
def model(
    output: Output,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Corpus whose train split the tokenizer learns from. Without it: one token a symbol, for "
            "the domains of `corpus markov`."
        ),
    ] = None,
    vocab_size: Annotated[int, typer.Option(help="Most tokens of the vocabulary.")] = 4096,
    hidden_size: Annotated[int, typer.Option(help="Width.")] = 128,
    intermediate_size: Annotated[int, typer.Option(help="Width inside the feed-forward layers.")] = 384,
    num_hidden_layers: Annotated[int, typer.Option(help="Layers.")] = 4,
    num_attention_heads: Annotated[int, typer.Option(help="Heads.")] = 4,
    num_key_value_heads: Annotated[int, typer.Option(help="Heads of keys and values.")] = 2,
    max_position_embeddings: Annotated[int, typer.Option(help="Longest context.")] = 512,
    experts: Annotated[
        int, typer.Option(help="Experts of every layer beside a shared one; 0: a dense model.")
    ] = 0,
    experts_per_token: Annotated[
        int | None, typer.Option(help="Of them those that a token is sent to; 2 unless told.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make a tokenizer and save it with a randomly initialised tiny model."""
    from dataflex.corpus.experts import Experts
    from dataflex.corpus.model import ModelShape, make_model

    if experts_per_token is not None and not experts:
        raise UserError("--experts-per-token needs --experts: a dense model has none")

    shape = ModelShape(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        num_key_value_heads=num_key_value_heads,
        max_position_embeddings=max_position_embeddings,
    )
    routed = Experts(experts, 2 if experts_per_token is None else experts_per_token) if experts else None
    summary = make_model(corpus, output, shape, experts=routed, seed=seed)
    typer.echo(f"{output}: {summary['parameters']:,} parameters, vocabulary {summary['vocabulary']}")


Tokens = Annotated[str, typer.Option(help="Size of a random subset, exactly: 6B, 1.5M, 200000.")]
Proportions = Annotated[
    str, typer.Option(help="Of the subset: natural, slimpajama (as published), or name=share,...")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; else one a processor.")]


@app.command()
def build(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES_OR_NAME...",
            help="Files or folders of .jsonl, .jsonl.gz, .jsonl.zst or .parquet in SlimPajama's schema, or "
            "the name of such a data set on the hub, as cerebras/SlimPajama-627B.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")],
    tokenizer: Annotated[str, typer.Option(help="Folder or name of a fast tokenizer.")],
    tokens: Annotated[
        str | None, typer.Option(help="Keep a random subset of exactly as many: 6B, 1.5M, 200000.")
    ] = None,
    proportions: Proportions = "natural",
    held_out: Annotated[
        float,
        typer.Option(
            help="Share of documents in the held-out split. The default is one in a thousand: a domain of "
            "fewer documents may get none."
        ),
    ] = 0.001,
    held_out_of: Annotated[
        str | None, typer.Option(help="The same of domains of few documents: name=share,...")
    ] = None,
    sample: Annotated[float, typer.Option(help="Random share of documents that is tokenised at all.")] = 1.0,
    workers: Workers = None,
    seed: Seed = 0,
) -> None:
    """Tokenise a corpus of any size to memory-mapped shards of each domain; run it again to go on."""
    from dataflex.corpus.packed.build import build as make
    from dataflex.corpus.packed.quotas import read_budget, read_proportions, read_shares
    from dataflex.corpus.packed.statistics import print_statistics, without_held_out

    shares = read_proportions(proportions)
    given = read_shares(held_out_of, "--held-out-of") if held_out_of else {}
    own = {domain: float(Fraction(share)) for domain, share in given.items()}
    if shares is not None and tokens is None:
        raise UserError("--proportions needs --tokens: without a subset the sources' own are kept")
    card = make(
        names,
        output,
        tokenizer=tokenizer,
        tokens=None if tokens is None else read_budget(tokens),
        proportions=shares,
        held_out=held_out,
        held_out_of=own,
        sample=sample,
        processes=workers,
        seed=seed,
    )
    print_statistics(card)
    if strange := sorted(set(own) - set(card["statistics"]["train"])):
        typer.echo(f"dataflex-cli: --held-out-of names {', '.join(strange)}: no such domain", err=True)
    if bare := without_held_out(card):
        typer.echo(
            f"dataflex-cli: --held-out {held_out:g} holds out no document of {', '.join(bare)}: to evaluate "
            "on these domains, build into another folder with a larger share",
            err=True,
        )


@app.command()
def subset(
    corpus: Annotated[Path, typer.Argument(metavar="DIR", help="A built corpus.")],
    output: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")],
    tokens: Tokens,
    proportions: Proportions = "natural",
    workers: Workers = None,
) -> None:
    """Take a random subset of an exact number of tokens out of a built corpus."""
    from dataflex.corpus.packed.quotas import read_budget, read_proportions
    from dataflex.corpus.packed.statistics import print_statistics
    from dataflex.corpus.packed.subset import subset as take

    shares = read_proportions(proportions)
    print_statistics(take(corpus, output, tokens=read_budget(tokens), proportions=shares, processes=workers))


@app.command()
def statistics(
    corpus: Annotated[Path, typer.Argument(metavar="DIR", help="A built corpus.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verify: Annotated[bool, typer.Option(help="Compare every shard with its digest.")] = False,
) -> None:
    """Show documents, bytes, tokens, shares and lengths of a built corpus, by split and domain."""
    from dataflex.corpus.packed.card import read_card, verify_digests
    from dataflex.corpus.packed.statistics import print_statistics

    card = read_card(corpus)
    if verify:
        verify_digests(corpus)
    typer.echo(json.dumps(card["statistics"], indent=2)) if as_json else print_statistics(card)
