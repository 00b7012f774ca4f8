"""The store: what is admitted, found and compared."""

import copy
import json
import shutil

import pytest
import scipy.stats
from results_factory import edit_json, write_cell, write_grid, write_mixture, write_picks, write_study
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.evidence.results import read_results
from dataflex.evidence.statistics import seeds
from dataflex.evidence.store.admission import add
from dataflex.evidence.store.commands import app
from dataflex.evidence.store.comparing import compare
from dataflex.evidence.store.find import find
from dataflex.evidence.store.identity import result_id
from dataflex.evidence.store.schema import misfits


@pytest.fixture
def repository(tmp_path, monkeypatch):
    write_grid(tmp_path)
    add(write_study(tmp_path / "study"), tmp_path / "results/demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_cell_is_added_once_and_never_altered(repository):
    new = write_cell(repository / "more", "mixture", "odm", 1)
    assert [result.folder for result in add(repository / "more", repository / "results/demo")] == [new]
    assert add(repository / "more", repository / "results/demo") == []
    shutil.rmtree(new)
    write_cell(repository / "more", "mixture", "odm", 1, shift=0.2)
    with pytest.raises(UserError, match="another result of the same cell"):
        add(repository / "more", repository / "results/demo")


def test_reference_numbers_and_their_source_belong_together(repository):
    assert run("add", "study", "--rung", "demo", "--reference", "x.csv")[0] == 2
    code, _ = run(
        "add", "study", "--rung", "demo", "--replace", "--reference", "x.csv", "--measured-on", "here"
    )
    assert code == 0
    assert (repository / "x.csv").read_text().count("here") > 10


def test_a_rung_that_no_grid_is_of_is_refused(repository):
    code, message = run("add", "study", "--rung", "demo3")
    assert code == 2
    assert "those of demo;" in message
    code, message = run("add", "study", "--rung", "demo3", "--grid", "reproductions/demo.yaml")
    assert (code, "is the grid of the rung 'demo', and the cells are to be of 'demo3'" in message) == (
        2,
        True,
    )
    assert not (repository / "results/demo3").exists()
    assert run("add", "study", "--rung", "own", "--grid", write_grid(repository / "mine", "own"))[0] == 0


def test_settings_that_the_grid_does_not_ask_for_are_refused(repository):
    write_grid(repository, learning_rate=0.008)
    code, message = run("add", "study", "--rung", "demo", "--replace")
    assert code == 2
    assert "learning_rate was 0.004, the grid says 0.008" in message


def test_a_result_is_found_by_its_id_and_by_its_place(repository):
    folder = repository / "results/demo/mixture/natural.tiny.harvest.seed2"
    (one,) = find("demo/mixture/natural.tiny.harvest.seed2")
    assert one.result.folder.resolve() == folder
    assert find(one.id[:10])[0].id == one.id == result_id(one.result)
    assert [entry.result.seed for entry in find("demo/mixture/natural")] == [1, 2, 3]
    with pytest.raises(UserError, match="no result is called"):
        find("demo/mixture/nobody")
    with pytest.raises(UserError, match="no rung"):
        find("paper/mixture/natural")
    with pytest.raises(UserError, match="is the beginning of 21 ids"):
        find("")


def test_the_commands(repository):
    code, output = run("list", "demo", "--json")
    listed = json.loads(output)
    assert (code, len(listed)) == (0, 21)
    code, output = run("show", listed[0]["id"][:12])
    assert code == 0
    assert listed[0]["id"] in output
    code, output = run("compare", "demo/mixture/uniform", "demo/mixture/natural", "--json")
    assert code == 0
    metrics = json.loads(output)["by_seed"]["metrics"]
    assert {row["metric"] for row in metrics} >= {"mmlu.acc", "bits_per_byte.all"}
    assert run("list")[0] == run("show", "demo/mixture/natural")[0] == 0
    assert run("compare", "demo/mixture/uniform", "demo/mixture/natural")[0] == 0


def test_a_list_has_one_line_a_result_and_a_place_lists_what_is_below_it(repository):
    code, output = run("list")
    assert (code, len(output.splitlines())) == (0, 21)
    code, output = run("show", "demo/mixture")
    assert code == 0
    assert output.splitlines()[:2] == [
        "demo/mixture/natural.tiny.harvest  seeds 1 2 3",
        "demo/mixture/uniform.tiny.harvest  seeds 1 2 3",
    ]
    assert len(json.loads(run("show", "demo", "--json")[1])) == 21
    code, message = run("show", "demo/nothing")
    assert (code, "it has mixture, selection, weighting" in message) == (2, True)


def test_a_result_is_not_compared_with_itself(repository):
    for one, other in (("natural", "natural"), ("natural", "natural.tiny.harvest.seed2")):
        code, message = run("compare", f"demo/mixture/{one}", f"demo/mixture/{other}")
        assert (code, "hold the same result" in message) == (2, True)


def test_two_models_are_compared_by_their_questions(repository):
    """One seed against one: no word on the methods, and one on the two models."""
    names = [f"demo/mixture/{method}.tiny.harvest.seed1" for method in ("uniform", "natural")]
    code, output = run("compare", *names, "--json")
    assert code == 0
    content = json.loads(output)
    assert {row["interval"] for row in content["by_seed"]["metrics"]} == {None}
    (pairing,) = content["by_question"]
    tables = []
    for name in names:
        lines = (repository / "results" / name / "questions.jsonl").read_text().splitlines()
        tables.append([json.loads(line)["correct"] for line in lines])
    only = [sum(a and not b for a, b in zip(*pair, strict=True)) for pair in (tables, tables[::-1])]
    assert pairing["about"].startswith("these two models")
    assert [pairing["mcnemar"][side] for side in ("only_first", "only_second")] == only
    expected = scipy.stats.binomtest(only[0], sum(only)).pvalue
    assert pairing["mcnemar"]["p_value"] == pytest.approx(expected)
    assert pairing["contested"] == pytest.approx(sum(only) / 40)
    assert pairing["difference"] == pytest.approx((only[0] - only[1]) / 40)
    # Two subjects leave one degree of freedom, and an interval that is wide.
    low, high = pairing["interval"]
    assert low < pairing["difference"] < high


def test_methods_are_compared_by_seeds_and_questions(repository):
    code, output = run("compare", "demo/mixture/uniform", "demo/mixture/natural", "--json")
    assert code == 0
    by_question = json.loads(output)["by_question"]
    assert [pairing["seed"] for pairing in by_question] == [1, 2, 3, None, None]
    *_, together, methods = by_question
    assert together["difference"] == methods["difference"]
    assert methods["about"].startswith("the two methods")
    assert together["mcnemar"] is None
    code, output = run("compare", "demo/mixture/uniform", "demo/mixture/natural")
    assert "McNemar p" in output
    assert "3: about the two methods" in output


def test_models_that_answer_alike_have_no_certainty(repository):
    for seed in (1, 2, 3):
        folder = repository / "results/demo/mixture"
        shutil.copy(folder / f"natural.tiny.harvest.seed{seed}/questions.jsonl",
                    folder / f"uniform.tiny.harvest.seed{seed}/questions.jsonl")  # fmt: skip
    by_question = json.loads(run("compare", "demo/mixture/uniform", "demo/mixture/natural", "--json")[1])
    for pairing in by_question["by_question"]:
        assert pairing["contested"] == 0
        assert pairing["interval"] is pairing["detectable"] is pairing["effective_questions"] is None


def test_a_comparison_is_paired_by_seed(repository):
    results = read_results(repository / "results/demo")
    ones, others = ([r for r in results if r.key[1] == name] for name in ("uniform", "natural"))
    (row,) = (row for row in compare(ones, others) if row.metric == "bits_per_byte.all")
    expected = [
        a.numbers()["bits_per_byte.all"] - b.numbers()["bits_per_byte.all"]
        for a, b in zip(ones, others, strict=True)
    ]
    assert row.difference == seeds.of_mean(expected)
    assert row.p_value >= row.difference.p_value()


def test_what_was_measured_otherwise_is_not_ranked(repository):
    for seed in (1, 2, 3):
        metrics = repository / f"results/demo/mixture/uniform.tiny.harvest.seed{seed}/metrics.json"
        edit_json(metrics, lambda m: m.update(protocol={"mmlu": {"shots": 5}}, protocol_hash="1" * 64))
    code, output = run("compare", "demo/mixture/uniform", "demo/mixture/natural")
    assert code == 1
    assert "mmlu" in output
    assert "shots" in output
    assert "interval" not in output
    code, output = run("compare", "demo/mixture/uniform", "demo/mixture/natural", "--json")
    content = json.loads(output)
    assert (code, content["comparable"]) == (1, False)
    assert content["differ"] == ["mmlu: {'shots': 5}, None"]
    assert len(content["first"]) == 3
    with pytest.raises(UserError, match="not measured in the same way"):
        compare(*([e.result for e in find(f"demo/mixture/{name}")] for name in ("uniform", "natural")))


@pytest.mark.parametrize(
    ("file", "change", "place"),
    [
        ("run.json", lambda c: c["manifest"].pop("config_hash"), "config_hash"),
        ("run.json", lambda c: c.update(extra=1), "extra"),
        ("run.json", lambda c: c["cell"].update(seed="1"), "cell/seed"),
        ("metrics.json", lambda c: c["mmlu"].update(acc=1.5), "mmlu/acc"),
        ("metrics.json", lambda c: c.pop("protocol_hash"), "protocol_hash"),
    ],
)
def test_a_file_of_another_form_is_told(tmp_path, file, change, place):
    folder = write_cell(tmp_path)
    (result,) = read_results(tmp_path)
    assert list(misfits(result)) == []
    edit_json(folder / file, change)
    (sentence,) = misfits(result)
    assert sentence.startswith(file)
    assert place in sentence


SECOND = {
    "schema": 2,
    "tokenizer": "0" * 64,
    "protocol": {
        "mmlu": {"questions": {"validation": "1" * 64, "test": "2" * 64}},
        "perplexity": {"documents": {"code": "3" * 64}},
    },
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: None, None),
        (lambda m: m["protocol"].update(perplexity=None), None),
        (lambda m: m.pop("tokenizer"), "'tokenizer' is a required property"),
        (lambda m: m["protocol"]["mmlu"]["questions"].pop("test"), "'test' is a required property"),
        (lambda m: m["protocol"]["perplexity"].pop("documents"), "protocol/perplexity"),
    ],
)
def test_new_results_name_their_tokenizer_and_what_was_asked(tmp_path, change, sentence):
    folder = write_cell(tmp_path)
    second = copy.deepcopy(SECOND)
    change(second)
    edit_json(folder / "metrics.json", lambda m: m.update(second))
    found = list(misfits(read_results(tmp_path)[0]))
    assert found == [] if sentence is None else sentence in found[0]


def test_an_unknown_version_is_not_read(tmp_path):
    edit_json(write_cell(tmp_path) / "metrics.json", lambda m: m.update(schema=3))
    with pytest.raises(UserError, match="has schema 3, expected 1 or 2"):
        read_results(tmp_path)


def test_a_line_of_another_form_is_told(tmp_path):
    folder = write_cell(tmp_path)
    with (folder / "questions.jsonl").open("a") as stream:
        stream.write('{"id": "q99"}\n')
    (sentence,) = misfits(read_results(tmp_path)[0])
    assert sentence.startswith("questions.jsonl, 40: ")


def test_every_kind_of_cell_has_its_form(tmp_path):
    write_cell(tmp_path)
    write_picks(tmp_path)
    write_mixture(tmp_path, weights=None)
    assert {result.kind for result in read_results(tmp_path)} == {"model", "selection", "mixture"}
    for result in read_results(tmp_path):
        assert list(misfits(result)) == []


def test_a_rung_is_not_added_to_itself(repository):
    with pytest.raises(UserError, match="lie in each other"):
        add(repository / "results/demo", repository / "results/demo", replace=True)
    assert len(read_results(repository / "results/demo")) == 21


def test_results_without_documents_are_taken(tmp_path):
    """Questions alone are evaluated where the corpus has no held-out text, as in the paper's selection."""
    for method in ("full", "less"):
        folder = write_cell(tmp_path / "study", "selection", method)
        (folder / "documents.jsonl").write_text("")
        edit_json(folder / "metrics.json", lambda m: m.update(perplexity={}))
    assert len(add(tmp_path / "study", tmp_path / "results/paper")) == 2


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        (
            "metrics.json",
            lambda m: m["perplexity"].update(book=m["perplexity"]["code"]),
            "perplexity.book.* no outcome says anything of it",
        ),
        ("metrics.json", lambda m: m.update(protocol={"shots": 5}), "protocol does not have the hash"),
        ("run.json", lambda r: r["manifest"].update(commit="c" * 40 + "-dirty"), "checkout with changes"),
        ("run.json", lambda r: r.update(corpus="mine"), "another corpus"),
    ],
)
def test_what_no_run_can_have_left_is_refused(tmp_path, file, change, sentence):
    for seed in (1, 2, 3):
        write_cell(tmp_path / "study", seed=seed)
    edit_json(tmp_path / "study/mixture/natural.tiny.harvest.seed2" / file, change)
    with pytest.raises(UserError, match=sentence):
        add(tmp_path / "study", tmp_path / "results/demo")


def test_seeds_of_several_models_are_not_pooled(tmp_path, monkeypatch):
    for model in ("tiny", "large"):
        write_cell(tmp_path / "results/demo", "selection", "full", model=model)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="several cells"):
        find("demo/selection/full")
    assert len(find("demo/selection/full.tiny")) == 1
