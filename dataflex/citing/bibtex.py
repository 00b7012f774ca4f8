"""BibTeX entries of papers and of this suite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

SUITE = "DataFlex suite: data selection, mixture and reweighting while an LLM trains"
DATAFLEX = "2603.26164"
ARXIV = re.compile(r"\d{4}\.\d{5}")


@cache
def papers() -> Mapping[str, Mapping[str, Any]]:
    """The papers of ``papers.yaml``, by identifier."""
    return dict(yaml.safe_load(Path(__file__).with_name("papers.yaml").read_text()))


def identifier(paper: str) -> str | None:
    """The identifier in what a component says of its paper; None where none is known."""
    return next((name for name in papers() if paper.rstrip().endswith(name)), None)


def paper(name: str) -> str:
    """The entry of a paper."""
    entry = papers()[name]
    arxiv = ARXIV.fullmatch(name) is not None
    venue = entry.get("venue")
    fields = {
        "title": f"{{{entry['title']}}}",
        "author": " and ".join(entry["authors"]),
        "year": str(entry["year"]),
    }
    if venue:
        fields["booktitle"] = venue
    elif arxiv:
        fields["journal"] = f"arXiv preprint arXiv:{name}"
    fields["url"] = entry.get("url") or f"https://arxiv.org/abs/{name}"
    return _entry("inproceedings" if venue else "article", entry["key"], fields)


def suite(commits: Sequence[str], note: str) -> str:
    """The entry of this software, at the version that is installed.

    Args:
        commits: that the cited runs were made by.
        note: what of it is cited.
    """
    fields = {
        "title": f"{{{SUITE}}}",
        "author": "{The DataFlex suite contributors}",
        "year": "2026",
        "version": version("dataflex"),
        "note": note + (f"; runs of commit {', '.join(commits)}" if commits else ""),
    }
    return _entry("software", "dataflex_suite", fields)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{_latex(value)}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _latex(text: str) -> str:
    return text.replace("&", r"\&").replace("%", r"\%")
