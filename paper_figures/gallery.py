"""All figures that a results folder can fill, each with a caption and a description in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from dataflex.evidence.results import CellResult
from paper_figures.by_step import accuracy_by_step
from paper_figures.figures import learning_curves
from paper_figures.planted_figure import picked_classes
from paper_figures.planted_mixture_figure import regrets_and_shares
from paper_figures.trajectories import mixture_weights


@dataclass(frozen=True)
class Picture:
    """A figure with its words.

    Attributes:
        name: file name without its ending.
        caption: what is shown, one sentence.
        description: how it is drawn, for readers and for those who can't see it.
        figure: as matplotlib holds it.
    """

    name: str
    caption: str
    description: str
    figure: Figure


def gallery(results: Sequence[CellResult]) -> list[Picture]:
    """All figures that these results can fill."""
    models = [result for result in results if result.kind == "model"]
    selections = [result for result in results if result.kind == "selection"]
    mixtures = [result for result in results if result.kind == "mixture"]
    pictures = []
    if models:
        pictures.append(
            Picture(
                "learning_curves",
                "Training loss over optimizer steps.",
                "A panel an experiment, a line a method: mean over seeds; bands are one standard deviation.",
                learning_curves(models),
            )
        )
        if weights := mixture_weights(models):
            pictures.append(
                Picture(
                    "mixture_weights",
                    "What each domain was given over the run.",
                    "A panel a method, a line a domain: its share of the tokens asked for, or of the loss "
                    "weights where there are such. Mean over seeds; bands are one standard deviation.",
                    weights,
                )
            )
        if curves := accuracy_by_step(models):
            pictures.append(
                Picture(
                    "accuracy_by_step",
                    "Accuracy during training.",
                    "A panel a model, a line a method. Bars are binomial standard errors.",
                    curves,
                )
            )
    if selections:
        pictures.append(
            Picture(
                "planted",
                "What each method picked from the pool whose classes are known.",
                "A bar a method: shares of the classes among its picks, those that it should pick first and "
                "framed. Diamonds: precision with its 95 % interval; dotted lines: random picking.",
                picked_classes(selections),
            )
        )
    if mixtures:
        pictures.append(
            Picture(
                "planted_mixture",
                "Mixtures of domains of known entropies: regret, and what each domain was given.",
                "Above, a line a method: how much more it loses on held-out text than the best static "
                "mixture; dots are seeds, diamonds their mean with its 95 % interval, the band holds all "
                "static mixtures. Below, a panel a method, a line a domain: its share of the tokens or of "
                "the loss weights.",
                regrets_and_shares(mixtures),
            )
        )
    return pictures
