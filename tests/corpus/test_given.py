"""Published instructions and questions, and held-out documents of a build, as corpora to train and evaluate on."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from dataflex.corpus.conversations import turns_of
from dataflex.corpus.given import given_questions, lay_out_instructions
from dataflex.corpus.held_out_text import lay_out_held_out
from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.rows import TokenStream, domains_of
from dataflex.corpus.questions import packaged_questions, read_questions
from dataflex.errors import UserError

from .packing import texts, write


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def mmlu(tmp_path):
    """MMLU's own layout: Parquet files whose names say the split; real questions."""
    found = packaged_questions()[0][:12]
    # One of each subject stands in the prompt of others.
    dev = [
        one
        for number, one in enumerate(found)
        if one.subject not in {other.subject for other in found[:number]}
    ]
    test = [one for one in found if one not in dev]
    schema = pa.schema(
        {
            "question": pa.string(),
            "subject": pa.string(),
            "choices": pa.list_(pa.string()),
            "answer": pa.int64(),
        }
    )
    folder = tmp_path / "cais_mmlu"
    (folder / "all").mkdir(parents=True)
    for split, part in (("dev", dev), ("test", test), ("auxiliary_train", dev[:1])):
        table = pa.Table.from_pylist([question.row() for question in part], schema=schema)
        pq.write_table(table, folder / "all" / f"{split}-00000-of-00001.parquet")
    return folder, dev, test


HUMAN, GPT = {"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"instruction": "2 + 2?", "input": "", "output": "4"}, [HUMAN, GPT]),
        ({"instruction": "2 +", "input": "2?", "output": "4"}, [{"from": "human", "value": "2 +\n2?"}, GPT]),
        ({"instruction": "2 + 2?", "output": "4", "system": "Be brief."}, [{"from": "system", "value": "Be brief."}, HUMAN, GPT]),
        ({"conversations": [HUMAN, GPT, HUMAN, GPT]}, [HUMAN, GPT, HUMAN, GPT]),
        ({"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}, [HUMAN, GPT]),
        ({"conversations": [HUMAN]}, None),
        ({"conversations": [HUMAN, HUMAN]}, None),
        ({"conversations": [GPT, HUMAN]}, None),
        ({"conversations": []}, None),
        ({"conversations": [{"from": "tool", "value": "x"}, GPT]}, None),
        ({"instruction": "2 + 2?", "output": ""}, None),
        ({"text": "prose"}, None),
    ],
)  # fmt: skip
def test_three_forms_become_one(row, turns):
    assert turns_of(row) == turns


def test_instructions_are_laid_out_and_load_in_the_host(tiny, mmlu, tmp_path):
    folder, dev, test = mmlu
    train = tmp_path / "train"
    train.mkdir()
    first = [{"instruction": f"say {n}", "input": "", "output": str(n)} for n in range(150)]
    second = [{"conversations": [HUMAN, GPT, HUMAN, GPT], "source": "x"}] * 49
    (train / "a.json").write_text(json.dumps(first))
    with gzip.open(train / "b.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in [*second, {"conversations": [HUMAN]}])
    (train / "dataset_infos.json").write_text("{}")
    output = tmp_path / "corpus"
    card = lay_out_instructions(train, str(folder), output, quiet=True)
    laid = rows(output / "instructions.jsonl")
    assert len(laid) == card["instructions"]["rows"] == 199
    assert card["instructions"]["dropped"] == {"train": 1}
    assert laid[149] == {
        "conversations": [{"from": "human", "value": "say 149"}, {"from": "gpt", "value": "149"}]
    }
    assert read_questions(output / "questions/test.jsonl") == test
    assert read_questions(output / "questions/validation.jsonl") == dev
    aims = rows(output / "questions/validation_sft.jsonl")
    assert [row["conversations"][1]["value"] for row in aims] == ["ABCD"[question.answer] for question in dev]
    # LLaMA-Factory itself reads both data sets.
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args

    args = {
        "stage": "sft", "do_train": True, "model_name_or_path": str(tiny / "model"), "dataset_dir": str(output),
        "dataset": "instructions", "eval_dataset": "questions_validation", "template": "qwen", "cutoff_len": 256,
        "output_dir": str(tmp_path / "out"), "use_cpu": True, "report_to": "none",
    }  # fmt: skip
    model, data, training, _, _ = get_train_args(args)
    tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
    template = get_template_and_fix_tokenizer(tokenizer, data)
    loaded = get_dataset(template, model, data, training, "sft", tokenizer=tokenizer)
    assert (len(loaded["train_dataset"]), len(loaded["eval_dataset"])) == (199, len(dev))
    labels = [token for token in loaded["train_dataset"][160]["labels"] if token >= 0]
    assert tokenizer.decode(labels, skip_special_tokens=True).replace("\n", "") == "44"


def test_rows_to_aim_at_may_be_given(mmlu, tmp_path):
    for name, subject in (("train", None), ("aims", "physics")):
        (tmp_path / name).mkdir()
        extra = {"subject": subject} if subject else {}
        (tmp_path / name / "x.json").write_text(json.dumps([{"instruction": "a", "output": "b", **extra}]))
    output = tmp_path / "corpus"
    lay_out_instructions(tmp_path / "train", "packaged", output, validation=tmp_path / "aims", quiet=True)
    (aim,) = rows(output / "questions/validation_sft.jsonl")
    assert aim["subject"] == "physics"
    assert len(read_questions(output / "questions/test.jsonl")) > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "prose"}]', "1 of 1 rows have neither"),
        ("{}", "not a list"),
        ("[1]", "row 1: not an object"),
        ("[", "can't be read"),
        (None, "holds no file"),
    ],
)
def test_other_data_is_refused(tmp_path, content, message):
    (tmp_path / "train").mkdir()
    if content is not None:
        (tmp_path / "train/x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        lay_out_instructions(tmp_path / "train", "packaged", tmp_path / "corpus", quiet=True)
    assert not (tmp_path / "corpus/card.json").exists()


def test_questions_need_both_splits(mmlu, tmp_path):
    folder, *_ = mmlu
    (folder / "all/dev-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="no question in a file named dev"):
        given_questions(str(folder))


@pytest.fixture(scope="module")
def packed(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    source = texts(400, seed=3)
    write(folder / "text.jsonl", source)
    build([str(folder / "text.jsonl")], folder / "packed", tokenizer=str(tiny / "model"), held_out=0.25, tokens=4000,
          processes=1, quiet=True)  # fmt: skip
    return folder / "packed", source


def test_held_out_text_is_the_sources_own(packed, tiny, tmp_path):
    folder, source = packed
    card = lay_out_held_out(folder, "packaged", tmp_path / "laid", quiet=True)
    written = {}
    for domain, entry in card["domains"].items():
        found = [row["text"] for row in rows(tmp_path / "laid/test" / f"{domain}.jsonl")]
        written[domain] = found
        assert len(found) == entry["test"]["documents"]
        assert entry["test"]["altered"] == 0
        # Each is a document of the source, character by character, and together they are all that was held out.
        assert set(found) <= {text for name, text in source if name == domain}
        tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
        tokens = sum(len(tokenizer(text)["input_ids"]) + 1 for text in found)
        assert tokens == len(TokenStream(folder, domain, "held_out"))
    assert card["train_tokens"] == {name: len(TokenStream(folder, name)) for name in written}
    few = lay_out_held_out(folder, "packaged", tmp_path / "few", documents=2, quiet=True)
    for domain, entry in few["domains"].items():
        assert entry["test"]["documents"] == min(2, len(written[domain]))
        assert [row["text"] for row in rows(tmp_path / "few/test" / f"{domain}.jsonl")] == written[domain][:2]


def test_a_build_without_held_out_documents_is_refused(tiny, tmp_path):
    write(tmp_path / "text.jsonl", texts(40))
    build([str(tmp_path / "text.jsonl")], tmp_path / "packed", tokenizer=str(tiny / "model"), held_out=0.0, processes=1, quiet=True)  # fmt: skip
    with pytest.raises(UserError, match="holds out no document of"):
        lay_out_held_out(tmp_path / "packed", "packaged", tmp_path / "laid", quiet=True)


def test_a_model_is_evaluated_on_either_corpus(packed, tiny, tmp_path, mmlu):
    """Perplexity of what was held out; a corpus without text gives questions alone, and stays consistent."""
    from dataflex.evaluation.evaluate import evaluate
    from dataflex.evidence.consistency import recomputed

    lay_out_held_out(packed[0], str(mmlu[0]), tmp_path / "laid", documents=2, quiet=True)
    found = evaluate(tiny / "model", tmp_path / "laid", tmp_path / "result", quiet=True)
    assert found["mmlu"]["n"] == len(mmlu[2])
    parts = found["perplexity"]
    assert set(parts) == {"all", "natural", *domains_of(packed[0])}
    assert parts["all"]["documents"] == sum(parts[name]["documents"] for name in domains_of(packed[0]))
    (tmp_path / "train").mkdir()
    (tmp_path / "train/x.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    lay_out_instructions(tmp_path / "train", str(mmlu[0]), tmp_path / "corpus", quiet=True)
    bare = evaluate(tiny / "model", tmp_path / "corpus", tmp_path / "bare", quiet=True)
    assert bare["perplexity"] == {}
    assert bare["mmlu"]["acc"] == found["mmlu"]["acc"]
    numbers = recomputed(rows(tmp_path / "bare/questions.jsonl"), rows(tmp_path / "bare/documents.jsonl"))
    assert numbers["mmlu.acc"] == pytest.approx(bare["mmlu"]["acc"])
    assert not [name for name in numbers if name.startswith("perplexity")]
    assert np.isfinite(bare["mmlu"]["answer_nll"])
