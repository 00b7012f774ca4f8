"""Training on a built corpus: the rows that LLaMA-Factory would pack, out of memory-mapped shards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.rows import PackedRows
from dataflex.corpus.packed.subset import subset
from dataflex.errors import UserError
from dataflex.evidence.manifest import fingerprint
from dataflex.host.plan import run_plan
from dataflex.host.prepare import check, prepare

from .conftest import Run
from .cutting import assert_equal, cut_after

DOMAINS = ("code", "more_code", "docs")
MIX = {"train_type": "dynamic_mix", "static_mix": True, "max_steps": 8}
PROPORTIONS = {"code": 0.2, "more_code": 0.3, "docs": 0.5}


def rows_in_schema(data: Path, folder: Path) -> Path:
    """The tiny text domains as one file in SlimPajama's schema."""
    path = folder / "text.jsonl"
    with path.open("w") as file:
        for name in DOMAINS:
            for line in (data / f"{name}.jsonl").read_text().splitlines():
                row = {"text": json.loads(line)["text"], "meta": {"redpajama_set_name": name}}
                file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def corpora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``whole`` without held-out documents, ``split`` with a quarter of them held out."""
    folder = tmp_path_factory.mktemp("corpora")
    text = rows_in_schema(tiny / "data", folder)
    for name, held_out in (("whole", 0.0), ("split", 0.25)):
        build(
            [str(text)],
            folder / name,
            tokenizer=str(tiny / "model"),
            held_out=held_out,
            unit_bytes=10_000,
            quiet=True,
            processes=2,
        )
    return folder


def packed(corpora: Path, name: str = "whole", **changes: Any) -> dict[str, Any]:
    # No folder of data sets is needed, and none is read.
    return {"packed_corpus": str(corpora / name), "dataset_dir": str(corpora / "none")} | MIX | changes


def test_training_is_that_on_the_rows_that_llamafactory_packs(run: Callable[..., Run], corpora: Path) -> None:
    keys = {"init_mixture_proportions": PROPORTIONS}
    stock, ours = run(**MIX, **keys), run(**packed(corpora, **keys))
    assert ours.losses == stock.losses
    assert len(ours.losses) == 8
    assert ours.lines("ledger.jsonl") == stock.lines("ledger.jsonl")
    for key, weight in stock.weights.items():
        assert torch.equal(ours.weights[key], weight), key


@pytest.mark.parametrize("changes", [{}, {"dataset": "docs,code", "cutoff_len": 48}])
def test_rows_and_their_counts_are_those_of_llamafactory(
    config: dict[str, Any], corpora: Path, changes: dict[str, Any]
) -> None:
    stock = prepare(check(config | MIX | changes))
    ours = prepare(check(config | packed(corpora) | changes))
    assert isinstance(ours.domains.rows, PackedRows)
    assert [row["input_ids"] for row in ours.domains.rows] == stock.domains.rows["input_ids"][:]
    for name in ("counts", "lengths", "row_tokens"):
        assert getattr(ours.domains, name).tolist() == getattr(stock.domains, name).tolist(), name
    plans = [run_plan(prepared) for prepared in (stock, ours)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_resume_is_bitwise_equal(run: Callable[..., Run], corpora: Path, workers: int) -> None:
    keys = packed(
        corpora,
        save_strategy="steps",
        save_steps=3,
        dataloader_num_workers=workers,
        init_mixture_proportions=PROPORTIONS,
    )
    whole = run(**keys)
    assert_equal(run(**keys | {"output_dir": str(cut_after(whole, 3))}), whole)


def test_selection_and_evaluation_on_held_out_documents(run: Callable[..., Run], corpora: Path) -> None:
    done = run(
        **packed(
            corpora,
            "split",
            train_type="dynamic_select",
            static_mix=False,
            component_name="loss",
            warmup_step=2,
            update_step=3,
            update_times=2,
            eval_dataset="held_out",
            do_eval=True,
            cutoff_len=16,
        )
    )
    results = json.loads((done.folder / "eval_results.json").read_text())
    assert {f"eval_{name}_loss" for name in DOMAINS} <= set(results)
    assert [line["component"] for line in done.lines("plan_log.jsonl")] == ["loss", "loss"]


def test_the_manifest_holds_what_was_trained_on(
    run: Callable[..., Run], corpora: Path, tmp_path: Path
) -> None:
    data = json.loads((run(**packed(corpora)).folder / "manifest.json").read_text())["data"]
    for name in DOMAINS:
        assert data[name]["sha256"] == fingerprint([corpora / "whole/train" / name / "index.json"])
        assert data[name]["rows"] > 0
    tokens = 1_000
    subset(corpora / "whole", tmp_path / "part", tokens=tokens, quiet=True, processes=1)
    other = json.loads((run(**packed(tmp_path, "part")).folder / "manifest.json").read_text())["data"]
    assert all(other[name]["sha256"] != data[name]["sha256"] for name in DOMAINS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "sft"}, "stage: sft: its rows are plain text"),
        ({"cutoff_len": None}, "missing cutoff_len"),
        ({"packing": False}, "packing: false"),
        ({"max_samples": 5}, "max_samples: take a subset"),
        ({"val_size": 0.1}, "val_size: .*eval_dataset: held_out"),
        ({"dataset": "code,dogs"}, "'dogs' is no domain of .*did you mean 'docs'"),
        ({"dataset": "code,code"}, "names 'code' twice"),
        ({"eval_dataset": "held_out", "do_eval": True}, "no held-out document"),
        ({"packed_corpus": "nowhere"}, "nowhere is not a built corpus"),
        (
            {"train_type": "static", "static_mix": False, "max_steps": 2},
            "LLaMA-Factory can't read packed_corpus",
        ),
        ({"train_type": None, "static_mix": False}, "packed_corpus needs train_type"),
    ],
)
def test_what_does_not_fit_is_refused_early(
    config: dict[str, Any], corpora: Path, changes: dict[str, Any], message: str
) -> None:
    changed = config | packed(corpora) | changes
    with pytest.raises(UserError, match=message):
        check({key: value for key, value in changed.items() if value is not None})


def test_a_corpus_of_another_tokenizer_is_refused(
    config: dict[str, Any], corpora: Path, tiny: Path, tmp_path: Path
) -> None:
    other = tmp_path / "model"
    shutil.copytree(tiny / "model", other)
    content = json.loads((other / "tokenizer.json").read_text())
    # The last merge and its token are left out.
    merged = "".join(content["model"]["merges"].pop())
    last = max(content["model"]["vocab"], key=content["model"]["vocab"].get)
    assert merged == last
    (other / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="built with another tokenizer"):
        prepare(check(config | packed(corpora) | {"model_name_or_path": str(other)}))


def test_a_domain_shorter_than_a_row_is_refused(config: dict[str, Any], corpora: Path) -> None:
    with pytest.raises(UserError, match="less than one row has"):
        prepare(check(config | packed(corpora) | {"cutoff_len": 10**6}))


def test_the_held_out_documents_are_nothing_to_aim_at(config: dict[str, Any], corpora: Path) -> None:
    aims = {
        "train_type": "dynamic_select",
        "static_mix": False,
        "component_name": "less",
        "update_step": 2,
        "eval_dataset": "held_out",
    }
    with pytest.raises(UserError, match="'less' needs a validation set to aim at"):
        check(config | packed(corpora, "split") | aims)
