"""What the results of a rung are of, so that no number of theirs is taken for one of the paper's models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.results import CellResult
from dataflex.report.quantities import plural
from dataflex.report.rungs import Rung


@dataclass(frozen=True)
class Subject:
    """What stands over a rung: the models here, and those of the paper.

    Attributes:
        rung: its name.
        models: that were trained here.
        scales: corpora, or sizes of them.
        questions: numbers of questions that accuracies rest on; none where nothing was asked.
        seeds: how many.
        published: models that the rung's claims are about.
    """

    rung: str
    models: tuple[str, ...]
    scales: tuple[str, ...]
    questions: tuple[int, ...]
    seeds: int
    published: tuple[str, ...]

    @property
    def others(self) -> bool:
        """Whether none of the paper's models was trained here, although claims about them are shown."""
        return bool(self.published) and not set(self.models) & set(self.published)

    @property
    def words(self) -> str:
        """Models, corpora, questions and seeds."""
        asked = " to ".join(f"{number:,}" for number in self.questions)
        parts = [
            f"model{'s' * (len(self.models) > 1)} {', '.join(self.models)}",
            f"data {', '.join(self.scales)}",
            *([f"{asked} questions"] if asked else []),
            plural(self.seeds, "seed"),
        ]
        return "; ".join(parts)


def subject(rung: Rung, judgements: Iterable[Judgement]) -> Subject:
    """The subject of a rung, with the judgements of its claims."""
    results = rung.results
    asked = sorted({int(run.metrics["mmlu"]["n"]) for run in results if run.kind == "model"})
    return Subject(
        rung.name,
        _each(run.key[2] for run in results),
        _each(run.key[3] for run in results),
        tuple(asked if len(asked) < 2 else (asked[0], asked[-1])),
        len({run.seed for run in results}),
        _each(one.claim.model for one in judgements if one.rung == rung.name and one.claim.model),
    )


def by_id(rungs: Sequence[Rung]) -> dict[str, CellResult]:
    """Every result by its id."""
    return {name: result for rung in rungs for name, result in zip(rung.ids, rung.results, strict=True)}


def ours(judgement: Judgement, known: Mapping[str, CellResult]) -> str:
    """What our number of a claim is of: model and data of its results, questions and seeds."""
    runs = [known[name] for name in judgement.results if name in known]
    parts = [*_each(run.key[2] for run in runs), *_each(run.key[3] for run in runs)]
    if judgement.questions is not None:
        parts.append(f"{judgement.questions:,} questions")
    if judgement.seeds:
        parts.append(plural(len(judgement.seeds), "seed"))
    return ", ".join(parts)


def _each(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
