"""What selectors by embedding have in common: where vectors come from, and scores made beforehand."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from dataflex.engine.component import Context, Facts, FloatArray, Need, Selector
from dataflex.errors import UserError
from dataflex.signals.embeddings import Embeddings, EmbeddingSource
from dataflex.signals.neighbours import Index
from dataflex.signals.scores import read_scores


class EmbeddingSelector(Selector):
    """A selector that compares the rows' vectors with those of the validation rows."""

    needs = frozenset({"validation_set", "embeddings"})
    method: ClassVar[str]
    """Name of the component, which its score files bear."""

    embedding_model: str | None = None
    """Folder or hub name of a sentence-transformers or language model; none: the model in training."""
    vectors: str | None = None
    """A .npy file with the vectors of all rows, in their order, instead of a model."""
    validation_vectors: str | None = None
    """A .npy file with the vectors of the validation rows."""
    text: Literal["all", "prompt", "response"] = "all"
    """Part of a row that is embedded."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longer texts are cut for the embedding model."""
    centre: bool | None = None
    """Take the pool's mean vector away before lengths are set to one; none: for a language model's hidden
    states, which all point nearly one way, but not for a sentence-embedding model or given vectors."""
    index: Index = "exact"
    """exact: every validation row meets every row; approximate: an inverted file, for very large pools."""
    probes: Annotated[int, Field(ge=1)] = 64
    """Lists of the inverted file that are searched; more miss fewer neighbours."""
    scores: str | None = None
    """A file of ``dataflex-cli score`` for these rows; nothing is embedded then."""
    _kept: tuple[FloatArray, dict[str, Any]] | None = PrivateAttr(default=None)
    # Scores that no update can change, with their notes.

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = self.model_fields_set - {"scores", "seed", "sampling"}
        if self.scores is not None and given:
            raise ValueError(
                f"scores were made beforehand, with parameters of their own: remove {min(given)}"
            )
        one_side = self.vectors is None or self.validation_vectors is None
        if (self.vectors or self.validation_vectors) and one_side and self.embedding_model is None:
            raise ValueError("vectors and validation_vectors go together, or with the embedding_model")
        return self

    def requirements(self) -> frozenset[Need]:
        """Return what is to be measured: nothing with scores made beforehand."""
        return frozenset() if self.scores is not None else self.needs

    def check(self, facts: Facts) -> None:
        """Refuse scores of other rows, and a validation set without rows."""
        if self.scores is not None:
            self.stored_scores(facts)
        elif facts.validation is not None and facts.validation.rows == 0:
            raise UserError(f"{self.method} needs a validation set: eval_dataset has no row")

    def source(self) -> EmbeddingSource:
        """Return where vectors come from."""
        return EmbeddingSource(
            self.embedding_model,
            self.vectors,
            self.validation_vectors,
            self.text,
            self.max_tokens,
            self.centre,
        )

    def stored_scores(self, facts: Facts) -> tuple[FloatArray, dict[str, Any]]:
        """Return the scores of the file that ``scores`` names, with its notes, checked against the rows."""
        assert self.scores is not None
        return read_scores(Path(self.scores), self.method, facts.row_keys() if facts.row_keys else None)

    @abstractmethod
    def score(self, embeddings: Embeddings, notes: dict[str, Any]) -> FloatArray:
        """Return one score a row, higher is better, NaN for none; shape ``(rows,)``.

        Args:
            embeddings: of pool and validation rows.
            notes: takes what is worth knowing about the scores.
        """

    def scored(self, context: Context) -> FloatArray:
        """Return the present scores and note them; only vectors of the model in training are scored anew."""
        if self._kept is None:
            if self.scores is not None:
                scores, about = self.stored_scores(context.facts)
                notes = {"made": about}
            else:
                notes = {}
                scores = self.score(context.signals.embeddings(self.source()), notes)
            if self.scores is not None or self.source().fixed:
                self._kept = scores, notes
        else:
            scores, notes = self._kept
        context.notes.update(notes, scores=scores)
        return scores
