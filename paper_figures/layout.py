"""Names and orders that tables and figures share."""

from __future__ import annotations

from collections.abc import Iterable

from dataflex.evaluation.perplexity import ALL, NATURAL

METHODS = (
    *("start", "full", "natural", "baseline", "uniform", "random"),
    *("loss", "loss_low", "loss_medium", "loss_high", "delta_loss"),
    *("less", "less_projected", "cluster_less", "nice", "near", "tsds", "custom"),
    *("none", "linupper", "quadratic", "extremes", "reweight"),
    *("doremi", "doremi_proxy", "raw_dro", "raw_dro_proxy", "odm", "dynamic_moe"),
)
"""The paper's order of methods, ours put where they belong; others follow by name."""

LABELS = {
    "start": "Before fine-tuning",
    "full": "Full data",
    "natural": "Natural (baseline)",
    "baseline": "Baseline",
    "uniform": "Uniform",
    "temperature": "Temperature",
    "unimax": "UniMax",
    "random": "Random",
    "loss": "Loss",
    "loss_low": "Loss, low",
    "loss_medium": "Loss, medium",
    "loss_high": "Loss, high",
    "delta_loss": "Delta loss",
    "less": "LESS",
    "less_projected": "LESS, projected",
    "cluster_less": "ClusterLESS",
    "nice": "NICE",
    "near": "NEAR",
    "tsds": "TSDS",
    "custom": "Custom",
    "none": "Weights of one",
    "linupper": "Weights: linupper",
    "quadratic": "Weights: quadratic",
    "extremes": "Weights: extremes",
    "adapt": "ADAPT",
    "reweight": "Reweight",
    "doremi": "DoReMi",
    "doremi_proxy": "DoReMi, proxy",
    "raw_dro": "Raw-loss DRO",
    "raw_dro_proxy": "Raw-loss DRO, proxy",
    "odm": "ODM",
    "dynamic_moe": "Load of experts",
}

EXPERIMENTS = ("mixture", "mixture_moe", "selection", "weighting")

TOTALS = (NATURAL, ALL)
"""What stands beside the domains in a summary; the one that is shown comes first."""
PAPER_DOMAINS = ("CC", "C4", "SE", "Wiki", "GitHub", "ArXiv", "Book")
SLIMPAJAMA = {
    "RedPajamaCommonCrawl": "CC",
    "RedPajamaC4": "C4",
    "RedPajamaStackExchange": "SE",
    "RedPajamaWikipedia": "Wiki",
    "RedPajamaGithub": "GitHub",
    "RedPajamaArXiv": "ArXiv",
    "RedPajamaBook": "Book",
}
"""SlimPajama's names of its sets and the paper's columns for them."""


def label(method: str) -> str:
    """How a method is called in tables and figures."""
    return LABELS.get(method, method)


def ordered(names: Iterable[str], order: tuple[str, ...]) -> list[str]:
    """Distinct ``names``: those in ``order`` first and in that order, the rest by name."""
    return sorted(set(names), key=lambda name: (order.index(name) if name in order else len(order), name))


def domain_label(domain: str) -> str:
    """The column head of a domain."""
    return SLIMPAJAMA.get(domain, domain.replace("_", " "))


def domains_in_order(domains: Iterable[str]) -> list[str]:
    """Domains without the totals: SlimPajama's in the paper's order, others by name."""

    def place(domain: str) -> tuple[int, str]:
        short = SLIMPAJAMA.get(domain, "")
        return (PAPER_DOMAINS.index(short) if short else len(PAPER_DOMAINS), domain)

    return sorted((domain for domain in set(domains) if domain not in TOTALS), key=place)
