"""Citations and the store's metadata, of the repository's own results."""

import hashlib
import json
import re
import statistics
from pathlib import Path

import pytest
import yaml
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

from dataflex.citing import bibtex
from dataflex.citing.commands import entries, statement
from dataflex.citing.crate import NAME, metadata
from dataflex.cli import app
from dataflex.errors import UserError
from dataflex.evidence.store.find import entries as all_entries
from dataflex.evidence.store.find import find
from dataflex.registry import components


def test_a_statement_says_what_a_number_rests_on():
    found = find("demo/mixture/odm")
    values = [entry.result.numbers()["bits_per_byte.all"] for entry in found]
    line = statement(found, "bits_per_byte.all")
    assert line.startswith("bits_per_byte.all of demo/mixture/odm.tiny.harvest: ")
    assert f"{statistics.mean(values):.4f} (95 % interval" in line
    assert "over 6 seeds" in line
    assert all(entry.id[:12] in line for entry in found)
    ids = "".join(sorted(entry.id for entry in found))
    assert hashlib.sha256(ids.encode()).hexdigest() in line
    assert "\n" not in line


def test_one_seed_has_no_interval():
    (one,) = find("demo/mixture/odm.tiny.harvest.seed1")
    assert "(seed 1: no interval over seeds)" in statement([one])
    with pytest.raises(UserError, match="has no nothing"):
        statement([one], "nothing")


def keys(texts):
    return [re.match(r"@\w+\{(\w+),", text)[1] for text in texts]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("demo/mixture/odm", ["albalak2023odm"]),
        ("demo/mixture/doremi_proxy", ["xie2023doremi"]),
        ("demo/mixture/natural", []),
        ("demo/planted/tsds", ["liu2024tsds"]),
        ("demo/weighting/adapt", ["zhao2026rethinking"]),
    ],
)
def test_every_method_is_credited(words, expected):
    assert keys(entries(find(words))) == ["dataflex_suite", "liang2026dataflex", *expected]


def test_braces_are_balanced():
    for name in bibtex.papers():
        text = bibtex.paper(name)
        assert text.count("{") == text.count("}")
        assert bibtex.papers()[name]["title"] in text


def test_every_paper_of_a_component_is_known():
    """A method whose paper is not listed here could not be credited."""
    for found in components().values():
        for component in found.values():
            if paper := getattr(component, "paper", None):
                assert bibtex.identifier(paper), f"dataflex/citing/papers.yaml lacks {paper}"


def test_the_citation_file_names_the_paper_too():
    content = yaml.safe_load(Path("CITATION.cff").read_text())
    (paper,) = content["references"]
    assert paper["title"] == bibtex.papers()[bibtex.DATAFLEX]["title"]


def test_the_command():
    result = CliRunner().invoke(app, ["cite", "demo/mixture/odm"])
    assert result.exit_code == 0
    assert result.output.count("@") == 3


def test_the_stores_metadata_are_of_its_results():
    assert Path("results", NAME).read_text() == metadata(list(all_entries())), "run dataflex-cli crate"


def test_the_metadata_are_a_crate(tmp_path):
    found = find("demo/mixture/odm")
    for entry in found:
        (tmp_path / entry.name).mkdir(parents=True)
    (tmp_path / NAME).write_text(metadata(found))
    crate = ROCrate(tmp_path)
    assert crate.name == "DataFlex suite: results"
    datasets = {entity.id: entity for entity in crate.get_by_type("Dataset")}
    for entry in found:
        assert datasets[f"{entry.name}/"]["identifier"] == f"sha256:{entry.id}"
    cited = {paper.id for paper in crate.root_dataset["citation"]}
    assert cited == {"https://arxiv.org/abs/2603.26164", "https://arxiv.org/abs/2312.02406"}
    assert all("@id" in entity for entity in json.loads((tmp_path / NAME).read_text())["@graph"])
