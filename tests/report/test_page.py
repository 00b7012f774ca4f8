"""What stands on the page, read back from its HTML."""

import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from everything import HOSTILE, ROOT
from judged import judgements
from results_factory import edit_json, write_cell, write_grid, write_study
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.evidence.claims.judge import judge
from dataflex.evidence.results import read_results
from dataflex.evidence.store.identity import result_id
from dataflex.report.commands import report
from dataflex.report.page import render
from dataflex.report.rungs import read_grids, read_store
from dataflex.report.standing import STANDINGS, standing
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
        "summary", "verdicts", "tables", "figures", "results", "costs", "gaps", "assumptions", "provenance",
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


def told(parts):
    return judgements(parts[0][0].ids)


def test_verdicts_are_counted_and_shown_with_what_they_rest_on(tree, parts):
    counted = {item.get("data-verdict"): int(item.xpath(".//span[@class='count']")[0].text) for item in tree.xpath("//ul[@id='strip']/li")}  # fmt: skip
    assert tuple(counted) == STANDINGS
    assert counted == {**dict.fromkeys(STANDINGS, 1), "not-run": 3}
    rows = tree.xpath("//div[@id='claims']//tbody/tr")
    expected = sorted(told(parts), key=lambda one: STANDINGS.index(standing(one)))
    for row, judgement in zip(rows, expected, strict=True):
        assert judgement.claim.statement in words(row)
        assert row.get("data-verdict") == standing(judgement)
    first = [words(cell) for cell in rows[0].xpath("td[@data-label]")]
    assert first == [f"{MINUS}0.083± 0.050", f"{MINUS}0.071[{MINUS}0.096, {MINUS}0.046]", "0.036"]
    assert len(rows[0].xpath(".//a")) == 12
    # A result that is not on the page is named without a link.
    (unknown,) = [row for row in rows if "f" * 12 in words(row)]
    assert not unknown.xpath(".//a")


def test_claims_that_stand_alike_are_folded_together_with_their_reason(tree, parts):
    groups = tree.xpath("//div[@id='claims']/details")
    shown = [(words(group.find("summary")), len(group.xpath(".//tbody/tr"))) for group in groups]
    assert [number for _, number in shown] == [1, 1, 1, 1, 1, 1, 2, 1]
    for judgement in told(parts):
        if standing(judgement) not in ("not-run", "not-comparable"):
            assert any(judgement.reason in text for text, _ in shown)
    # What says something of its claim is open, what does not is one line.
    opened = [group.get("class").split("v-")[1] for group in groups if "open" in group.attrib]
    assert opened == ["reproduced", "consistent", "contradicted"]
    assert "not comparable the results lack the number 1 claim" in " ".join(text for text, _ in shown)
    for group in groups:
        assert group.xpath("summary//*[local-name()='use']/@href") == [
            f"#mark-{group.get('class').split('v-')[1]}"
        ]


def test_a_row_names_whose_number_it_is(tree):
    rows = {words(row.find("th")): words(row) for row in tree.xpath("//div[@id='claims']//tbody/tr")}
    (ours,) = [text for name, text in rows.items() if name.startswith("DoReMi raises the accuracy")]
    assert "rung demo tiny, harvest, 165 questions, 6 seeds" in ours


def test_a_method_that_was_not_run_is_told_from_one_in_another_experiment(tree):
    (group,) = [part for part in tree.xpath("//details[contains(@class, 'v-not-run')]") if "LESS" in words(part) and "demo" in words(part)]  # fmt: skip
    assert "Not run where the paper's table has its place on the rung demo: LESS." in words(group)
    assert group.xpath("p/a/@href") == ["#table-demo-planted"]


def test_the_matrix_has_a_square_for_every_claim(tree, parts):
    squares = tree.xpath("//div[@class='matrix']//i")
    assert Counter(square.get("class") for square in squares) == Counter(
        f"v-{standing(one)}" for one in told(parts)
    )
    lines = [words(line) for line in tree.xpath("//div[contains(@class, 'line')]")]
    assert "1 reproduced, 1 contradicted, 1 underpowered, 1 not comparable" in lines[0]


def test_the_summary_says_what_the_results_hold(tree):
    summary = tree.get_element_by_id("summary")
    found = [words(one) for one in summary.xpath(".//li[p[@class='said']]")]
    assert found[0].startswith("Of 6 claims of the paper: 1 reproduced, 1 contradicted.")
    text = " ".join(found)
    # Of 20 picks of one seed 18 are right; Wilson's interval over picked rows.
    assert "precision is best with LESS, 0.90 [0.70, 0.97]" in text
    assert "Random picking: 0.50" in text
    for link in summary.xpath(".//li[p[@class='said']]//a/@href"):
        tree.get_element_by_id(link.removeprefix("#"))
    assert "Trained here: model" in words(summary)


def test_every_number_of_the_drawings_stands_in_its_table(tree):
    for figure in tree.xpath("//figure[@class='forest']"):
        table = tree.get_element_by_id(figure.xpath(".//figcaption/a/@href")[0].removeprefix("#"))
        rows = {words(row.find("th")): words(row) for row in table.xpath(".//tbody/tr")}
        lines = figure.xpath(".//li")
        assert len(lines) >= 1
        for line in lines:
            name, value = (words(part) for part in line.xpath("span"))
            assert value in rows[name]


def test_whose_models_are_others_is_said_above_the_findings(parts):
    rungs, grids = parts
    ours = [replace(one, claim=replace(one.claim, model="Mistral-7B-v0.1")) for one in told(parts)]
    (line,) = html.fromstring(render(rungs, grids, ours)).xpath("//p[contains(@class, 'subject')]")
    assert words(line).startswith("Not the paper's models.")
    assert "The paper's claims are about Mistral-7B-v0.1" in words(line)
    ours = [replace(one, claim=replace(one.claim, model="tiny")) for one in told(parts)]
    (line,) = html.fromstring(render(rungs, grids, ours)).xpath("//p[contains(@class, 'subject')]")
    assert "Not the paper's" not in words(line)


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
    assert "3 claims without a run" in gaps
    assert "none of 18" in gaps
    assert "less.Mistral-7B-v0.1.openhermes_100k.seed42" in gaps
    assumed = words(tree.get_element_by_id("assumptions"))
    paper = parts[1][1].grid["experiments"]["selection"]["not_published"]
    for entry in paper:
        assert str(entry["setting"]) in assumed
        assert str(entry["choice"]) in assumed


def gaps_of(tmp_path, *arguments):
    """What of the experiment of selection has no result, and the sentence that opens the page's summary."""
    results = tmp_path / "runs/demo/results"
    if not results.exists():
        for seed in (1, 3):
            write_cell(results, "selection", "full", seed)
    grid = write_grid(tmp_path)
    told = run(results, "--grid", grid, *arguments, "--output", tmp_path / "report.html")
    assert told.exit_code == 0, told.output
    tree = html.fromstring((tmp_path / "report.html").read_text(encoding="utf-8"))
    (row,) = [row for row in tree.xpath("//table[@class='data gaps']//tr") if "selection" in words(row)]
    return [words(item) for item in row.xpath(".//li")], words(tree.get_element_by_id("summary"))


def test_what_was_not_run_is_counted_at_the_seeds_that_were_asked_for(tmp_path):
    missing, found = gaps_of(tmp_path, "--seeds", "1,2")
    lacking = {*(f"{name}.tiny.harvest.seed{seed}" for name in ("random", "loss") for seed in (1, 2))}
    assert set(missing) == lacking | {"full.tiny.harvest.seed2"}
    # Ten methods of the grid, with two seeds each.
    assert "19 of the 20 cells that the grid evaluates have no result" in found


def test_what_was_not_run_is_counted_at_the_seeds_of_the_grid_and_of_the_results(tmp_path):
    missing, found = gaps_of(tmp_path)
    assert set(missing) == {
        f"{name}.tiny.harvest.seed{seed}" for name in ("random", "loss") for seed in (1, 3)
    }
    # The other experiments were run with no seed but the grid's.
    assert "11 of the 13 cells that the grid evaluates have no result" in found


@pytest.mark.parametrize(("seeds", "told"), [("1,x", "whole numbers"), ("1", "of one rung")])
def test_seeds_that_say_nothing_are_refused(study, seeds, told):
    folder = () if "," not in seeds else (study,)
    result = run(*folder, "--seeds", seeds)
    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)


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
    text = render(read_store(), [], ())
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


def test_a_run_that_goes_on_has_its_page_and_half_cells_are_among_what_was_not_run(tmp_path):
    results = write_study(tmp_path / "runs/demo/results", seeds=(1,))
    (results / "selection/loss.tiny.harvest.seed1/metrics.json").unlink()
    told = run(results, "--grid", ROOT / "reproductions/demo.yaml", "--output", tmp_path / "report.html")
    assert told.exit_code == 0, told.output
    assert "1 cell is not finished and left out: selection/loss.tiny.harvest.seed1" in told.output
    tree = html.fromstring((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Begun and not finished in the rung demo" in words(tree.get_element_by_id("gaps"))
    assert "selection/loss.tiny.harvest.seed1" in words(tree.get_element_by_id("gaps"))
    assert "Begun and not finished: 1 cell." in words(tree.get_element_by_id("summary"))
    assert len(tree.xpath("//details[@class='cell']")) == 6


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


def test_the_root_of_a_store_is_taken_with_its_benchmarks(study, tmp_path):
    store = tmp_path / "results"
    shutil.copytree(study, store / "demo")
    (store / "efficiency").mkdir()
    shutil.copy(ROOT / "results/efficiency/steps-moe-4x1x256.json", store / "efficiency")
    result = run(store, "--output", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    tree = html.fromstring((tmp_path / "report.html").read_text(encoding="utf-8"))
    table = tree.get_element_by_id("table-efficiency-steps-moe-4x1x256")
    assert "ours: mix dynamic_moe" in words(table)
    summary = words(tree.get_element_by_id("summary"))
    # The table's column "met in time": yes once, open once.
    assert "1 of 2 limits of cost kept, 1 open" in summary
    # Claims of rungs without results are counted too.
    assert re.search(r"Without any result: the rung paper \(\d+ claims\)", summary)
    assert tree.xpath("//section[@id='figures']//*[starts-with(@id, 'efficiency-steps-')]")


def test_a_folder_without_results_is_told(tmp_path):
    result = run(tmp_path / "none", "--output", tmp_path / "report.html")
    assert isinstance(result.exception, UserError)
    assert not (tmp_path / "report.html").exists()


def test_files_that_are_no_grids_are_passed_over(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {entry.grid["rung"] for entry in read_grids(None)} == {"cluster", "demo", "laptop", "paper"}
