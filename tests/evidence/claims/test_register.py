"""The register of the repository itself: what is claimed, and that nothing was filled in."""

import csv
import itertools
import math
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence.claims.judge import judge
from dataflex.evidence.claims.published import read
from dataflex.evidence.claims.registry import load
from dataflex.report.standing import standing

ROOT = Path(__file__).resolve().parents[3]
REGISTER = "reproductions/claims.yaml"
PAPER = Path("reproductions/reference/published.csv")


@pytest.fixture(scope="module")
def register():
    return load()


def test_every_published_number_is_claimed_or_an_input(register):
    published = read(PAPER)
    valued = {claim.cells[0].place for claim in register.claims if claim.kind == "value"}
    assert {place[3] for place in published.keys() - valued} == {"natural/default"}


def test_every_method_beside_a_baseline_is_a_difference(register):
    differences = [claim for claim in register.claims if claim.kind == "difference"]
    # Mixtures: 2 scales x 2 methods x (MMLU and 8 perplexities). Selection: 2 models x (8 against full data,
    # 7 against random).
    assert len(differences) == 36 + 30
    for claim in differences:
        one, other = claim.cells
        if claim.gauge == "perplexity":
            assert claim.published == pytest.approx(math.log(one.value / other.value, 2))
        elif claim.table == "data_selection":
            assert claim.published == pytest.approx(100 * (one.value - other.value))
        else:
            assert claim.published == pytest.approx(one.value - other.value)


def test_orderings_are_those_of_the_published_numbers(register):
    for claim in register.claims:
        if claim.kind == "ordering":
            value = {cell.place[3]: cell.value for cell in claim.cells}
            assert [method for tier in claim.tiers for method in tier] == list(claim.methods)
            for better, worse in itertools.combinations(claim.tiers, 2):
                for one, other in itertools.product(better, worse):
                    assert (value[one] > value[other]) == claim.higher_is_better
                    assert value[one] != value[other]


def test_the_smallest_effect_of_interest_is_registered_and_not_the_published_one(register):
    compared = [claim for claim in register.claims if claim.kind != "value"]
    by_gauge = {
        gauge: {c.least for c in compared if c.gauge == gauge} for gauge in ("accuracy", "perplexity")
    }
    assert by_gauge == {"accuracy": {1.5}, "perplexity": {0.02}}
    for claim in compared:
        # What is smaller counts as no difference.
        assert claim.kind == "ordering" or claim.least == claim.margin


def test_no_number_was_filled_in():
    with PAPER.open(newline="") as stream:
        for row in csv.DictReader(stream):
            assert row["questions"] == ""  # no source states how many
            assert row["source"]


def test_rungs_name_cells_of_their_grids(register):
    for rung in register.rungs.values():
        grid = grids.load(f"reproductions/{rung.name}.yaml")
        keys = {(c.experiment, c.method, c.model, c.scale) for c in grids.cells(grid, seeds=None)}
        for places in rung.tables.values():
            for place in places.methods.values():
                for model in places.models.values():
                    for scale in places.scales.values():
                        assert (*place.split("/"), model, scale) in keys


def test_claims_that_no_rung_can_judge_say_why():
    """A job measures times and none an accuracy of the same tables, so that only the latter lack one."""
    found = {one.claim.id: one for one in judge({}) if one.claim.table.startswith("efficiency_")}
    assert len(found) == 25
    for one in found.values():
        assert one.verdict == "not-run"
        of_time = one.claim.metric != "Acc (%)"
        assert of_time == ("in the tables of the benchmarks" in one.reason)
        assert of_time != ("no job of the workflow fills" in one.reason)
        assert standing(one) == ("not-comparable" if of_time else "not-run")


def broken(tmp_path, change):
    content = yaml.safe_load(Path("reproductions/claims.yaml").read_text())
    change(content)
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["orderings"][0]["tiers"].append(["Nobody"]), "without a published number"),
        (lambda c: c["orderings"].append(c["orderings"][0]), "twice"),
        (lambda c: c.pop("rungs"), "rungs"),
        (lambda c: c.update(schema=2), "schema 2"),
        (lambda c: c["tables"]["data_mixture"]["metrics"].pop("MMLU"), "MMLU"),
        (lambda c: c["tables"]["data_mixture"]["metrics"]["MMLU"].pop("smallest_effect"), "smallest_effect"),
    ],
)
def test_a_malformed_register_is_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        load(broken(tmp_path, change))


@pytest.mark.parametrize(
    ("column", "value"),
    [("value", "nan"), ("value", ""), ("source", ""), ("confidence", "sure"), ("protocol", "x")],
)
def test_a_malformed_number_is_refused(tmp_path, column, value):
    (tmp_path / "protocols.yaml").write_text(PAPER.with_name("protocols.yaml").read_text())
    with PAPER.open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:2]
    rows[1][column] = value
    file = tmp_path / "published.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(UserError, match="line 3"):
        read(file)


def of_git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this is no checkout: {done.stderr.strip()}")
    return done.stdout.split()


@pytest.fixture
def _history():
    if of_git("rev-parse", "--is-shallow-repository") != ["false"]:
        pytest.skip("a shallow clone has no history to look at")


@pytest.mark.usefixtures("_history")
def test_who_changes_a_claim_or_a_margin_says_when(register):
    """Else a margin could be set by results that are known: what did not start later decides nothing."""
    days = of_git("log", "--format=%as", "--", REGISTER)
    uncommitted = of_git("status", "--porcelain", "--", REGISTER)
    today = [datetime.now(UTC).date().isoformat()] if uncommitted else []
    (registered,) = {claim.registered for claim in register.claims}
    assert max([*today, *days]) <= registered


@pytest.mark.usefixtures("_history")
def test_a_change_of_the_register_changes_no_result():
    # The commit that made the register moved the whole store.
    for commit in of_git("log", "--since=2026-11-30T00:00", "--format=%h", "--", REGISTER):
        files = of_git("show", "--name-only", "--format=", commit)
        assert not [file for file in files if file.startswith("results/")], commit
