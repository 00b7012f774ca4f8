"""Citations and the store's metadata, of the repository's own results."""

import hashlib
import json
import re
import statistics
from pathlib import Path

import pytest
import yaml
from results_factory import edit_json, write_cell
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

from dataflex.citing import bibtex, credit
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


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("demo/mixture/odm", "bits_per_byte.all"),
        ("demo/weighting/linupper", "mmlu.acc"),
        ("demo/planted/less", "precision"),
        ("demo/planted_mixture/odm", "loss.target"),
    ],
)
def test_the_main_number_of_an_experiment_is_cited(words, name):
    assert statement(find(words)).startswith(f"{name} of {words}.")


def test_an_accuracy_at_chance_is_said_to_be_such():
    chance = "cannot be told from chance"
    assert chance in statement(find("demo/mixture/odm"), "mmlu.acc")
    assert chance not in statement(find("demo/mixture/odm"), "mmlu.answer_nll")


def test_an_accuracy_above_chance_is_not(tmp_path):
    questions = write_cell(tmp_path / "demo", "selection", "less") / "questions.jsonl"
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    right = [row | {"choice": row["gold"], "correct": True} for row in rows]
    questions.write_text("".join(json.dumps(row) + "\n" for row in right))
    (one,) = all_entries(tmp_path)
    assert "mmlu.acc" in statement([one])
    assert "chance" not in statement([one])


def test_the_runs_that_a_result_rests_on_are_named():
    """Each seed's proportions are its own proxy's; the proxy's reference was trained by other code."""
    line = statement(find("demo/mixture/doremi"))
    proxies = find("demo/mixture/doremi_proxy")
    assert (
        f"made with demo/mixture/doremi_proxy.tiny.harvest ({', '.join(e.id[:12] for e in proxies)})" in line
    )
    assert "runs of mixture/natural.tiny.harvest that are not in the store" in line
    assert not any(entry.id[:12] in line for entry in find("demo/mixture/natural"))
    assert "made with" not in statement(find("demo/mixture/odm"))


def test_one_seed_rests_on_that_seed_alone():
    (one,) = find("demo/planted_mixture/doremi.chain.chains.seed3")
    names = [earlier.name for earlier in credit.earlier([one])]
    assert names == [
        "planted_mixture/doremi_proxy.chain.chains.seed3",
        "planted_mixture/uniform.chain.chains.seed3",
    ]


def test_checkpoints_and_folders_of_no_grid_are_earlier_runs(tmp_path):
    write_cell(tmp_path / "demo", "selection", "less", 1)
    cell = write_cell(tmp_path / "demo", "selection", "custom", 1)
    folders = ["runs/train/selection/less.tiny.harvest.seed1/checkpoint-100", "saves/warm/checkpoint-5"]
    edit_json(cell / "run.json", lambda run: run["manifest"].update(
        decisions={"select": {"component": "less", "params": {"checkpoints": folders}}}))  # fmt: skip
    (one,) = (entry for entry in all_entries(tmp_path) if entry.result.key[1] == "custom")
    found = [(earlier.name, earlier.entry is not None) for earlier in credit.earlier([one])]
    assert found == [("selection/less.tiny.harvest.seed1", True), ("saves/warm", False)]


def keys(texts):
    return [re.match(r"@\w+\{(\w+),", text)[1] for text in texts]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("demo/mixture/odm", ["albalak2023odm"]),
        ("demo/mixture/doremi_proxy", ["xie2023doremi"]),
        ("demo/mixture/natural", []),
        # Selector, mixer and weighter of one name have papers of their own.
        ("demo/weighting/linupper", ["sow2025dynamic"]),
        ("demo/selection/loss", []),
        ("demo/mixture/random", ["zhu2024dynamic"]),
        ("demo/selection/random", []),
        # Their component is `static`: what is due to DoReMi was done by the proxy run.
        ("demo/mixture/doremi", ["xie2023doremi"]),
        ("demo/planted_mixture/doremi", ["xie2023doremi"]),
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


@pytest.mark.parametrize(
    ("words", "papers"), [("demo/weighting/linupper", ["2502.06733"]), ("demo/selection/random", [])]
)
def test_the_crate_tells_components_of_one_name_apart(words, papers):
    content = json.loads(metadata(find(words)))
    (root,) = (entity for entity in content["@graph"] if entity["@id"] == "./")
    cited = root["citation"] if isinstance(root["citation"], list) else [root["citation"]]
    assert [paper["@id"].rpartition("/")[2] for paper in cited] == ["2603.26164", *papers]


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
