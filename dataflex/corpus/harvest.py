"""Harvest a corpus from what the environment has installed."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dataflex.corpus.contamination import QuestionFilter
from dataflex.corpus.documents import Document
from dataflex.corpus.domains import DOMAINS, Domain
from dataflex.corpus.duplicates import MAX_SHARED, RUN, DuplicateFilter, drop_straddling
from dataflex.corpus.files import write_json
from dataflex.corpus.instructions import KINDS, ROWS_PER_KIND, instruction_pool
from dataflex.corpus.layout import (
    CARD,
    SCHEMA,
    require_documents,
    require_new,
    write_dataset_info,
    write_domains,
    write_instructions,
    write_questions,
)
from dataflex.corpus.packages import version_of
from dataflex.corpus.questions import packaged_questions, split_questions
from dataflex.corpus.splits import HELD_OUT, SPLITS, Split, assign_splits
from dataflex.errors import UserError

BYTES_PER_DOMAIN = 1_500_000


def _distributions(documents: list[Document]) -> dict[str, dict[str, Any]]:
    """Version and number of documents of every distribution that documents came from."""
    counts = Counter(document.source.split("/", 1)[0] for document in documents)
    return {name: {"version": version_of(name), "documents": counts[name]} for name in sorted(counts)}


def _collect(
    domain: Domain,
    seed: int,
    budget: int,
    duplicates: DuplicateFilter,
    questions: QuestionFilter,
    progress: Progress,
) -> tuple[list[Document], Counter[str]]:
    """Documents of one domain up to a number of bytes, and what was dropped on the way."""
    task = progress.add_task(domain.name, total=budget)
    kept: list[Document] = []
    dropped: Counter[str] = Counter()
    size = 0
    for document in domain.documents(seed):
        if questions.contains_question(document.text):
            dropped["with_a_question"] += 1
            continue
        verdict = duplicates.admit(document.text)
        if verdict != "kept":
            dropped[verdict] += 1
            continue
        kept.append(document)
        size += len(document.text.encode())
        progress.update(task, completed=min(size, budget))
        if size >= budget:
            break
    progress.update(task, completed=budget)
    return kept, dropped


def harvest(
    output: Path,
    *,
    bytes_per_domain: int = BYTES_PER_DOMAIN,
    instructions_per_kind: int = ROWS_PER_KIND,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make a corpus folder from the installed distributions.

    The same environment and seed give the same bytes.

    Args:
        output: a folder that is absent or empty.
        bytes_per_domain: text of one domain over all splits, in bytes; a domain ends early where less exists.
        instructions_per_kind: most rows of one kind in the instruction pool.
        seed: decides which files are taken and how documents and questions are split.
        quiet: no progress bar.

    Returns:
        The card, also written to card.json as the last file.

    Raises:
        UserError: the folder is in use, the budget is too small for three splits, or lm-eval is missing.
    """
    if bytes_per_domain < 1 or instructions_per_kind < 1:
        raise UserError("--bytes-per-domain and --instructions-per-kind must be at least 1")
    require_new(output)
    questions, unread = packaged_questions()
    validation, test = split_questions(questions, seed)
    question_filter = QuestionFilter(questions)
    duplicates = DuplicateFilter(bytes_per_domain * len(DOMAINS))
    domains: dict[str, dict[Split, list[Document]]] = {}
    dropped: dict[str, dict[str, int]] = {}
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, disable=quiet) as progress:
        for domain in DOMAINS:
            documents, losses = _collect(
                domain, seed, bytes_per_domain, duplicates, question_filter, progress
            )
            splits: dict[Split, list[Document]] = {split: [] for split in SPLITS}
            assigned = assign_splits((document.group for document in documents), seed)
            for document in documents:
                splits[assigned[document.group]].append(document)
            domains[domain.name] = splits
            dropped[domain.name] = {
                "exact_duplicates": losses["exact"],
                "near_duplicates": losses["near"],
                "with_a_question": losses["with_a_question"],
            }
        for name, count in drop_straddling(domains).items():
            dropped[name]["straddling_duplicates"] = count
        require_documents(domains, "raise --bytes-per-domain")
        pool_task = progress.add_task("instructions", total=1)
        pool, pool_dropped = instruction_pool(seed, question_filter, instructions_per_kind)
        progress.update(pool_task, completed=1)

    entries = write_domains(output, domains)
    for domain in DOMAINS:
        documents = [document for split in SPLITS for document in domains[domain.name][split]]
        entries[domain.name]["description"] = domain.description
        entries[domain.name]["dropped"] = dropped[domain.name]
        entries[domain.name]["sources"] = _distributions(documents)
        entries[domain.name]["not_installed"] = [
            name for name in domain.distributions if version_of(name) is None
        ]
    card = {
        "schema": SCHEMA,
        "made_by": "harvest",
        "seed": seed,
        "bytes_per_domain": bytes_per_domain,
        "python": platform.python_version(),
        "held_out": {"validation": HELD_OUT, "test": HELD_OUT},
        "near_duplicate": {"run_of_words": RUN, "max_shared": MAX_SHARED},
        "domains": entries,
        "questions": {
            "unread": unread,
            **write_questions(output, validation, test),
        },
        "instructions": {
            **write_instructions(output, pool),
            "dropped": pool_dropped,
            "descriptions": KINDS,
        },
    }
    write_dataset_info(output, domains)
    write_json(output / CARD, card)
    return card
