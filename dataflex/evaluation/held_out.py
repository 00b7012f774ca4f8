"""What a model pays for held-out text of Markov chains, beside what the chain itself pays for it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from dataflex.corpus.files import write_text
from dataflex.corpus.layout import read_texts
from dataflex.corpus.markov import as_numbers, read_chains
from dataflex.errors import UserError
from dataflex.evaluation.target import resolve_target

if TYPE_CHECKING:
    import torch

HELD_OUT = "held_out.csv"
COLUMNS = ("domain", "document", "symbols", "loglik", "chain_loglik")


def held_out(target: Path, corpus: Path, output: Path, *, batch_size: int = 64) -> dict[str, float]:
    """Score the test documents of every domain and write ``held_out.csv`` to ``output``.

    A line is a document: log-likelihoods in nats of its symbols after the tag, by the model and by the chain.

    Args:
        target: folder of a model.
        corpus: folder of a corpus of Markov chains.
        output: a folder.
        batch_size: documents a forward pass; it changes results by rounding only.

    Returns:
        The model's mean loss in nats a symbol, by domain.

    Raises:
        UserError: target or corpus is not as it should be.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be at least 1")
    chains = read_chains(corpus)
    found = resolve_target(target)
    if found.adapter is not None:
        raise UserError(f"{target} is an adapter; a whole model is needed")

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found.tokenizer)
    model = AutoModelForCausalLM.from_pretrained(found.model, dtype="float32").eval()
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    losses = {}
    for domain, chain in chains.items():
        texts = list(read_texts(corpus, "test", domain))
        documents = as_numbers(texts)
        tokens = tokenizer(texts, add_special_tokens=False)["input_ids"]
        if {len(row) for row in tokens} != {documents.shape[1] + 1}:
            raise UserError(
                f"{target} has another tokenizer than one token a symbol; "
                "make its model with: dataflex-cli corpus model, without --corpus"
            )
        logliks = _log_likelihoods(model, tokens, batch_size)
        for number, (own, chains_own) in enumerate(
            zip(logliks, chain.log_likelihood(documents).tolist(), strict=True)
        ):
            writer.writerow([domain, number, documents.shape[1], repr(own), repr(chains_own)])
        losses[domain] = -sum(logliks) / documents.size
    write_text(output / HELD_OUT, stream.getvalue())
    return losses


def _log_likelihoods(model: torch.nn.Module, tokens: list[list[int]], batch_size: int) -> list[float]:
    """Log-likelihood of each document's tokens after its first."""
    import torch

    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(tokens), batch_size):
            batch = torch.tensor(tokens[start : start + batch_size])
            scores = model(input_ids=batch).logits[:, :-1].double().log_softmax(-1)
            chosen = scores.gather(-1, batch[:, 1:, None]).squeeze(-1)
            found += chosen.sum(dim=1).tolist()
    return found
