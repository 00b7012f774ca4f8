"""The training data of ``packed_corpus``: rows out of memory-mapped shards.

The names in ``dataset`` are the corpus's domains, so that mixtures and selections are configured as ever.
Rows are those that LLaMA-Factory would pack from the same documents, and padding and the first token are
treated as it does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflex.corpus.packed.rows import PackedRows, TokenStream, domains_of, index_file
from dataflex.corpus.packed.shards import HELD_OUT
from dataflex.corpus.packed.vocabulary import fingerprint
from dataflex.engine.base import Component
from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments
from dataflex.host.domains import Domains, load_evaluation
from dataflex.registry import nearest


def packed_files(folder: Path, config: dict[str, Any], args: HostArguments) -> dict[str, list[Path]]:
    """Return the index of each domain, whose digest stands for that of its shards.

    Raises:
        UserError: no such corpus or domain, or a key that packed rows can't honour.
    """
    data = args.data
    refused = [
        (
            args.finetuning.stage != "pt",
            f"stage: {args.finetuning.stage}",
            "its rows are plain text: say stage: pt",
        ),
        (
            "cutoff_len" not in config,
            "a missing cutoff_len",
            "it is the length of the rows that are packed, so say it",
        ),
        (data.packing is False, "packing: false", "its rows are packed"),
        (data.max_samples is not None, "max_samples", "take a subset with dataflex-cli corpus subset"),
        (data.val_size > 0, "val_size", f"it has held-out documents: say eval_dataset: {HELD_OUT}"),
    ]
    for wrong, setting, reason in refused:
        if wrong:
            raise UserError(f"packed_corpus does not go with {setting}: {reason}")
    known = domains_of(folder)
    names = list(data.dataset or [])
    if not names:
        raise UserError(f"dataset is missing: name domains of {folder}: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(f"dataset {name!r} is no domain of {folder}: {nearest(name, known)}")
        if names.count(name) > 1:
            raise UserError(f"dataset names {name!r} twice: every domain needs a name of its own")
    files = {name: [index_file(folder, name)] for name in names}
    evaluation = list(data.eval_dataset or [])
    if HELD_OUT in evaluation:
        if len(evaluation) > 1:
            raise UserError(f"eval_dataset: {HELD_OUT} stands alone: remove it or the others")
        files[HELD_OUT] = [index_file(folder, name, HELD_OUT) for name in _held_out(folder, names)]
    return files


def refuse_held_out_target(name: str, component: Component, args: HostArguments) -> None:
    """Refuse a component that would aim at the held-out documents, which are there to tell how good it was.

    Raises:
        UserError: it needs a validation set, and ``eval_dataset`` names the held-out documents.
    """
    if "validation_set" in component.requirements() and HELD_OUT in (args.data.eval_dataset or []):
        raise UserError(
            f"component {name!r} needs a validation set to aim at: name one of dataset_info.json in "
            f"eval_dataset, not {HELD_OUT}"
        )


def _held_out(folder: Path, names: list[str]) -> list[str]:
    found = [name for name in domains_of(folder, HELD_OUT) if name in names]
    if not found:
        raise UserError(
            f"{folder} has no held-out document of these domains: build it with a larger --held-out"
        )
    return [name for name in names if name in found]


def load_packed(
    folder: Path, args: HostArguments, template: Any, tokenizer_module: dict[str, Any]
) -> Domains:
    """Map the domains of a corpus; nothing is tokenised, and no token is copied before its row is drawn.

    Raises:
        UserError: the corpus was made with another tokenizer or is damaged, or a domain has too few tokens
            for a row.
    """
    tokenizer, length = tokenizer_module["tokenizer"], args.data.cutoff_len
    streams = [TokenStream(folder, name) for name in args.data.dataset]
    _check_tokenizer(folder, streams[0], tokenizer)
    for stream in streams:
        if len(stream) < length:
            raise UserError(
                f"dataset {stream.domain!r} has {len(stream)} tokens, less than one row has; "
                "lower cutoff_len or remove it"
            )
    first = tokenizer.bos_token_id if getattr(tokenizer, "add_bos_token", False) else None
    rows = PackedRows(streams, length, first)
    evaluation: Any = None
    if HELD_OUT in (args.data.eval_dataset or []):
        held_out = [TokenStream(folder, name, HELD_OUT) for name in _held_out(folder, args.data.dataset)]
        evaluation = {
            stream.domain: PackedRows([stream], length, first) for stream in held_out if len(stream) >= length
        }
        if not evaluation:
            raise UserError(
                f"no domain of {folder} has {length} held-out tokens: lower cutoff_len, or build it with a "
                "larger --held-out"
            )
    elif args.data.eval_dataset:
        evaluation = load_evaluation(args, template, tokenizer_module)
    return Domains(
        names=tuple(args.data.dataset),
        rows=rows,
        counts=rows.counts,
        lengths=rows.lengths(),
        row_tokens=rows.loss_tokens(tokenizer.pad_token_id),
        evaluation=evaluation,
    )


def _check_tokenizer(folder: Path, stream: TokenStream, tokenizer: Any) -> None:
    theirs = stream.vocabulary
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or fingerprint(backend.to_str()) != theirs.sha256:
        raise UserError(
            f"{folder} was built with another tokenizer than that of model_name_or_path: build it again with "
            "--tokenizer set to this model"
        )
    if tokenizer.convert_ids_to_tokens(theirs.end) != theirs.end_text:
        raise UserError(
            f"{folder} ends documents with token {theirs.end} ({theirs.end_text}), which the tokenizer of "
            "model_name_or_path has another text for: build it again with --tokenizer set to this model"
        )
