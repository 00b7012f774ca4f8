"""A cell's answers are read once, whatever asks for them, and are those of its file."""

import json
from collections import Counter

from results_factory import write_study

from dataflex.evidence import results
from dataflex.evidence.answers import right_answers
from dataflex.evidence.claims.judge import judge
from dataflex.evidence.common_answers import common_answers


def lines(run):
    return [json.loads(line) for line in (run.folder / "questions.jsonl").read_text().splitlines()]


def test_what_is_kept_are_the_lines_in_the_order_of_their_ids(tmp_path):
    run, *_ = results.read_results(write_study(tmp_path, seeds=(1,)))
    file = run.folder / "questions.jsonl"
    file.write_text("\n".join(reversed(file.read_text().splitlines())))
    expected = sorted(lines(run), key=lambda line: line["id"])
    kept = run.outcomes
    assert list(kept.ids) == [line["id"] for line in expected]
    assert list(kept.subjects) == [line["subject"] for line in expected]
    assert list(kept.golds) == [line["gold"] for line in expected]
    assert list(kept.choices) == [line["choice"] for line in expected]
    assert kept.correct.tolist() == [float(line["correct"]) for line in expected]


def test_all_claims_read_the_answers_of_a_cell_once(tmp_path, monkeypatch):
    study = results.read_results(write_study(tmp_path, seeds=(1, 2)))
    read, own = Counter(), results.read_lines
    monkeypatch.setattr(results, "read_lines", lambda file: read.update([file]) or own(file))
    judged = [one for one in judge({"demo": study}) if one.ours is not None]
    assert len(judged) > 5
    common_answers(study)
    for run in study:
        right_answers(run)
    assert set(read.values()) == {1}
    assert len(read) == len(study)


def test_results_that_are_read_again_have_what_the_file_holds_then(tmp_path):
    (before, *_) = results.read_results(write_study(tmp_path, seeds=(1,)))
    gold = before.outcomes.golds[0]
    changed = [line | ({"gold": 3 - gold} if line["id"] == "q0" else {}) for line in lines(before)]
    (before.folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    (after, *_) = results.read_results(tmp_path)
    assert (before.outcomes.golds[0], after.outcomes.golds[0]) == (gold, 3 - gold)
