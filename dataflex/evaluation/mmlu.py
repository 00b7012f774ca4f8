"""MMLU by lm-eval's own task definitions, on the questions of a corpus."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.corpus.packages import distribution_root
from dataflex.corpus.questions import LETTERS, Question
from dataflex.errors import UserError

CHANCE = 1 / len(LETTERS)
TEMPLATE = "_default_template_yaml"


@dataclass(frozen=True, slots=True)
class QuestionOutcome:
    """What a model made of one question.

    Attributes:
        id: "subject/place in the subject".
        subject: MMLU's name of the subject.
        gold: index of the right choice, 0 to 3.
        logliks: log-likelihood in nats of each of the letters A to D as the continuation of the prompt.
        prompt: the text that they continue.
    """

    id: str
    subject: str
    gold: int
    logliks: tuple[float, float, float, float]
    prompt: str

    @property
    def choice(self) -> int:
        """Index of the likeliest letter, the first of equal ones."""
        return self.logliks.index(max(self.logliks))

    @property
    def correct(self) -> bool:
        """True if the likeliest letter is the right one."""
        return self.choice == self.gold

    @property
    def nll(self) -> float:
        """Negative log of the right letter's share of the four letters' probability, in nats."""
        top = max(self.logliks)
        return top + math.log(sum(math.exp(value - top) for value in self.logliks)) - self.logliks[self.gold]

    def row(self) -> dict[str, Any]:
        """One line of questions.jsonl."""
        return {
            "id": self.id,
            "subject": self.subject,
            "gold": self.gold,
            "choice": self.choice,
            "correct": self.correct,
            "logliks": list(self.logliks),
        }


def _official_folder() -> Path:
    folder = distribution_root("lm_eval") / "lm_eval" / "tasks" / "mmlu" / "default"
    if not (folder / TEMPLATE).is_file():
        raise UserError("lm-eval's MMLU tasks were not found; install lm_eval 0.4.13")
    return folder


def _by_subject(questions: Sequence[Question]) -> dict[str, list[Question]]:
    subjects: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        subjects[question.subject].append(question)
    return dict(sorted(subjects.items()))


def require_known(validation: Sequence[Question], test: Sequence[Question], shots: int) -> None:
    """Refuse subjects that MMLU does not have, and more shots than a subject has validation questions.

    Raises:
        UserError: naming the subject.
    """
    known = {path.stem.removeprefix("mmlu_") for path in _official_folder().glob("mmlu_*.yaml")}
    examples = _by_subject(validation)
    for subject in _by_subject(test):
        if subject not in known:
            raise UserError(f"{subject!r} is not one of MMLU's {len(known)} subjects")
        if len(examples.get(subject, ())) < shots:
            raise UserError(
                f"--shots {shots} needs as many validation questions a subject; {subject} has "
                f"{len(examples.get(subject, ()))}"
            )


def _write_parquet(path: Path, questions: Sequence[Question]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        {
            "question": pa.string(),
            "subject": pa.string(),
            "choices": pa.list_(pa.string()),
            "answer": pa.int64(),
        }
    )
    parquet.write_table(pa.Table.from_pylist([question.row() for question in questions], schema=schema), path)


def write_tasks(
    folder: Path, cache: Path, validation: Sequence[Question], test: Sequence[Question], shots: int
) -> Path:
    """Copy the official task files and let every subject read a local Parquet file.

    Subjects without a test question are taken out, and with them groups that become empty.

    Args:
        folder: a temporary folder.
        cache: where the `datasets` library keeps its copies; a fresh one, because the library does not always
            notice that a local file changed.
        validation: questions for the examples in the prompt.
        test: questions to be asked.
        shots: examples in a prompt.

    Returns:
        The folder for TaskManager's include_path.
    """
    data = folder / "mmlu_data"
    tasks = folder / "mmlu_tasks"
    shutil.copytree(_official_folder(), tasks)
    examples, asked = _by_subject(validation), _by_subject(test)
    tags = set()
    for path in tasks.glob("mmlu_*.yaml"):
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        subject = path.stem.removeprefix("mmlu_")
        if subject not in asked:
            path.unlink()
            continue
        tags.add(task["tag"])
        (data / subject).mkdir(parents=True)
        parts = {"test": asked[subject], "dev": examples.get(subject, [])}
        for split, rows in parts.items():
            _write_parquet(data / subject / f"{split}.parquet", rows)
        task["dataset_kwargs"] = {
            "data_files": {split: str(data / subject / f"{split}.parquet") for split in parts},
            "cache_dir": str(cache),
        }
        path.write_text(yaml.safe_dump(task), encoding="utf-8")
    groups = set()
    for path in sorted(tasks.glob("_mmlu_*.yaml")):
        group = yaml.safe_load(path.read_text(encoding="utf-8"))
        if tags.isdisjoint(group["task"]):
            path.unlink()
        else:
            groups.add(group["group"])
    top = yaml.safe_load((tasks / "_mmlu.yaml").read_text(encoding="utf-8"))
    top["task"] = [group for group in top["task"] if group in groups]
    (tasks / "_mmlu.yaml").write_text(yaml.safe_dump(top), encoding="utf-8")
    template = yaml.safe_load((tasks / TEMPLATE).read_text(encoding="utf-8"))
    template["dataset_path"] = "parquet"
    template["num_fewshot"] = shots
    (tasks / TEMPLATE).write_text(yaml.safe_dump(template), encoding="utf-8")
    return tasks


def official_template() -> dict[str, Any]:
    """The parts of the official template that decide the score: prompt, choices, metric, version."""
    template = yaml.safe_load((_official_folder() / TEMPLATE).read_text(encoding="utf-8"))
    wanted = ("doc_to_text", "doc_to_choice", "doc_to_target", "output_type", "metric_list", "metadata")
    return {key: template[key] for key in wanted}


def outcomes(results: Mapping[str, Any], test: Sequence[Question]) -> list[QuestionOutcome]:
    """Per-question outcomes from lm-eval's logged samples, in the order of `test`."""
    samples: dict[tuple[str, int], Mapping[str, Any]] = {}
    for subject in _by_subject(test):
        for sample in results["samples"][f"mmlu_{subject}"]:
            samples[subject, int(sample["doc_id"])] = sample
    places: dict[str, int] = defaultdict(int)
    found = []
    for question in test:
        number = places[question.subject]
        places[question.subject] += 1
        sample = samples[question.subject, number]
        first, second, third, fourth = (float(response[0]) for response in sample["filtered_resps"])
        found.append(
            QuestionOutcome(
                id=f"{question.subject}/{number}",
                subject=question.subject,
                gold=question.answer,
                logliks=(first, second, third, fourth),
                prompt=sample["arguments"][0][0],
            )
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def summarise(found: Sequence[QuestionOutcome], results: Mapping[str, Any]) -> dict[str, Any]:
    """The `mmlu` part of metrics.json.

    `acc` and `groups` are lm-eval's official aggregates (weighted by the number of questions), `macro_acc`
    is the mean over subjects, `stderr` the binomial standard error of `acc`. `at_chance` is true if `acc`
    lies within two standard errors, as guessing would have them, of one in four.
    """
    subjects: dict[str, list[QuestionOutcome]] = defaultdict(list)
    for outcome in found:
        subjects[outcome.subject].append(outcome)
    entries = {
        subject: {
            "acc": _mean([outcome.correct for outcome in rows]),
            "n": len(rows),
            "answer_nll": _mean([outcome.nll for outcome in rows]),
        }
        for subject, rows in sorted(subjects.items())
    }
    scores = results["results"]
    accuracy = float(scores["mmlu"]["acc,none"])
    guessing = math.sqrt(CHANCE * (1 - CHANCE) / len(found))
    return {
        "acc": accuracy,
        "stderr": math.sqrt(accuracy * (1 - accuracy) / len(found)),
        "n": len(found),
        "macro_acc": _mean([entry["acc"] for entry in entries.values()]),
        "answer_nll": _mean([outcome.nll for outcome in found]),
        "chance": {"acc": CHANCE, "answer_nll": math.log(len(LETTERS))},
        "at_chance": abs(accuracy - CHANCE) <= 2 * guessing,
        "subjects": entries,
        "groups": {
            name.removeprefix("mmlu_"): float(scores[name]["acc,none"])
            for name in sorted(results["groups"])
            if name != "mmlu"
        },
    }
