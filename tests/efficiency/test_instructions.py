"""Rows of a corpus's instructions, as all sides of a benchmark read them."""

import json
from pathlib import Path
from typing import Any

import pytest
from efficiency import instructions, workload

from dataflex.corpus.given import lay_out_instructions


def _folder(path: Path, rows: list[dict[str, Any]], **entry: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "rows.json").write_text(json.dumps(rows))
    entry = {"file_name": "rows.json", "formatting": "sharegpt"} | entry
    (path / "dataset_info.json").write_text(json.dumps({"instructions": entry}))
    return path


def test_the_papers_corpus_becomes_a_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form that ``source: hub_instructions`` is laid out in."""
    monkeypatch.setattr(
        workload, "TINY_CONFIG", workload.TINY_CONFIG | {"hidden_size": 32, "num_hidden_layers": 1}
    )
    (tmp_path / "hub").mkdir()
    talks = [
        [
            ("system", "be brief"),
            ("human", f"what is {n}?"),
            ("gpt", f"{n} it is"),
            ("human", "sure?"),
            ("gpt", "yes"),
        ]
        for n in range(5)
    ]
    rows = [{"conversations": [{"from": who, "value": said} for who, said in talk]} for talk in talks]
    (tmp_path / "hub" / "rows.json").write_text(json.dumps(rows))
    lay_out_instructions(tmp_path / "hub", "packaged", tmp_path / "corpus", quiet=True)
    assert instructions.read(tmp_path / "corpus")[0] == {
        "instruction": "be brief\nwhat is 0?",
        "input": "",
        "output": "0 it is",
    }
    made: dict[str, Any] = {"rows": 4, "validation": 1, "cutoff": 64, "rank": 2, "batch": 2}
    about = workload.make(tmp_path / "made", data=tmp_path / "corpus", model="tiny", **made)
    assert about["rows"] == 4


def test_names_of_a_conversation_are_the_entrys(tmp_path: Path) -> None:
    rows = [{"talk": [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}]}]
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    folder = _folder(tmp_path, rows, columns={"messages": "talk"}, tags=tags)
    assert instructions.read(folder) == [{"instruction": "why?", "input": "", "output": "so"}]


@pytest.mark.parametrize("roles", [[], ["human"], ["gpt", "human"], ["system", "gpt"]])
def test_a_conversation_without_question_and_answer_is_named(tmp_path: Path, roles: list[str]) -> None:
    good = [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so"}]
    bad = [{"from": role, "value": "x"} for role in roles]
    folder = _folder(tmp_path, [{"conversations": good}, {"conversations": bad}])
    with pytest.raises(
        SystemExit, match=r"rows\.json, row 2: `conversations` has no turn of 'human' with one of"
    ):
        instructions.read(folder)
