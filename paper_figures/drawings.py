"""All figures that a results folder can fill, each with its caption and the results that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from dataflex.evidence.results import BY_STEP, CellResult
from paper_figures.by_step import accuracy_by_step
from paper_figures.figures import learning_curves
from paper_figures.latex import escape
from paper_figures.mixture_weights import given
from paper_figures.planted_figure import picked_classes
from paper_figures.planted_mixture_figure import regrets_and_shares
from paper_figures.sources import ids
from paper_figures.style import KINDS, save
from paper_figures.trajectories import mixture_weights

LEARNING = (
    "Training loss over optimizer steps.",
    "A panel an experiment, a line a method: mean over seeds; bands are one standard deviation.",
)
WEIGHTS = (
    "What each domain was given over the run.",
    "A panel a method, a line a domain: its share of the tokens asked for, or of the loss weights where "
    "there are such. Mean over seeds; bands are one standard deviation.",
)
BY_STEPS = (
    "Accuracy during training.",
    "A panel a model, a line a method; bands are one binomial standard error.",
)
PLANTED = (
    "What each method picked from the pool whose classes are known.",
    "A bar a method: shares of the classes among its picks, those that it should pick first and framed. "
    "Diamonds: precision with its 95 % interval; dotted lines: random picking.",
)
CHAINS = (
    "Mixtures of domains of known entropies: regret, and what each domain was given.",
    "Above, a line a method: how much more it loses on held-out text than the best static mixture; dots are "
    "seeds, diamonds their mean with its 95 % interval, the band holds all static mixtures. Below, a panel a "
    "method, a line a domain: its share of the tokens or of the loss weights.",
)


@dataclass(frozen=True)
class Drawing:
    """A figure with what a paper says below it.

    Attributes:
        name: file name without its ending.
        caption: what is shown, one sentence.
        description: how it is drawn, for readers and for those who can't see it.
        figure: what is drawn.
        results: ids of the results that it shows.
    """

    name: str
    caption: str
    description: str
    figure: Figure
    results: Sequence[str]

    @property
    def below(self) -> str:
        """What stands below it on paper."""
        return f"{self.caption} {self.description}"

    def write(self, folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> None:
        """Write ``<name>.<kind>`` for all kinds."""
        save(self.figure, folder, self.name, kinds)

    def latex(self, file: str) -> str:
        """A ``figure`` environment that includes ``file``; it needs the package graphicx."""
        lines = [
            *(f"% {' '.join(self.results[at : at + 7])}" for at in range(0, len(self.results), 7)),
            "\\begin{figure}",
            "  \\centering",
            f"  \\includegraphics[width=\\linewidth,height=0.85\\textheight,keepaspectratio]{{{file}}}",
            f"  \\caption{{{escape(self.below)}}}",
            "\\end{figure}",
        ]
        return "\n".join(lines) + "\n"

    def markdown(self, file: str) -> str:
        """The picture with its caption."""
        return f"![{self.caption}]({file})\n\n{self.below}\n"


def build(results: Sequence[CellResult]) -> list[Drawing]:
    """All figures that these results can fill."""
    found = []

    def add(name: str, words: tuple[str, str], figure: Figure | None, shown: Sequence[CellResult]) -> None:
        if figure is not None:
            found.append(Drawing(name, *words, figure, ids(shown)))

    models = [result for result in results if result.kind == "model"]
    if models:
        mixed = [run for run in models if given(run)]
        evaluated = [run for run in models if BY_STEP in run.files]
        add("learning_curves", LEARNING, learning_curves(models), models)
        add("mixture_weights", WEIGHTS, mixture_weights(models), mixed)
        add("accuracy_by_step", BY_STEPS, accuracy_by_step(models), evaluated)
    if selections := [result for result in results if result.kind == "selection"]:
        add("planted", PLANTED, picked_classes(selections), selections)
    if mixtures := [result for result in results if result.kind == "mixture"]:
        add("planted_mixture", CHAINS, regrets_and_shares(mixtures), mixtures)
    return found
