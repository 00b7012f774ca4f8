"""From text to shards: every document once, in its domain and on its side, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.corpus.packed import hashing
from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.card import read_card, verify_digests
from dataflex.corpus.packed.claim import claimed
from dataflex.corpus.packed.rows import TokenStream
from dataflex.corpus.packed.shards import UnitWriter, read_records
from dataflex.corpus.packed.sources import find_sources
from dataflex.corpus.packed.tokenizing import TokenizeUnit
from dataflex.corpus.packed.units import cut_units, unit_size
from dataflex.corpus.packed.vocabulary import load_tokenizer
from dataflex.errors import UserError

from .packing import bytes_below, documents, lines, texts, tokens_of, write

PARTS = {"held_out": 0.2, "unit_bytes": 8_000, "quiet": True, "processes": 2}


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> str:
    return str(tiny / "model")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each format, 600 documents, some of them empty and some twice."""
    folder = tmp_path_factory.mktemp("source")
    every = texts(600)
    every[20] = every[420] = every[21]
    every[70:72] = [("RedPajamaC4", ""), ("RedPajamaBook", " \n ")]
    for number, name in enumerate(("a.jsonl", "b.jsonl.zst", "c.jsonl.gz", "d.parquet")):
        write(folder / name, every[150 * number : 150 * (number + 1)])
    return folder


def everything(source: Path) -> list[tuple[str, str]]:
    units = cut_units(find_sources([str(source)]))
    return [document for unit in units for document in unit.documents()]


@pytest.fixture(scope="module")
def built(source: Path, tokenizer: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("built") / "corpus"
    build([str(source)], output, tokenizer=tokenizer, **PARTS)
    return output


def test_every_format_gives_the_same_documents(source):
    assert len(everything(source)) == 600
    written = texts(600)
    assert everything(source)[:20] == written[:20]
    assert everything(source)[450:] == written[450:]


def test_every_document_is_there_once_on_the_side_that_its_hash_says(source, built, tokenizer):
    """Against a loop over the sources with the tokenizer itself."""
    encode = AutoTokenizer.from_pretrained(tokenizer)
    expected: dict[tuple[str, str], list[list[int]]] = {}
    for domain, text in everything(source):
        if text.strip():
            held_out = hashing.keys(text.encode(), 0)[0] < 0.2 * 2**64
            ids = encode(text, add_special_tokens=False)["input_ids"]
            expected.setdefault(("held_out" if held_out else "train", domain), []).append(ids)
    card = read_card(built)
    found = [(split, domain) for split, domains in card["statistics"].items() for domain in domains]
    assert sorted(found) == sorted(expected)
    for (split, domain), ids in expected.items():
        assert documents(built, domain, split) == ids
    assert card["dropped"] == {"empty": 2, "not_sampled": 0}
    held = sum(len(ids) for (split, _), ids in expected.items() if split == "held_out")
    assert 80 < held < 160


def test_units_are_many_and_end_at_document_ends(source, built):
    assert len(read_records(built)) > 5
    for size in (700, 5_000, 10**9):
        units = cut_units(find_sources([str(source)]), size)
        assert [document for unit in units for document in unit.documents()] == everything(source)


@pytest.mark.parametrize("name", ["{}.jsonl", "{}.jsonl.zst", "{}.jsonl.gz", "{}.parquet"])
def test_units_by_default_are_few_however_well_the_text_is_compressed(tmp_path, monkeypatch, name):
    """What units are cut by is what their pieces weigh: the text, not the bytes of compressed files."""
    monkeypatch.setattr("dataflex.corpus.packed.units.SMALLEST_UNIT", 1)
    monkeypatch.setattr("dataflex.corpus.packed.units.UNITS", 5)
    for number in range(40):
        write(tmp_path / name.format(f"{number:02d}"), texts(30, seed=7))
    sources = find_sources([str(tmp_path)])
    units = cut_units(sources)
    assert unit_size(sources) == sum(unit.weight for unit in units) // 5
    assert 5 <= len(units) <= 6
    assert [document for unit in units for document in unit.documents()] == 40 * texts(30, seed=7)


def test_a_build_whose_units_another_version_has_cut_is_refused(source, tokenizer, tmp_path, monkeypatch):
    """Records of an interrupted build count for units of the same size alone."""
    options = {"tokenizer": tokenizer, "quiet": True, "processes": 1}
    monkeypatch.setattr("dataflex.corpus.packed.units.SMALLEST_UNIT", 4_000)
    monkeypatch.setattr("dataflex.corpus.packed.units.UNITS", 5)
    card = build([str(source)], tmp_path / "corpus", **options)
    size = tmp_path / "corpus/units/size.json"
    (tmp_path / "corpus/card.json").unlink()
    assert build([str(source)], tmp_path / "corpus", **options) == card
    (tmp_path / "corpus/card.json").unlink()
    for theirs in ('{"unit_bytes": 5000}', None):
        if theirs:
            size.write_text(theirs)
        else:
            size.unlink()
        with pytest.raises(UserError, match="another version of dataflex, which cut the sources into other"):
            build([str(source)], tmp_path / "corpus", **options)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_slices_lose_and_repeat_no_line(tmp_path, newline, last):
    every = texts(40)
    path = tmp_path / "a.jsonl"
    path.write_bytes((newline.join(lines([one]).strip("\n") for one in every) + last).encode())
    for size in (1, 7, 64, 1000, 10**6):
        units = cut_units(find_sources([str(path)]), size)
        assert [document for unit in units for document in unit.documents()] == every


def test_duplicates_fall_on_one_side(built, source, tokenizer):
    encode = AutoTokenizer.from_pretrained(tokenizer)
    domain, text = texts(600)[21]
    ids = encode(text, add_special_tokens=False)["input_ids"]
    counts = [
        documents(built, domain, split).count(ids) if domain in read_card(built)["statistics"][split] else 0
        for split in ("train", "held_out")
    ]
    assert max(counts) >= 3
    assert min(counts) == 0


def test_the_split_depends_on_nothing_but_text_and_seed(source, built, tokenizer, tmp_path):
    every = everything(source)
    random.Random(1).shuffle(every)
    other = write(tmp_path / "shuffled.jsonl", every[:300])
    build([str(other)], tmp_path / "corpus", tokenizer=tokenizer, **PARTS)
    for domain in tokens_of(tmp_path / "corpus", "held_out"):
        ours = {tuple(ids) for ids in documents(tmp_path / "corpus", domain, "held_out")}
        assert ours <= {tuple(ids) for ids in documents(built, domain, "held_out")}
    build([str(other)], tmp_path / "seed", tokenizer=tokenizer, **PARTS, seed=1)
    assert tokens_of(tmp_path / "seed", "held_out") != tokens_of(tmp_path / "corpus", "held_out")


def test_the_card_tells_what_the_documents_are(built, source):
    rows = read_card(built)["statistics"]["train"]
    total = sum(row["tokens"] for row in rows.values())
    for domain, row in rows.items():
        lengths = [len(ids) + 1 for ids in documents(built, domain)]
        assert row["documents"] == len(lengths)
        assert row["tokens"] == sum(lengths)
        assert row["share"] == pytest.approx(sum(lengths) / total)
        assert row["mean_length"] == pytest.approx(statistics.mean(lengths))
        assert row["median_length"] == statistics.median(lengths)
    sizes = sum(row["bytes"] for split in read_card(built)["statistics"].values() for row in split.values())
    assert sizes == sum(len(text.encode()) for _, text in everything(source) if text.strip())


def test_one_process_and_many_write_the_same_bytes(source, built, tokenizer, tmp_path):
    for count in (1, 3):
        build([str(source)], tmp_path / str(count), tokenizer=tokenizer, **PARTS | {"processes": count})
        assert bytes_below(tmp_path / str(count)) == bytes_below(built)


def build_in_a_process(source: Path, output: Path, tokenizer: str, *more: str) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from dataflex.corpus.packed.build import build\n"
        "if __name__ == '__main__':\n"
        "    build([sys.argv[1]], __import__('pathlib').Path(sys.argv[2]), tokenizer=sys.argv[3],"
        " held_out=0.2, unit_bytes=8_000, quiet=True, processes=2,"
        " tokens=int(sys.argv[4]) if sys.argv[4:] else None)\n"
    )
    script = output.parent / "go.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(source), str(output), tokenizer, *more]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


def kill_after(process: subprocess.Popen[bytes], folder: Path, records: int) -> None:
    """Kill -9 a build when it has finished some units."""
    while process.poll() is None and len(list(folder.glob("units/[0-9]*.json"))) < records:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_again_and_again_it_writes_the_same_bytes(source, built, tokenizer, tmp_path):
    output = tmp_path / "corpus"
    for records in (0, 1, 3, 6):
        kill_after(build_in_a_process(source, output, tokenizer), output, records)
    assert build_in_a_process(source, output, tokenizer).wait() == 0
    assert bytes_below(output) == bytes_below(built)


@pytest.mark.parametrize("records", [0, 2])
def test_killed_while_it_takes_a_subset(source, tokenizer, tmp_path, records):
    build([str(source)], tmp_path / "calm", tokenizer=tokenizer, **PARTS, tokens=5_000)
    output = tmp_path / "corpus"
    process = build_in_a_process(source, output, tokenizer, "5000")
    while process.poll() is None and not (output / "whole" / "units").exists():
        time.sleep(0.002)
    kill_after(process, output, records)
    assert build_in_a_process(source, output, tokenizer, "5000").wait() == 0
    assert bytes_below(output) == bytes_below(tmp_path / "calm")
    assert not (output / "whole").exists()


def job(source: Path, folder: Path, tokenizer: str) -> tuple[TokenizeUnit, list]:
    content, vocabulary = load_tokenizer(tokenizer)
    units = cut_units(find_sources([str(source)]), 8_000)
    return TokenizeUnit(folder, content, vocabulary, 0, 0.2, 1.0), units


@pytest.mark.parametrize("moment", ["add", "finish", "record"])
def test_a_unit_that_broke_off_counts_for_nothing(source, tokenizer, tmp_path, monkeypatch, moment):
    """At every point between the first byte and the record, files without a record are written again."""

    class PowerFailure(BaseException):
        pass

    def fail(*_: object, **__: object) -> None:
        raise PowerFailure

    work, units = job(source, tmp_path, tokenizer)
    calm, _ = job(source, tmp_path / "calm", tokenizer)
    for unit in units[:2]:
        calm(unit)
    with monkeypatch.context() as patch:
        if moment == "record":
            patch.setattr("dataflex.corpus.packed.shards.write_json", fail)
        else:
            patch.setattr(UnitWriter, moment, fail)
        with pytest.raises(PowerFailure):
            work(units[1])
    assert read_records(tmp_path) == {}
    for unit in units[:2]:
        work(unit)
    left = {name: data for name, data in bytes_below(tmp_path).items() if not name.startswith(("calm", "."))}
    assert left == {name: data for name, data in bytes_below(tmp_path / "calm").items() if name[0] != "."}


def test_a_finished_build_is_left_alone(source, built, tokenizer):
    before = bytes_below(built)
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*.tokens")}
    assert build([str(source)], built, tokenizer=tokenizer, **PARTS) == read_card(built)
    assert bytes_below(built) == before
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*.tokens")} == times


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "begun with seed 0, not 1"),
        ({"held_out": 0.1}, "begun with held out 0.2, not 0.1"),
        ({"sample": 0.5}, "begun with sample 1.0, not 0.5"),
        ({"tokens": 100}, "begun with tokens None, not 100"),
    ],
)
def test_other_options_are_refused_by_name(source, built, tokenizer, changes, message):
    with pytest.raises(UserError, match=message):
        build([str(source)], built, tokenizer=tokenizer, **PARTS | changes)


def test_other_sources_and_folders_are_refused(source, built, tokenizer, tmp_path):
    with pytest.raises(UserError, match=r"other sources \(4 of them, not 1\)"):
        build([str(source / "a.jsonl")], built, tokenizer=tokenizer, **PARTS)
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    build([str(tmp_path)], built, tokenizer=tokenizer, **PARTS)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(lines(texts(1)))
    with pytest.raises(UserError, match=r"other sources \(a\.jsonl has changed\)"):
        build([str(tmp_path)], built, tokenizer=tokenizer, **PARTS)
    with pytest.raises(UserError, match="not empty"):
        build([str(source)], tmp_path, tokenizer=tokenizer, **PARTS)
    with pytest.raises(UserError, match="nowhere is no file"):
        build(["nowhere"], tmp_path / "x", tokenizer=tokenizer, **PARTS)
    with pytest.raises(UserError, match="can't be reached"):
        build(["no/where"], tmp_path / "x", tokenizer=tokenizer, **PARTS)
    with pytest.raises(UserError, match="ends in none of"):
        find_sources([__file__])


def test_two_builds_in_one_folder_are_refused(tmp_path):
    folder, options = tmp_path / "x", {"seed": 0}
    refused = pytest.raises(UserError, match="another process is building")
    with claimed(folder, options), refused, claimed(folder, options):
        pass
    with claimed(folder, options):
        pass


BAD = [
    ("{oops\n", "not valid JSON"),
    ("[1]\n", "not a JSON object"),
    ('{"text": 3, "meta": {"redpajama_set_name": "x"}}\n', '"text" is missing'),
    ('{"text": "t", "meta": {}}\n', '"meta" has no "redpajama_set_name"'),
    (lines([("//", "t")]), "no letter or digit"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
@pytest.mark.parametrize("size", [100, 10**6])
def test_bad_lines_are_named_in_every_slice(tmp_path, bad, message, size):
    path = tmp_path / "a.jsonl"
    path.write_text(lines(texts(30)) + bad + lines(texts(5)))
    # Texts hold no line ends of their own: JSON escapes them.
    with pytest.raises(UserError, match=rf"a\.jsonl:31: .*{message}"):
        [one for unit in cut_units(find_sources([str(path)]), size) for one in unit.documents()]


def test_a_bad_line_ends_the_build_and_a_mended_one_goes_on(tmp_path, tokenizer):
    path = write(tmp_path / "b.jsonl", texts(200))
    good = path.read_text()
    rows = good.splitlines(keepends=True)
    rows[150] = rows[150].replace('"text"', '"test"')
    path.write_text("".join(rows))
    with pytest.raises(UserError, match=r'b\.jsonl:151: "text" is missing'):
        build([str(path)], tmp_path / "corpus", tokenizer=tokenizer, **PARTS)
    assert not (tmp_path / "corpus/card.json").exists()


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "nothing"])
def test_damaged_files_are_named(tmp_path, name, damage):
    path = write(tmp_path / name, texts(3000))
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "nothing":
        data = data[:3]
    else:
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{name}.*get it again"):
        [one for unit in cut_units(find_sources([str(path)])) for one in unit.documents()]


def test_parquet_without_the_columns(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"content": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r'a\.parquet: no column "meta"'):
        [one for unit in cut_units(find_sources([str(tmp_path)])) for one in unit.documents()]
    meta = [json.dumps({"redpajama_set_name": "RedPajamaC4"}), "{}"]
    pq.write_table(pa.table({"text": ["a", "b"], "meta": meta}), tmp_path / "a.parquet")
    (unit,) = cut_units(find_sources([str(tmp_path)]))
    rows = unit.documents()
    assert next(rows) == ("RedPajamaC4", "a")
    with pytest.raises(UserError, match=r'a\.parquet, row 2: "meta" has no'):
        next(rows)


def test_unicode_survives(tmp_path, tokenizer):
    every = ["naïve 日本語 🙂\u2028 end", "a\x00b", "\ufeffmark", "half \ud83d of a pair", "é" * 5000]
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": text, "meta": {"redpajama_set_name": "Ωmega/Ünïcode-1"}}) + "\n"
            for text in every
        )
    )
    build([str(path)], tmp_path / "corpus", tokenizer=tokenizer, held_out=0.0, quiet=True, processes=1)
    decode = AutoTokenizer.from_pretrained(tokenizer).decode
    found = [decode(ids) for ids in documents(tmp_path / "corpus", "mega_n_code-1")]
    assert found == [*every[:3], "half \ufffd\ufffd\ufffd of a pair", every[4]]


def test_nothing_to_train_on(tmp_path, tokenizer):
    path = write(tmp_path / "a.jsonl", [("RedPajamaC4", " ")])
    with pytest.raises(UserError, match="no document to train on"):
        build([str(path)], tmp_path / "corpus", tokenizer=tokenizer, quiet=True, processes=1)
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(UserError, match="no document to train on"):
        build([str(tmp_path / "b.jsonl")], tmp_path / "c", tokenizer=tokenizer, quiet=True, processes=1)


def test_a_changed_shard_is_found(source, tokenizer, tmp_path):
    build([str(source)], tmp_path / "corpus", tokenizer=tokenizer, **PARTS)
    verify_digests(tmp_path / "corpus")
    shard = sorted((tmp_path / "corpus/train/RedPajamaC4").glob("*.tokens"))[1]
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=rf"{shard.name} has another content"):
        verify_digests(tmp_path / "corpus")
    shard.write_bytes(data[:-2])
    with pytest.raises(UserError, match=rf"{shard.name} has {len(data) - 2} bytes"):
        TokenStream(tmp_path / "corpus", "RedPajamaC4")


def test_a_domain_of_few_documents_holds_out_a_share_of_its_own(source, built, tokenizer, tmp_path):
    """More of its documents, among them those that are held out without it; other domains are as they were."""
    output, more = tmp_path / "corpus", {"RedPajamaBook": 0.7}
    build([str(source)], output, tokenizer=tokenizer, held_out_of=more, **PARTS)
    for domain in ("RedPajamaCommonCrawl", "RedPajamaC4"):
        assert documents(output, domain, "held_out") == documents(built, domain, "held_out")
    few, many = (documents(folder, "RedPajamaBook", "held_out") for folder in (built, output))
    whole = len(many) + len(documents(output, "RedPajamaBook"))
    assert len(few) < 0.4 * whole < 0.5 * whole < len(many) < whole
    assert all(document in many for document in few)
    with pytest.raises(UserError, match=r"--held-out 1\.5 must be"):
        build([str(source)], tmp_path / "no", tokenizer=tokenizer, held_out_of={"x": 1.5}, **PARTS)
    # It is another corpus.
    with pytest.raises(UserError, match=r"held out of .* not None"):
        build([str(source)], output, tokenizer=tokenizer, **PARTS)


def test_domains_without_a_held_out_document_are_named(source, tokenizer, tmp_path):
    def go(name: str, *more: str):
        words = ["corpus", "build", str(source), "--output", str(tmp_path / name), "--tokenizer", tokenizer]
        done = CliRunner().invoke(app, [*words, "--workers", "1", *more])
        assert done.exit_code == 0, done.output
        return done

    told = go("default").stderr
    card = read_card(tmp_path / "default")
    bare = [name for name in card["statistics"]["train"] if name not in card["statistics"]["held_out"]]
    assert card["options"]["held_out"] == 0.001
    assert bare
    assert f"--held-out 0.001 holds out no document of {', '.join(bare)}: to evaluate" in told
    assert "holds out" not in go("half", "--held-out", "0.5").stderr
    assert "holds out" not in go("none", "--held-out", "0").stderr


def test_the_default_of_held_out_is_in_the_help():
    told = " ".join(
        CliRunner().invoke(app, ["corpus", "build", "--help"], env={"COLUMNS": "200"}).output.split()
    )
    assert "one in a thousand" in told
    assert "0.001" in told


def test_a_sample_is_the_head_of_the_random_order(source, built, tokenizer, tmp_path):
    build([str(source)], tmp_path / "corpus", tokenizer=tokenizer, **PARTS, sample=0.3)
    for domain in tokens_of(built):
        whole, part = TokenStream(built, domain), TokenStream(tmp_path / "corpus", domain)
        orders = [
            np.concatenate([s.documents()["order"] for s in stream._shards]) for stream in (whole, part)
        ]
        assert orders[1].tolist() == orders[0][orders[0] < 0.3 * 2**64].tolist()
    assert 350 < read_card(tmp_path / "corpus")["dropped"]["not_sampled"] < 480


def test_a_data_set_by_name_is_streamed_shard_by_shard(source, tmp_path):
    """The library that streams from the hub reads a folder just so."""
    from dataflex.corpus.packed import hub

    folder = tmp_path / "named"
    folder.mkdir()
    for number in range(2):
        write(folder / f"train-{number}.parquet", texts(20, seed=number))
    assert hub.shards(str(folder), None) == 2
    for number in range(2):
        assert list(hub.read_shard(str(folder), None, number)) == texts(20, seed=number)
    assert hub.is_name("cerebras/SlimPajama-627B")
    assert not hub.is_name("data/slim/pajama")
