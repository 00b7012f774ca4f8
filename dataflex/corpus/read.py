"""A corpus from the user's own JSONL files in SlimPajama's schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from dataflex.corpus.contamination import QuestionFilter
from dataflex.corpus.documents import Document, fingerprint
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
from dataflex.corpus.questions import packaged_questions, split_questions
from dataflex.corpus.schema import parse_line
from dataflex.corpus.splits import HELD_OUT, SPLITS, Split, assign_splits
from dataflex.errors import UserError


def read_jsonl(path: Path) -> Iterator[tuple[str, str, str]]:
    """(domain, text, "file:line") of every line of a file in SlimPajama's schema but blank ones.

    Raises:
        UserError: the file cannot be read, or a line is not such an object; the message names file and line.
    """
    try:
        lines = path.open(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    with lines:
        number = 0
        while True:
            number += 1
            try:
                line = lines.readline()
            except UnicodeDecodeError:
                raise UserError(f"{path}:{number}: not UTF-8 text; save the file as UTF-8") from None
            if not line:
                return
            if not line.strip():
                continue
            domain, text = parse_line(line, f"{path}:{number}")
            yield domain, text, f"{path.name}:{number}"


def read(
    files: Sequence[Path],
    output: Path,
    *,
    validation: Sequence[Path] = (),
    test: Sequence[Path] = (),
    instructions_per_kind: int = ROWS_PER_KIND,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make a corpus folder from JSONL files: one domain a set name, documents as they are.

    Without held-out files the documents are split by a hash of their text. With files for one held-out
    split only, the other one is cut by hash from `files`. Of duplicates between the files, the copy in the
    test part stays, then that in the validation part. Questions and instructions come from the environment.

    Args:
        files: documents for the train split, or for all splits.
        output: a folder that is absent or empty.
        validation: documents of the user's own validation split.
        test: documents of the user's own test split.
        instructions_per_kind: most rows of one kind in the instruction pool.
        seed: decides the split.
        quiet: no progress bar.

    Returns:
        The card, also written to card.json as the last file.

    Raises:
        UserError: a file or line is not as it should be, a split of a domain is empty, the folder is in use,
            or two set names become one file name.
    """
    require_new(output)
    given: list[tuple[Path, Split | None]] = [
        *((path, "test") for path in test),
        *((path, "validation") for path in validation),
        *((path, None) for path in files),
    ]
    for path, _ in given:
        if not path.is_file():
            raise UserError(f"{path} does not exist or is not a file")
    questions, unread = packaged_questions()
    own_validation, own_test = split_questions(questions, seed)
    question_filter = QuestionFilter(questions)
    size = sum(path.stat().st_size for path, _ in given)
    duplicates = DuplicateFilter(size)
    domains: dict[str, dict[Split, list[Document]]] = {}
    dropped: Counter[tuple[str, str]] = Counter()
    own_files: dict[Split, Sequence[Path]] = {"test": test, "validation": validation}
    to_cut = [split for split, own in own_files.items() if not own]
    with Progress(disable=quiet) as progress:
        task = progress.add_task("reading", total=size)
        for path, own_split in given:
            for name, text, source in read_jsonl(path):
                progress.advance(task, len(text.encode()))
                splits = domains.setdefault(name, {split: [] for split in SPLITS})
                if not text.strip():
                    dropped[name, "empty"] += 1
                    continue
                if question_filter.contains_question(text):
                    dropped[name, "with_a_question"] += 1
                    continue
                verdict = duplicates.admit(text)
                if verdict != "kept":
                    dropped[name, f"{verdict}_duplicates"] += 1
                    continue
                document = Document(text, name, source, fingerprint(text))
                splits[own_split or "train"].append(document)
        progress.update(task, completed=size)
    for splits in domains.values():
        shared = splits["train"]
        assigned = assign_splits((document.group for document in shared), seed, to_cut)
        splits["train"] = []
        for document in shared:
            splits[assigned[document.group]].append(document)
    for name, count in drop_straddling(domains).items():
        dropped[name, "straddling_duplicates"] = count
    require_documents(domains, "give more documents, or files of its own with --validation and --test")
    pool, pool_dropped = instruction_pool(seed, question_filter, instructions_per_kind)

    entries = write_domains(output, dict(sorted(domains.items())))
    reasons = ("empty", "exact_duplicates", "near_duplicates", "straddling_duplicates", "with_a_question")
    for name, entry in entries.items():
        entry["dropped"] = {reason: dropped[name, reason] for reason in reasons}
        found = Counter(
            document.source.rsplit(":", 1)[0] for split in SPLITS for document in domains[name][split]
        )
        entry["sources"] = {file: {"documents": found[file]} for file in sorted(found)}
    card = {
        "schema": SCHEMA,
        "made_by": "read",
        "seed": seed,
        "held_out": {
            "validation": "own files" if validation else HELD_OUT,
            "test": "own files" if test else HELD_OUT,
        },
        "near_duplicate": {"run_of_words": RUN, "max_shared": MAX_SHARED},
        "domains": entries,
        "questions": {
            "unread": unread,
            **write_questions(output, own_validation, own_test),
        },
        "instructions": {**write_instructions(output, pool), "dropped": pool_dropped, "descriptions": KINDS},
    }
    write_dataset_info(output, entries)
    write_json(output / CARD, card)
    return card
