import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer
import yaml
from results_factory import edit_json, write_cell, write_grid, write_picks, write_study
from typer.testing import CliRunner

from dataflex.errors import UserError
from dataflex.evidence import digests, reference
from dataflex.evidence.checking import compare
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import read_results
from dataflex.evidence.store.admission import add
from dataflex.golden.commands import check

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


def review(study, target, reference_file=None):
    return len(add(study, target, replace=True, reference_file=reference_file, measured_on="test"))


def run(*arguments):
    """Run ``check`` of results as the command line does: a user's mistake is exit status 2."""
    app = typer.Typer()
    app.command()(check)
    result = runner.invoke(app, ["--no-golden", *(str(argument) for argument in arguments)])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with reviewed results of three seeds and their reference numbers."""
    study = write_study(tmp_path / "study")
    write_grid(tmp_path)
    review(study, tmp_path / "results/demo", tmp_path / "reproductions/reference/demo.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cell(root, path="mixture/natural.tiny.harvest.seed1"):
    return root / path


def test_committed_results_are_in(repository):
    code, output = run()
    assert code == 0
    assert "0 out" not in output
    assert "contradictions: 0" in output


def test_one_seed_of_the_study_is_in(repository):
    write_cell(repository / "new", seed=2)
    for other in ("uniform",):
        write_cell(repository / "new", method=other, seed=2, shift=0.1)
    for method in ("full", "random", "loss"):
        write_cell(repository / "new", "selection", method, 2, shift=-0.1)
    for method in ("none", "linupper"):
        write_cell(repository / "new", "weighting", method, 2, shift=-0.05)
    assert run("new")[0] == 0


def test_a_number_that_is_out(repository):
    shutil.copytree("study", "new")
    shutil.rmtree("new/mixture/natural.tiny.harvest.seed1")
    write_cell(repository / "new", seed=1, shift=3.0)
    code, output = run("new")
    assert code == 1
    assert "out" in output


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["mmlu"].update(acc=m["mmlu"]["acc"] + 1e-9),
        lambda m: m["mmlu"].update(stderr=0.5),
        lambda m: m["mmlu"]["subjects"]["anatomy"].update(acc=0.5),
        lambda m: m["perplexity"]["code"].update(token=3.0),
        lambda m: m["perplexity"]["code"].update(
            bits_per_byte=m["perplexity"]["code"]["bits_per_byte"] + 1e-7
        ),
    ],
)
def test_every_altered_committed_number_goes_red_for_its_digest_and_for_its_outcomes(repository, change):
    edit_json(cell(repository / "results/demo") / "metrics.json", change)
    code, output = run()
    assert code == 1
    assert "metrics.json: differs from its recorded digest" in output
    digests.write(repository / "results/demo")
    code, output = run()
    assert code == 1
    assert "recorded digest" not in output
    assert "is stated as" in output


@pytest.mark.parametrize("name", ["questions.jsonl", "documents.jsonl", "curve.csv", "run.json"])
def test_every_altered_committed_file_goes_red(repository, name):
    file = cell(repository / "results/demo") / name
    file.write_text(file.read_text().replace("1", "2", 1) if name == "curve.csv" else file.read_text() + "\n")
    assert run()[0] == 1


def test_altered_numbers_go_red_even_with_new_digests(repository):
    def raise_every_loss(metrics):
        for values in metrics["perplexity"].values():
            values["bits_per_byte"] += 1e-6

    edit_json(cell(repository / "results/demo") / "metrics.json", raise_every_loss)
    digests.write(repository / "results/demo")
    code, output = run()
    assert code == 1
    assert "changed" in output


def test_a_forged_cell_that_agrees_with_itself_goes_red(repository):
    shutil.rmtree(cell(repository / "results/demo"))
    write_cell(repository / "results/demo", seed=1, shift=1e-5)
    digests.write(repository / "results/demo")
    assert run()[0] == 1


def test_missing_and_malformed_input(repository):
    assert run("nowhere")[0] == 2
    assert run("study", "--reference", "nowhere.csv")[0] == 2
    (cell(repository / "study") / "metrics.json").write_text("{")
    assert run("study")[0] == 2


def test_half_of_a_cell_is_not_passed_over(repository):
    """Of a run the rest is checked, of reviewed results it is an error at once."""
    (cell(repository / "study") / "metrics.json").unlink()
    code, message = run("study")
    assert code == 2
    assert "study: 1 cell is not finished and left out: mixture/natural.tiny.harvest.seed1" in message
    (cell(repository / "results/demo") / "metrics.json").unlink()
    for arguments in ((), ("results/demo",)):
        code, message = run(*arguments)
        assert code == 2
        assert "metrics.json is missing" in message


def test_a_number_that_is_not_finite_is_malformed(repository):
    edit_json(cell(repository / "study") / "metrics.json", lambda m: m["mmlu"].update(acc=float("nan")))
    assert run("study")[0] == 2


def test_a_missing_cell_is_not_passed_over(repository):
    for seed in (1, 2, 3):
        shutil.rmtree(cell(repository / "study", f"mixture/natural.tiny.harvest.seed{seed}"))
    code, message = run("study")
    assert code == 2
    assert "missing" in message


def test_one_seed_a_cell_is_checked_without_reference_numbers(repository):
    study = repository / "more"
    for method in ("full", "random"):
        write_cell(study, "selection", method, 1)
    write_grid(repository, "laptop")
    assert review(study, repository / "results/laptop") == 2
    assert run()[0] == 0
    altered = cell(repository / "results/laptop", "selection/full.tiny.harvest.seed1") / "metrics.json"
    edit_json(altered, lambda metrics: metrics["mmlu"].update(acc=0.9))
    code, output = run()
    assert (code, "differs from its recorded digest" in output) == (1, True)


def test_seeds_without_reference_numbers_are_not_passed_over(repository):
    study = write_study(repository / "again")
    write_grid(repository, "laptop")
    review(study, repository / "results/laptop")
    code, output = run()
    assert code == 2
    assert "laptop.csv" in output


def test_no_committed_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run()[0] == 2


def test_missing_digests_of_committed_results(repository):
    (repository / "results/demo/SHA256SUMS").unlink()
    assert run()[0] == 2


def test_another_corpus_is_told_and_not_compared(repository):
    write_study(repository / "other", seeds=[1], corpus="mine")
    code, output = run("other")
    assert code == 2
    assert "nothing was compared" in output
    code, output = run("other", "--allow-other-corpus")
    assert code == 0
    assert "not comparable" in output


def test_reviewed_cells_of_no_grid_are_refused(repository):
    (repository / "results/demo").rename(repository / "results/demo3")
    code, message = run()
    assert code == 2
    assert "a rung 'demo3'" in message
    assert "those of demo;" in message


def test_a_new_run_is_held_against_its_grid(repository):
    """Another output folder, other seeds and other texts are the user's to choose, settings are not."""
    assert "No grid was held against these cells" in run("study")[1]
    right = write_grid(repository)
    code, output = run("study", "--grid", right)
    assert (code, "settings held against" in output) == (0, True)
    write_study(repository / "mine", seeds=[1, 11], corpus="mine")
    for file in (repository / "mine").glob("*/*/run.json"):
        edit_json(file, on_texts_of_the_users_own)
    code, output = run("mine", "--grid", right, "--allow-other-corpus")
    assert code == 0, output
    wrong = write_grid(repository / "elsewhere", learning_rate=0.008)
    code, output = run("study", "--grid", wrong)
    assert code == 1
    assert "learning_rate was 0.004, the grid says 0.008" in output
    assert run("--grid", right)[0] == 2


def own_grid(root, rung="mine", **settings):
    """A grid of the selections alone, beside the reference numbers of the demo."""
    file = write_grid(root, rung)
    grid = yaml.safe_load(file.read_text()) | settings
    grid["experiments"] = {"selection": grid["experiments"]["selection"]}
    file.write_text(yaml.safe_dump(grid))
    return file


def selections(root):
    for method in ("full", "random", "loss"):
        write_cell(root, "selection", method, 1, shift=-0.1)
    return root


def test_a_run_by_ones_own_grid_needs_no_reference_numbers(repository):
    grid = own_grid(repository)
    code, output = run(selections(repository / "mine"), "--grid", grid)
    assert code == 0, output
    assert f"No reference numbers are known of the cells of {grid}" in output
    assert "settings held against" in output
    edit_json(next((repository / "mine").glob("*/full*/metrics.json")), lambda m: m["mmlu"].update(acc=0.9))
    code, output = run(repository / "mine", "--grid", grid)
    assert (code, "is stated as" in output) == (1, True)


def test_numbers_of_cells_that_are_not_in_the_grid_are_not_missing(repository):
    named = "--reference", "reproductions/reference/demo.csv"
    grid, results = own_grid(repository), selections(repository / "mine")
    code, output = run(results, "--grid", grid, *named)
    assert code == 0, output
    assert "15 in; contradictions: 0" in output
    assert run(results, *named)[0] == 2
    shutil.rmtree(next(results.glob("*/full*")))
    code, message = run(results, "--grid", grid, *named)
    assert code == 2
    assert "5 numbers of the reference are missing" in message


@pytest.mark.parametrize("settings", [{}, {"reference": "numbers.csv"}])
def test_reference_numbers_are_those_of_the_grid_or_of_its_rung(repository, settings):
    numbers = reference.read(repository / "reproductions/reference/demo.csv")
    file = repository / settings.get("reference", "reproductions/reference/mine.csv")
    reference.write([replace(number, mean=number.mean + 9) for number in numbers], file)
    grid = own_grid(repository, **settings)
    code, output = run(selections(repository / "mine"), "--grid", grid)
    assert code == 1
    assert "15 out; contradictions: 0" in output


def on_texts_of_the_users_own(run):
    run["config"].update(dataset_dir="/data/mine", model_name_or_path="/data/runs/models/tiny")
    run["manifest"]["config_hash"] = config_hash(run["config"], run["manifest"]["decisions"])


def test_a_green_check_is_short(repository):
    code, output = run()
    assert code == 0
    # The rung, its three experiments, the grid and the sum.
    assert len(output.splitlines()) == 6
    assert run("--all")[1].count(" in ") > 100


def test_compare_gives_every_number_a_verdict(repository):
    results = read_results(repository / "study")
    references = reference.read(repository / "reproductions/reference/demo.csv")
    rows = compare(results, references)
    # 7 cells x (accuracy, answer loss, bits per byte of two domains and all) x (3 seeds and their mean)
    assert len(rows) == 7 * 5 * 4
    assert {row.verdict for row in rows} == {"in"}


def test_reference_survives_the_csv_digit_for_digit(repository):
    measured = reference.measure(read_results(repository / "study"), "test")
    assert reference.read(repository / "reproductions/reference/demo.csv") == measured


def test_what_is_no_reference_is_not_written_over(repository):
    """Published numbers stand beside reference numbers, and reviewing a rung writes these anew."""
    published = repository / "reproductions/reference/published.csv"
    published.write_text("table,model,value\nmixture,large,41.2\n")
    with pytest.raises(UserError, match="is not written over"):
        review(repository / "study", repository / "results/more", published)
    assert published.read_text().endswith("41.2\n")
    assert not (repository / "results/more").exists()
    review(repository / "study", repository / "results/demo", published.with_name("demo.csv"))


def test_no_file_of_the_repository_stands_where_a_rung_will_have_its_reference():
    """What is called as a rung is read as its reference numbers as soon as it has results."""
    for grid in (ROOT / "reproductions").glob("*.yaml"):
        file = ROOT / "reproductions/reference" / f"{grid.stem}.csv"
        if file.is_file():
            assert reference.read(file)


@pytest.mark.parametrize("bad", ["nan", "-1", "0", "x"])
def test_reference_with_a_bad_tolerance_is_refused(repository, bad):
    file = repository / "reproductions/reference/demo.csv"
    lines = file.read_text().splitlines()
    fields = lines[1].split(",")
    fields[reference.COLUMNS.index("tolerance")] = bad
    file.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
    with pytest.raises(UserError, match="line 2"):
        reference.read(file)


def test_one_seed_measures_no_tolerance(tmp_path):
    write_cell(tmp_path)
    with pytest.raises(UserError, match="at least two"):
        reference.measure(read_results(tmp_path), "test")


@pytest.fixture
def with_picks(tmp_path, monkeypatch):
    """Reviewed results of a selection over six seeds, all of whose picks are right."""
    for seed in range(1, 7):
        write_picks(tmp_path / "study", "less", seed, 1.0)
        write_picks(tmp_path / "study", "random", seed, 0.4 + seed / 20)
    write_grid(tmp_path)
    review(tmp_path / "study", tmp_path / "results/demo", tmp_path / "reproductions/reference/demo.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reviewed_picks_are_in(with_picks):
    code, output = run("--all")
    assert code == 0, output
    assert "precision" in output
    assert "precision" not in run()[1]
    edit_json(
        with_picks / "results/demo/planted/less.tiny.pool.seed1/selection.json", lambda s: s.update(n=19)
    )
    assert run()[0] == 1


@pytest.mark.parametrize(("precision", "code"), [(1.0, 0), (0.95, 0), (0.6, 1)])
def test_one_wrong_pick_is_no_deviation_and_many_are(with_picks, precision, code):
    write_picks(with_picks / "new", "less", 9, precision)
    write_picks(with_picks / "new", "random", 9, 0.5)
    assert run("new")[0] == code
