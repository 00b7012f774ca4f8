"""What stands on the page, read back from its HTML."""

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import typer
from everything import HOSTILE, ROOT
from judged import judgements
from results_factory import edit_json, write_study
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.evidence.claims.judge import judge
from dataflex.evidence.claims.judgement import VERDICTS
from dataflex.evidence.results import read_results
from dataflex.evidence.store.identity import result_id
from dataflex.report.commands import report
from dataflex.report.page import render
from dataflex.report.rungs import read_grids, read_rungs
from paper_figures.tables import build

MINUS = "\N{MINUS SIGN}"
html = pytest.importorskip("lxml.html")


@pytest.fixture(scope="module")
def tree(page):
    return html.fromstring(page.read_text(encoding="utf-8"))


def words(element):
    return " ".join(element.text_content().split())


def test_the_parts_stand_in_their_order(tree):
    assert [section.get("id") for section in tree.xpath("//main/section")] == [
        "verdicts", "tables", "figures", "results", "costs", "gaps", "assumptions",
    ]  # fmt: skip
    links = [link.get("href") for link in tree.xpath("//nav//a")]
    assert links == [f"#{section.get('id')}" for section in tree.xpath("//main/section")]


def test_ids_are_unique_and_every_link_leads_somewhere(tree):
    ids = Counter(tree.xpath("//@id"))
    assert ids.most_common(1)[0][1] == 1
    inside = [name.removeprefix("#") for name in tree.xpath("//@href") if name.startswith("#")]
    inside += [name for names in tree.xpath("//@aria-labelledby") for name in names.split()]
    inside += re.findall(r"url\(#([^)]+)\)", html.tostring(tree, encoding="unicode"))
    assert set(inside) <= ids.keys()
    assert [name for name in tree.xpath("//@href | //@src") if not name.startswith("#")] == ["data:,"]


def test_verdicts_are_counted_and_shown_with_what_they_rest_on(tree, parts):
    counted = {item.get("data-verdict"): int(item.xpath(".//span[@class='count']")[0].text) for item in tree.xpath("//ul[@id='strip']/li")}  # fmt: skip
    assert tuple(counted) == VERDICTS
    assert counted == {**dict.fromkeys(VERDICTS, 1), "not-run": 2}
    rows = tree.xpath("//table[@id='claims']/tbody/tr")
    for row, judgement in zip(rows, judgements(parts[0][0].ids), strict=True):
        assert judgement.claim.statement in words(row)
        assert judgement.reason in words(row)
        (badge,) = row.xpath(".//td//span[contains(@class, 'badge')]")
        assert words(badge) == judgement.verdict.replace("-", " ")
        assert f"v-{judgement.verdict}" in badge.get("class")
        assert badge.xpath(".//*[local-name()='use']/@href") == [f"#mark-{judgement.verdict}"]
    first = [words(cell) for cell in rows[0].xpath("td[@data-label]")]
    assert first[:3] == [f"{MINUS}0.083± 0.050", f"{MINUS}0.071[{MINUS}0.096, {MINUS}0.046]", "0.036"]
    assert len(rows[0].xpath(".//a")) == 12
    # A result that is not on the page is named without a link.
    assert "f" * 12 in words(rows[4])
    assert not rows[4].xpath(".//a")


def test_tables_hold_the_same_text_as_those_on_paper(tree, study):
    drawn = tree.xpath("//section[@id='tables']//table")
    made = build(read_results(study))
    assert len(drawn) == len(made) >= 4
    for table, expected in zip(drawn, made, strict=True):
        rows = [[cell.text_content() for cell in row.xpath("th | td")] for row in table.xpath("tbody/tr")]
        assert rows == [list(row) for row in expected.rows]
        assert [head.text_content() for head in table.xpath("thead//th")] == list(expected.header)


def test_every_figure_has_words(tree):
    figures = tree.xpath("//*[local-name()='svg' and @class='figure']")
    assert len(figures) == 5
    for figure in figures:
        title, description = figure.get("aria-labelledby").split()
        assert words(tree.get_element_by_id(title))
        assert len(words(tree.get_element_by_id(description))) > 40


def test_every_result_is_there_with_all_that_its_folder_tells(tree, study):
    results = read_results(study)
    cells = tree.xpath("//details[@class='cell']")
    assert len(cells) == len(results)
    for result in results:
        name = result_id(result)
        cell = tree.get_element_by_id(f"result-{name[:12]}")
        assert name in words(cell)
        told = {words(pair.find("dt")): words(pair.find("dd")) for pair in cell.xpath(".//dl/div")}
        assert told | {key: str(value) for key, value in result.cell.items()} == told
        assert told | {key: f"{value:.6g}" for key, value in result.numbers().items()} == told
        *_, manifest = cell.xpath(".//pre")
        assert json.loads(manifest.text_content()) == result.run
        with (result.folder / "shares.csv").open() as stream:
            domains = {row["domain"] for row in csv.DictReader(stream)}
        assert len(cell.xpath(".//ul[@class='legend']/li")) == len(domains)


def test_decisions_come_from_the_plan_log_or_the_page_says_that_there_is_none(tree, study):
    cells = [words(cell) for cell in tree.xpath("//details[@class='cell']")]
    (odm,) = [text for text in cells if "methododm" in text]
    assert '{"step": 0, "decision": "mix"}' in odm
    assert "... 10 more" in odm
    (static,) = [text for text in cells if "mix by static" in text]
    assert "mix by static after step 10, every 5 steps" in static
    assert "The plan log is not among the files of this result" in static


def test_what_a_manifest_says_is_text(tree, page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "<img" not in text
    assert any(json.dumps(HOSTILE)[1:-1] in pre.text_content() for pre in tree.xpath("//pre"))


def test_costs_are_sums_of_what_the_manifests_say(tree):
    rows = {words(row.find("th")): [words(cell) for cell in row.findall("td")] for row in tree.xpath("//table[contains(@class, 'costs')]//tr") if row.find("td") is not None}  # fmt: skip
    # Of five runs of mixtures two know how long they took: 30 s and 50 s.
    assert rows["mixture"][:3] == ["5", "1 min 20 s of 2", "40.0 s"]
    # 4,000 tokens in every run.
    assert rows["mixture"][3:] == ["20 000", "100"]
    assert "a CPU, 2 cores, no GPU, 1 process a run 2 runs" in words(tree.get_element_by_id("costs"))


def test_what_was_not_run_and_what_was_assumed_is_named(tree, parts):
    gaps = words(tree.get_element_by_id("gaps"))
    assert "2 claims without a result" in gaps
    assert "none of 18" in gaps
    assert "less.Mistral-7B-v0.1.openhermes_100k.seed42" in gaps
    assumed = words(tree.get_element_by_id("assumptions"))
    paper = parts[1][1].grid["experiments"]["selection"]["not_published"]
    for entry in paper:
        assert str(entry["setting"]) in assumed
        assert str(entry["choice"]) in assumed


def test_the_same_store_gives_the_same_bytes(parts, page):
    rungs, grids = parts
    assert render(rungs, grids, judgements(rungs[0].ids)).encode() == page.read_bytes()


def test_a_result_is_named_by_what_it_holds(tmp_path):
    (first, *_) = read_results(write_study(tmp_path / "one", seeds=(1,)))
    before = result_id(first)
    sums = [f"{hashlib.sha256((first.folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(first.files)]  # fmt: skip
    assert before == hashlib.sha256("".join(sums).encode()).hexdigest()
    (first.folder / "notes.txt").write_text("seen")
    assert result_id(first) == before
    (first.folder / "plan_log.jsonl").write_text("{}\n")
    assert result_id(first) != before
    edit_json(first.folder / "run.json", lambda run: run.update(corpus="another"))
    assert result_id(first) != before


def test_two_rungs_with_the_same_result_have_two_places_for_it(tmp_path, monkeypatch):
    for rung in ("one", "two"):
        write_study(tmp_path / "results" / rung, seeds=(1,))
    monkeypatch.chdir(tmp_path)
    text = render(read_rungs(None, [], named=False), [], ())
    ids = Counter(html.fromstring(text).xpath("//@id"))
    assert ids.most_common(1)[0][1] == 1
    assert sum(name.startswith("result-") for name in ids) == 14


def run(*arguments):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_the_page(study, tmp_path):
    grid = ROOT / "reproductions/demo.yaml"
    result = run(study, "--grid", grid, "--output", tmp_path / "new/report.html")
    assert result.exit_code == 0, result.output
    tree = html.fromstring((tmp_path / "new/report.html").read_text(encoding="utf-8"))
    said = words(tree.get_element_by_id("verdicts"))
    # The register's claims about selection and mixtures, on the results' own rung alone.
    assert "DoReMi" in said
    assert "Mistral" in said
    judged = [judgement for judgement in judge({"demo": read_results(study)}) if judgement.rung == "demo"]
    assert len(judged) > 50
    assert f"{len(read_results(study))} results, {len(judged)} claims" in result.output


def test_without_a_register_nothing_is_judged(study, tmp_path, monkeypatch):
    grid = ROOT / "reproductions/demo.yaml"
    monkeypatch.chdir(tmp_path)
    result = run(study, "--grid", grid, "--output", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    tree = html.fromstring((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "No claim of the paper has been judged" in words(tree.get_element_by_id("verdicts"))


def test_without_arguments_all_reviewed_rungs_are_read(study, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(study).parent.parent)
    result = run("--output", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "name one with --grid" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_folder_without_results_is_told(tmp_path):
    result = run(tmp_path / "none", "--output", tmp_path / "report.html")
    assert isinstance(result.exception, UserError)
    assert not (tmp_path / "report.html").exists()


def test_files_that_are_no_grids_are_passed_over(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {entry.grid["rung"] for entry in read_grids(None)} == {"cluster", "demo", "laptop", "paper"}
