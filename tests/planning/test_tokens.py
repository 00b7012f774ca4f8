"""Steps and tokens of each domain: by hand, and beside a corpus whose tokens are counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex import grid as grids
from dataflex.config import split
from dataflex.corpus.given import lay_out_instructions
from dataflex.corpus.held_out_text import lay_out_held_out
from dataflex.corpus.packed.build import build
from dataflex.errors import UserError
from dataflex.planning.corpora import Corpus, divide, read_corpus
from dataflex.planning.runs import Part, Runs
from dataflex.planning.shares import domain_tokens
from dataflex.planning.work import batch_rows, pool_rows, steps_of
from tests.corpus.packing import texts, tokens_of, write

NATURAL = {"a": 60, "b": 30, "c": 10}
STATIC = {"train_type": "dynamic_mix", "component_name": "static"}


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**12), st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_parts_add_up_and_are_within_one_of_exact(total: int, weights: list[float]) -> None:
    names = {str(number): weight for number, weight in enumerate(weights)}
    parts = divide(total, names)
    assert sum(parts.values()) == total
    for name, part in parts.items():
        assert abs(part - total * names[name] / sum(weights)) <= 1 + 1e-6 * total / 10**6


def taken(config: dict[str, Any], total: int = 1000) -> tuple[dict[str, int], list[float | None], str]:
    corpus = Corpus(says="", tokens=100_000, weights=NATURAL)
    own, _ = split(config)
    table, decided = domain_tokens(own, corpus, total, steps=10, batch_rows=10, row_tokens=10)
    return {one.domain: one.tokens for one in table}, [one.epochs for one in table], decided


def test_tokens_follow_the_shares_that_the_run_will_draw_by() -> None:
    assert taken(STATIC | {"static_mix": True, "mixture_sample_rule": "stratified"}) == (
        {"a": 600, "b": 300, "c": 100},
        [0.01, 0.01, 0.01],
        "as given",
    )
    uniform, epochs, _ = taken(STATIC | {"static_mix": True, "mixture_sample_rule": "uniform"}, 300_000)
    assert uniform == {"a": 100_000, "b": 100_000, "c": 100_000}
    assert epochs == [1.667, 3.333, 10.0]
    given_shares = {"init_mixture_proportions": {"c": 0.5, "a": 0.25, "b": 0.25}}
    assert taken(STATIC | {"static_mix": True} | given_shares)[0] == {"a": 250, "b": 250, "c": 500}
    warm = STATIC | {"component_params": {"rule": "temperature", "temperature": 2.0}}
    odds = {name: value**0.5 for name, value in NATURAL.items()}
    assert taken(warm)[0] == pytest.approx({k: 1000 * v / sum(odds.values()) for k, v in odds.items()}, abs=1)


def test_what_is_decided_later_is_said() -> None:
    bandit = {"train_type": "dynamic_mix", "component_name": "odm", "update_step": 1, "update_times": 0}
    assert taken(bandit)[2] == "at first; decided anew in the run"
    learned = STATIC | {"static_mix": True, "component_params": {"proportions_from": "nowhere"}}
    assert taken(learned)[0] == {"a": 600, "b": 300, "c": 100}
    assert "not finished" in taken(learned)[2]


def test_the_papers_runs() -> None:
    """Steps and tokens by hand: 8 rows of 2048 tokens on each of 8 or 32 GPUs, one pass over whole rows."""
    runs = Runs(grids.load("reproductions/paper.yaml"), Part(), "runs/never").runs
    steps = {}
    for tokens, gpus, scale in ((6_000_000_000, 8, "6B"), (30_000_000_000, 32, "30B")):
        rows = sum(tokens * share // 1000 // 2048 for share in (541, 287, 42, 37, 34, 31, 28))
        steps[scale] = -(-rows // (8 * gpus))
        baseline = runs[f"mixture/baseline.Qwen2.5-1.5B.{scale}.seed42"]
        assert baseline.work.steps == steps[scale]
        assert baseline.work.tokens == steps[scale] * 8 * gpus * 2048
        assert sum(one.tokens for one in baseline.domains) == baseline.work.tokens
        shares = {one.domain: one.tokens / baseline.work.tokens for one in baseline.domains}
        assert shares["RedPajamaCommonCrawl"] == pytest.approx(0.541)
        assert shares["RedPajamaStackExchange"] == pytest.approx(0.028)
    assert steps == {"6B": 45_777, "30B": 57_221}
    # A hundred updates of 100 and of 500 steps.
    assert runs["mixture/doremi_proxy.Qwen2.5-0.5B.6B.seed42"].work.steps == 10_000
    assert runs["mixture/doremi_proxy.Qwen2.5-0.5B.30B.seed42"].work.steps == 50_000
    less = runs["selection/less.Mistral-7B-v0.1.openhermes_100k.seed42"].work
    assert (less.steps, less.batch_rows) == (100 + 50 * 30, 8)
    assert [(one.what, one.times) for one in less.passes] == [("training", 1600), ("gradients of rows", 30)]


def test_steps_of_a_selection_are_those_of_its_schedule() -> None:
    config = {
        "stage": "sft",
        "train_type": "dynamic_select",
        "component_name": "random",
        "warmup_step": 5,
        "update_step": 10,
        "update_times": 3,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 3,
    }
    assert steps_of(config, split(config)[0], None, 2) == 2 * (5 + 30)
    assert batch_rows(config, 2) == 24


def test_a_run_of_unknown_length_is_refused() -> None:
    config = {"stage": "pt", "train_type": "static"}
    with pytest.raises(UserError, match="set max_steps"):
        steps_of(config, split(config)[0], pool_rows(config, Corpus(says="")), 1)


def test_a_corpus_that_is_there_is_counted(tiny: Path, tmp_path: Path) -> None:
    """Counts of a corpus that was built take the place of what the grid expects, in the layout of the workflow."""
    grid = grids.load("reproductions/paper.yaml")
    expected = read_corpus(grid, str(tmp_path), "slimpajama_6b")
    assert (expected.tokens, expected.there, expected.exact) == (6_000_000_000, False, False)
    text, folder = write(tmp_path / "text.jsonl", texts(400, seed=3)), tmp_path / "slimpajama_6b"
    build(
        [str(text)],
        folder / "packed",
        tokenizer=str(tiny / "model"),
        held_out=0.25,
        tokens=4000,
        processes=1,
        quiet=True,
    )
    card = lay_out_held_out(folder / "packed", "packaged", folder, documents=1, quiet=True)
    found = read_corpus(grid, str(tmp_path), "slimpajama_6b")
    assert (found.there, found.exact, found.says) == (True, True, f"counted: {folder}/packed/card.json")
    assert found.domain_tokens() == tokens_of(folder / "packed")
    assert found.held_out_tokens == sum(tokens_of(folder / "packed", "held_out").values())
    assert found.questions == card["questions"]["test"]["questions"]
    # What is trained on is known from a build alone; what is evaluated on is then as expected.
    (folder / "card.json").unlink()
    assert read_corpus(grid, str(tmp_path), "slimpajama_6b").questions == 14_042
    (folder / "packed/card.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_corpus(grid, str(tmp_path), "slimpajama_6b")


def test_rows_to_aim_at_are_those_that_a_selection_aims_at(tmp_path: Path) -> None:
    """Not the questions' first part, in whose place the grid may name a data set."""
    (tmp_path / "train").mkdir()
    (tmp_path / "aims").mkdir()
    for name, count in (("train", 9), ("aims", 7)):
        rows = [{"instruction": f"Say {n}.", "input": "", "output": f"{n} it is."} for n in range(count)]
        (tmp_path / name / "rows.json").write_text(json.dumps(rows))
    folder = tmp_path / "openhermes_100k"
    lay_out_instructions(tmp_path / "train", "packaged", folder, validation=tmp_path / "aims", quiet=True)
    found = read_corpus(grids.load("reproductions/paper.yaml"), str(tmp_path), "openhermes_100k")
    assert (found.rows, found.validation_rows) == (9, 7)


def test_the_expected_parts_of_the_slimpajama_corpora_are_the_published_ones() -> None:
    import csv

    with open("reproductions/reference/published.csv", newline="") as stream:
        told = {
            row["metric"]: float(row["value"])
            for row in csv.DictReader(stream)
            if row["table"] == "domain_weights" and row["method"].startswith("natural")
        }
    grid = grids.load("reproductions/paper.yaml")
    for name in ("slimpajama_6b", "slimpajama_30b"):
        weights = read_corpus(grid, "runs/never", name).weights
        assert {key.removeprefix("RedPajama").lower(): value for key, value in weights.items()} == {
            key.lower(): value for key, value in told.items()
        }
