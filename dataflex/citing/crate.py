"""The store as an RO-Crate 1.1: what each result is, by whom, from which software, in JSON-LD.

Research Object Crates (Soiland-Reyes et al. 2022, doi:10.3233/DS-210053) describe a folder of data by one
file, ``ro-crate-metadata.json``, that archives and search engines read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from dataflex.citing import bibtex, credit
from dataflex.evidence.store.find import HEADLINES, Entry

NAME = "ro-crate-metadata.json"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
DESCRIPTION = (
    "Results of training language models while selecting, mixing and weighting their data: for each run the "
    "outcome of every question, the loss of every document, its learning curve, its decisions, its "
    "configuration and its manifest. Reproduction of the DataFlex paper (arXiv 2603.26164)."
)


def metadata(entries: Sequence[Entry]) -> str:
    """The content of ``ro-crate-metadata.json``, the same text from the same results.

    Args:
        entries: all results of the store.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name = "DataFlex suite: results"
    crate.description = DESCRIPTION
    crate.license = LICENCE
    crate.datePublished = max((_day(entry) for entry in entries), default="")
    papers = [_paper(ContextEntity, crate, name) for name in _cited(entries)]
    crate.root_dataset["mentions"] = crate.add(
        ContextEntity(
            crate,
            "#dataflex-suite",
            {"@type": "SoftwareApplication", "name": bibtex.SUITE, "version": version("dataflex")},
        )
    )
    crate.root_dataset["citation"] = papers
    crate.root_dataset["author"] = crate.add(
        ContextEntity(
            crate, "#contributors", {"@type": "Organization", "name": "The DataFlex suite contributors"}
        )
    )
    rungs = {}
    for rung in dict.fromkeys(entry.rung for entry in entries):
        rungs[rung] = crate.add_dataset(dest_path=f"{rung}/", properties={"name": f"Rung {rung}"})
    for entry in entries:
        part = crate.add_dataset(
            dest_path=f"{entry.name}/",
            properties={
                "name": entry.name,
                "identifier": f"sha256:{entry.id}",
                "dateCreated": _day(entry),
                "keywords": ", ".join(map(str, entry.result.key)),
            },
        )
        part["variableMeasured"] = [
            crate.add(_number(ContextEntity, crate, entry, name, value))
            for name, value in entry.result.numbers().items()
            if name in HEADLINES
        ]
        rungs[entry.rung].append_to("hasPart", part)
    return (
        json.dumps(_settled(crate.metadata.generate()), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


def _number(entity: Any, crate: Any, entry: Entry, name: str, value: float) -> Any:
    properties = {"@type": "PropertyValue", "name": name, "value": value}
    return entity(crate, f"#{entry.id[:12]}-{name}", properties)


def _paper(entity: Any, crate: Any, name: str) -> Any:
    paper = bibtex.papers()[name]
    url = paper.get("url") or f"https://arxiv.org/abs/{name}"
    properties = {
        "@type": "ScholarlyArticle",
        "name": paper["title"],
        "author": "; ".join(paper["authors"]),
        "datePublished": str(paper["year"]),
    }
    return crate.add(entity(crate, url, properties))


def _cited(entries: Sequence[Entry]) -> list[str]:
    """The reproduced paper, and those of the methods that took part."""
    return [bibtex.DATAFLEX, *sorted(credit.papers(entry.result for entry in entries))]


def _day(entry: Entry) -> str:
    """The day on which the run began to end: of its last stretch."""
    return str(entry.result.run["manifest"]["stretches"][-1]["started"])[:10]


def _settled(content: dict[str, Any]) -> dict[str, Any]:
    """The metadata with its entities in the order of their names."""
    return {**content, "@graph": sorted(content["@graph"], key=lambda entity: str(entity["@id"]))}
