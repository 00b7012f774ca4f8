"""TSDS: rows drawn so that they are distributed like the validation rows, but spread out and not repeated.

Liu, Wang, Zhang, Huang, Xia, Zhang: TSDS, Data Selection for Task-Specific Model Finetuning, NeurIPS 2024,
arXiv:2410.11303; authors' code github.com/ZifanL/TSDS. Sampling probabilities are the solution of an optimal
transport from the validation rows to the pool with a price on crowded rows (``signals.transport``). The
authors' alpha 0.5 and sigma 0.75 are the defaults. Their C of 5 is "the scale of the embeddings' norms"; here
vectors have length one, so C is 1. DataFlex ran alpha 0.6 and C 5. Two differences are on purpose: a row's
density counts the whole pool (``signals.density``), and neighbours are added until the solution is certain.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, IntArray
from dataflex.selectors._embedded import EmbeddingSelector
from dataflex.signals.assignment import assign
from dataflex.signals.embeddings import Embeddings


class TsdsSelector(EmbeddingSelector):
    """Draw rows with the probabilities of an optimal transport from the validation rows."""

    paper = "arXiv:2410.11303"
    method = "tsds"

    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Closeness to the validation rows against spread; at 1 only nearest neighbours are drawn."""
    C: Annotated[float, Field(gt=0)] = 1.0
    """Scale of distances; with vectors of length one, 1."""
    sigma: Annotated[float, Field(ge=0)] = 0.75
    """Distance within which rows count as near-duplicates of each other; 0: none do."""
    max_neighbours: Annotated[int, Field(ge=1)] = 5000
    """Neighbours of a validation row at the most; the log says ``truncated`` where they did not suffice."""
    sampling: Literal["without_replacement", "multinomial"] = "without_replacement"
    """multinomial draws with replacement, as the paper does: a row may come several times in a phase."""

    def repeats_rows(self) -> bool:
        """With multinomial sampling, yes."""
        return self.sampling == "multinomial"

    def select(self, context: Context, n: int) -> IntArray:
        """Return ``n`` ids; without replacement fewer, if fewer rows have a positive probability."""
        chances = np.nan_to_num(self.scored(context))
        rng = context.rng("tsds")
        if self.sampling == "multinomial":
            return rng.choice(len(chances), size=n, p=chances / chances.sum()).astype(np.int64)
        # The n largest of log chance + Gumbel noise are a draw without replacement (Vieira 2014).
        noise = rng.gumbel(size=len(chances))
        possible = np.flatnonzero(chances > 0)
        keys = np.log(chances[possible]) + noise[possible]
        return possible[np.argsort(-keys, kind="stable")[:n]]

    def score(self, embeddings: Embeddings, notes: dict[str, Any]) -> FloatArray:
        """Return the probability of each row."""
        solved = assign(
            embeddings,
            alpha=self.alpha,
            cost_scale=self.C,
            sigma=self.sigma,
            max_neighbours=self.max_neighbours,
            index=self.index,
            probes=self.probes,
        )
        notes |= {
            "truncated": solved.truncated,
            "stop": solved.plan.stop,
            "neighbours": int(solved.known.max()),
            "rows_with_probability": int((solved.probabilities > 0).sum()),
            "effective_rows": float(1 / (solved.probabilities**2).sum()),
            "largest_density": float(np.nanmax(solved.densities)),
        }
        return solved.probabilities
