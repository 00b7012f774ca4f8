"""Each check passes where it should, fails where it should, and says what to change."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dataflex import grid as grids
from dataflex.assets.lock import Entry, beside
from dataflex.assets.resolve import resolve
from dataflex.cli import app
from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.questions import as_instruction, packaged_questions, split_questions
from dataflex.errors import UnfitError, UserError
from dataflex.evaluation.evaluate import evaluate
from dataflex.planning.jobs import with_needed
from dataflex.preflight.holdings import as_locked, as_many, licence, readable, room
from dataflex.preflight.left import still_written
from dataflex.preflight.machine import DECISIVE, disk, gpus, versions
from dataflex.preflight.models import named, with_weights
from dataflex.preflight.report import Finding, conclude
from dataflex.preflight.run import check
from dataflex.preflight.score import in_band, measure, some_questions

ROOT = Path(__file__).resolve().parent.parent.parent

COMMIT = "d" * 40


def test_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free / 1e9
    assert disk(tmp_path / "not/yet", {"runs": 0.0}).state == "passed"
    short = disk(tmp_path, {"repositories": free, "runs": free})
    assert short.state == "failed"
    assert "make room" in short.told
    assert "repositories" in short.told


def test_gpus():
    import torch

    assert gpus(0).state == "skipped"
    too_many = gpus(torch.cuda.device_count() + 1)
    assert too_many.state == "failed"
    assert f"{torch.cuda.device_count()} visible" in too_many.told


def test_versions(tmp_path):
    from importlib import metadata

    file = tmp_path / "constraints.txt"
    assert versions(file).state == "skipped"
    own = {name: metadata.version(name) for name in DECISIVE}
    file.write_text("".join(f"{name.replace('_', '-')}=={number}\n" for name, number in own.items()))
    assert versions(file).state == "passed"
    file.write_text("numpy==0.1\nno-such==1\n")
    found = versions(file)
    assert found.state == "warned"
    assert f"numpy {own['numpy']} (tested: 0.1)" in found.told


@pytest.fixture
def held(tiny, tmp_path):
    """A gated model, taken from a mirror: asset, cache, and what is locked."""
    shutil.copytree(tiny / "model", tmp_path / "mirror/models/org/small")
    asset = grids.Asset("models", "org/small", COMMIT, licence="strict", gated=True)
    found = resolve(asset, tmp_path / "cache", tmp_path / "l.yaml", mirror=tmp_path / "mirror", quiet=True)
    return asset, tmp_path / "cache", {asset.name: found.entry}


def test_licences(held):
    asset, cache, locked = held
    accepted = licence(asset, cache, locked)
    assert (accepted.state, "strict" in accepted.told) == ("passed", True)
    absent = licence(asset, cache / "elsewhere", locked)
    assert absent.state == "failed"
    assert "hf auth login" in absent.told
    free = replace(asset, gated=False)
    assert licence(free, cache / "elsewhere", locked).state == "warned"
    assert licence(replace(free, licence=None), cache, locked).told == "not stated in the grid"


def test_files_as_locked(held):
    asset, cache, locked = held
    # The mirror told no commit, and the grid asks for one.
    assert as_locked(asset, cache, locked).state == "warned"
    (entry,) = locked.values()
    assert as_locked(asset, cache, {asset.name: Entry(COMMIT, entry.files)}).state == "passed"
    assert as_locked(asset, cache, {}).state == "failed"
    (cache / asset.name / "config.json").unlink()
    assert "config.json is missing" in as_locked(asset, cache, locked).told


def test_a_model_in_a_folder(tiny, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny / "model", folder)
    whole = named("m", str(folder), weights=True)
    assert whole.state == "passed"
    assert re.search(
        r"\d files, [\d.e-]+ GB, SHA-256 of its configuration and tokenizer [0-9a-f]{64}$", whole.told
    )
    # Of another vocabulary it is told.
    (folder / "tokenizer.json").write_text("{}")
    assert named("m", str(folder), weights=True).told != whole.told
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert "model-00002-of-00002.safetensors is missing" in named("m", str(folder), weights=True).told
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert named("m", str(folder), weights=True).state == "failed"
    assert named("m", str(folder), weights=False).state == "passed"
    for name, told in (
        ("tokenizer.json", "a tokenizer is missing"),
        ("config.json", "config.json is missing"),
    ):
        (folder / name).unlink()
        found = named("m", str(folder), weights=False)
        assert (found.state, told in found.told) == ("failed", True)


@pytest.mark.parametrize("place", ["./no/where", "/no/where", "no/where/at/all"])
def test_a_model_in_a_folder_that_is_not_there(place):
    found = named("m", place, weights=False)
    assert (found.state, found.told) == (
        "failed",
        f"there is no folder {place}: correct name_or_path in the grid",
    )
    assert "without ~" in named("m", "~/models/base", weights=False).told


def test_a_model_by_the_hubs_name_is_not_pinned(tiny, tmp_path, monkeypatch):
    found = named("m", "org/small", weights=True)
    assert (found.state, "say hub: {repo: org/small, revision" in found.told) == ("warned", True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny / "model", "org/small")
    assert named("m", "org/small", weights=True).state == "passed"


def test_weights_are_asked_for_where_something_loads_them():
    grid = yaml.safe_load(yaml.safe_dump(GRID))
    grid["models"] = {name: {"name_or_path": f"./{name}"} for name in ("small", "fresh", "aside", "scored")}
    one = grid["experiments"]["one"]
    one["models"] = ["small", "fresh"]
    one["scales"]["other"] = {"corpus": "questions"}
    one["methods"] = {
        "plain": {"models": ["small"], "config": {"encoder": "{model:aside}"}},
        "scratch": {"models": ["fresh"], "config": {"train_from_scratch": True}},
        "later": {"models": ["fresh"], "config": {}, "needs": {"start": {"method": "scratch"}}},
        "large": {"models": ["fresh"], "config": {"train_from_scratch": True}},
    }
    assert with_weights(grid, ["one"], None) == {"small", "aside"}
    one["methods"]["large"]["at"] = {"other": {"train_from_scratch": False}}
    assert with_weights(grid, ["one"], "only") == {"small", "aside"}
    assert with_weights(grid, ["one"], "other") == {"small", "aside", "fresh"}
    grid["preflight"] = {"scores": {"scored": {}}}
    assert "scored" in with_weights(grid, ["one"], "only")


def test_a_folder_of_a_model_is_part_of_the_checks(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    grid = GRID | {"models": {"small": {"name_or_path": "./model"}}}
    Path("small.yaml").write_text(yaml.safe_dump(grid))
    words = ["preflight", "small.yaml", "--experiment", "one", "--scale", "only"]
    refused = CliRunner().invoke(app, words)
    assert "model small: there is no folder ./model" in str(refused.exception)
    shutil.copytree(tiny / "model", "model")
    assert "model small: ok" in CliRunner().invoke(app, words).stdout


def write_corpus(folder, questions=6):
    """A corpus of questions alone."""
    dev, test = split_questions(packaged_questions()[0], seed=0)
    sizes = [write_jsonl(folder / "questions" / f"{name}.jsonl", (one.row() for one in part))
             for name, part in (("validation", dev), ("test", test[:questions]))]  # fmt: skip
    write_jsonl(folder / "questions/validation_sft.jsonl", map(as_instruction, dev))
    write_json(folder / "dataset_info.json", {"aims": {"file_name": "questions/validation_sft.jsonl"}})
    write_json(folder / "card.json", {"domains": {}, "digests": sizes})
    return folder


@pytest.mark.parametrize(("rows", "state"), [(100, "passed"), (99, "passed"), (101, "passed"), (98, "failed"), (110, "failed")])  # fmt: skip
def test_a_pool_with_other_rows_than_expected_is_refused(tmp_path, rows, state):
    """A validation split beside the training data would be trained on, and nothing else would tell."""
    write_json(tmp_path / "card.json", {"instructions": {"rows": rows}})
    found = as_many("pool", tmp_path, 100)
    assert found.state == state
    assert found.told.startswith(f"{rows}, 100 expected")
    assert ("`files` of the corpus" in found.told) == (state == "failed")


def test_a_corpus_is_read(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    assert readable("c", folder).state == "passed"
    (folder / "questions/validation_sft.jsonl").write_text("")
    assert readable("c", folder).state == "failed"
    assert "make it again" in readable("c", tmp_path / "no").told


def test_room_counts_what_is_still_missing(held, tmp_path):
    asset, cache, locked = held
    grid = yaml.safe_load(yaml.safe_dump(GRID))
    grid["corpora"]["packed"] = {"source": "packed", "options": {"tokens": "2M"}}
    root = cache.parent / "run"
    found = room(grid, ["packed", "questions"], [asset], root, locked)
    size = next(iter(locked.values())).bytes
    assert found == pytest.approx({"repositories": size / 1e9, "corpora": 2e6 * 2.5 * 4 / 1e9})
    shutil.copytree(cache, root / "assets")
    write_json(root / "packed/packed/card.json", {})
    assert room(grid, ["packed"], [asset], root, locked) == {"repositories": 0, "corpora": 0}


def test_what_was_asked_for_needs_its_share_of_the_disk(tmp_path):
    """Of the paper's grid, by the plan's arithmetic: the disk that is left need not hold what is done already."""
    grid = grids.load(ROOT / "reproductions/paper.yaml")

    def need(*, seeds=None, **part):
        chosen = grids.cells(grid, seeds, **part)
        return still_written(grid, tmp_path, [cell.path for cell in with_needed(grid, chosen)])

    whole = still_written(grid, tmp_path)
    assert whole == pytest.approx(850) == pytest.approx(need())
    mixture, selection = need(experiments=["mixture"]), need(experiments=["selection"])
    assert mixture + selection == pytest.approx(whole)
    assert 0 < selection < mixture < 700
    # Two seeds need twice as much, one method less than all.
    assert need(seeds=[43, 44]) == pytest.approx(2 * whole)
    assert need(experiments=["mixture"], methods=["odm"]) < mixture / 3
    # What is done needs nothing more.
    for cell in grids.cells(grid, experiments=["mixture"]):
        done = tmp_path / "train" / f"{cell.path}.done.json"
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()
    assert need(experiments=["mixture"]) == 0.0
    assert need() == pytest.approx(selection)


def test_parts_that_fit_one_by_one_may_not_fit_together(tmp_path, monkeypatch):
    """Each part's check asks for all that its workflow was asked for: nothing is written yet when the first passes."""
    asked = []
    monkeypatch.setattr("dataflex.preflight.run.disk", lambda root, needed: asked.append(needed) or FOUND)
    monkeypatch.setattr("dataflex.preflight.run.conclude", lambda *_: None)
    grid = grids.load(file := ROOT / "reproductions/paper.yaml")
    cells = grids.cells(grid, experiments=["mixture"])
    for trained in (cells, [cell for cell in cells if cell.scale == "6B"]):
        asked_for = {key: [] for key in grids.TARGETS} | {"trained": [cell.path for cell in trained]}
        write_json(tmp_path / grids.NOTE, {"grid": str(file), "asked": asked_for})
        for scale in ("6B", "30B"):
            check(file, tmp_path, tmp_path / "x.json", experiment="mixture", scale=scale)
    both, again, *one = [needed["runs"] for needed in asked]
    assert both == again == pytest.approx(2 * one[0])


FOUND = Finding("disk", "passed", "")


def test_without_an_architecture_every_part_needs_all(tmp_path):
    grid = yaml.safe_load(yaml.safe_dump(GRID | {"preflight": {"disk_gb": 3}}))
    assert still_written(grid, tmp_path, ["one/plain.small.only.seed1"]) == 3.0
    assert still_written(GRID, tmp_path) == 0.0


def test_a_report_is_written_whatever_the_outcome(tmp_path):
    good, bad = Finding("a", "passed", "1"), Finding("b", "failed", "do that")
    with pytest.raises(UserError, match="preflight of both failed, nothing will be trained: b: do that"):
        conclude("both", [good, bad], tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
    assert (tmp_path / "x.md").read_text().splitlines()[2:] == ["- a: ok: 1", "- b: FAILED: do that"]
    conclude("one", [good], tmp_path / "x.json", {"more": 1})
    assert json.loads((tmp_path / "x.json").read_text())["more"] == 1
    # An older release does not outlive a failure.
    with pytest.raises(UserError):
        conclude("both", [bad], tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_a_subset_of_questions_is_random_but_fixed(tmp_path):
    folder = write_corpus(tmp_path / "corpus", 40)
    _, everything = some_questions(folder, None, 0)
    _, few = some_questions(folder, 10, 0)
    assert some_questions(folder, 10, 0)[1] == few
    assert some_questions(folder, 10, 1)[1] != few
    places = [everything.index(one) for one in few]
    assert places == sorted(set(places))
    assert len(places) == 10
    assert some_questions(folder, 99, 0)[1] == everything


def test_the_score_is_the_evaluations(tiny, tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    found = measure(tiny / "model", folder, quiet=True)
    whole = evaluate(tiny / "model", folder, tmp_path / "result", quiet=True)
    assert {key: found[key] for key in whole["mmlu"]} == whole["mmlu"]
    assert found["protocol_hash"] == whole["protocol_hash"]
    assert not list(tmp_path.glob(".preflight-*"))


@pytest.mark.parametrize(("band", "state"), [([0.0, 0.5], "passed"), ([0.25, 0.5], "passed"), ([0.3, 0.5], "failed"), ([0.0, 0.2], "failed")])  # fmt: skip
def test_bands_include_their_ends(band, state):
    score = {"acc": 0.25, "stderr": 0.1, "n": 4}
    finding = in_band("m", score, {"band": band, "source": "s", "assumed": True})
    assert finding.state == state
    assert "assumed from s" in finding.told


GRID = {
    "schema": 1,
    "rung": "small",
    "seeds": [1],
    "corpora": {"questions": {"source": "directory", "path": "corpus"}},
    "models": {"small": {"hub": {"repo": "org/small", "revision": COMMIT}}},
    "experiments": {
        "one": {
            "models": ["small"],
            "scales": {"only": {"corpus": "questions"}},
            "methods": {"plain": {"config": {}}},
        }
    },
}


def test_the_command(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny / "model", tmp_path / "mirror/models/org/small")
    write_corpus(tmp_path / "corpus")
    file = tmp_path / "small.yaml"

    def write(band, **more):
        spec = {"corpus": "questions", "band": band, "source": "a test", "questions": 4, **more}
        file.write_text(yaml.safe_dump(GRID | {"preflight": {"scores": {"small": spec}}}))

    def call(*words):
        result = CliRunner().invoke(app, ["preflight", str(file), *words])
        return result, str(result.exception or "")

    write([0.0, 1.0])
    result, told = call()
    # Not a mistake and not a fault: the same would be found again.
    assert isinstance(result.exception, UnfitError)
    assert result.exception.status == 78
    assert "files of models/org/small: not locked" in told
    assert "FAILED" in (tmp_path / "runs/small/preflight/grid.md").read_text()
    (asset,) = grids.assets(grids.load(file)).values()
    resolve(asset, tmp_path / "runs/small/assets", beside(file), mirror=tmp_path / "mirror", quiet=True)
    result, told = call("--experiment", "one", "--scale", "only")
    assert result.exit_code == 0, told
    assert "disk: ok" in result.stdout
    assert (tmp_path / "runs/small/preflight/one.only.json").is_file()
    result, told = call("--model", "small")
    assert result.exit_code == 0, told
    assert "score of small: ok" in result.stdout
    write([0.999, 1.0])
    result, told = call("--model", "small")
    assert "nothing will be trained" in told
    assert not (tmp_path / "runs/small/preflight/models/small.json").exists()
    for words, message in (
        (("--model", "other"), "expects no score of 'other'"),
        (("--experiment", "two"), "no experiment is called 'two'"),
        (("--experiment", "one", "--scale", "no"), "no scale is called 'no'"),
        (("--devices", "1"), "give --experiment and --scale"),
        (("--devices", "1", "--experiment", "one", "--scale", "no"), "no scale is called 'no'"),
    ):
        assert message in call(*words)[1]
