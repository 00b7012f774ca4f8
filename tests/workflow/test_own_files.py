"""The user's files in place of a grid's text: every corpus that can gets its own, and none is given in vain."""

import pytest

from dataflex import grid as grids

GRID = {
    "corpora": {
        "text": {"source": "harvest"},
        "mine": {"source": "files"},
        "large_6b": {"source": "packed"},
        "rows": {"source": "hub_instructions"},
        "made": {"source": "directory", "path": "somewhere"},
        "pool": {"source": "planted", "corpus": "text"},
    }
}


def of(key, given):
    grids.check_own_files(GRID, {"corpus_files": ["a"], key: given})
    found = {name: grids.own_files(GRID, key, given, name) for name in GRID["corpora"]}
    return {name: files for name, files in found.items() if files}


def test_a_list_is_for_all_that_can_take_it():
    assert of("corpus_files", ["a", "b"]) == {name: ["a", "b"] for name in ("text", "mine", "large_6b")}


def test_a_mapping_gives_each_its_own():
    assert of("corpus_files", {"text": ["a"], "large_6b": ["b"], "rows": []}) == {
        "text": ["a"],
        "large_6b": ["b"],
    }
    assert of("corpus_test_files", {"mine": ["c"]}) == {"mine": ["c"]}


@pytest.mark.parametrize("nothing", [{}, {"corpus_files": None}, {"corpus_files": []}, {"corpus_files": {}}])
def test_nothing_need_be_given(nothing):
    grids.check_own_files(GRID, nothing)
    assert grids.own_files(GRID, "corpus_files", nothing.get("corpus_files"), "text") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corpus_files": {"large_6B": ["a"]}}, "names 'large_6B', which is no corpus.*are text, mine, large_6b$"),
        ({"corpus_files": {"rows": ["a"]}}, "for rows, which as a corpus of source hub_instructions takes none"),
        ({"corpus_files": {"made": ["a"]}}, "source directory takes none.*are text, mine, large_6b$"),
        ({"corpus_files": {"pool": ["a"]}}, "source planted takes none"),
        ({"corpus_files": {"text": ["a"]}, "corpus_test_files": {"large_6b": ["b"]}}, "test_files.*source packed takes none.*are text, mine$"),
        ({"corpus_validation_files": ["b"]}, "validation_files has files for text, and corpus_files has none"),
        ({"corpus_files": {"mine": ["a"]}, "corpus_test_files": {"text": ["b"]}}, "test_files has files for text, and corpus_files has none"),
        ({"corpus_files": ["a"], "corpus_test_files": ["b"]}, "a list, for all corpora, and large_6b takes none: write a mapping, with files for text, mine"),
    ],
)  # fmt: skip
def test_files_in_vain_are_refused(given, message):
    with pytest.raises(grids.GridError, match=message):
        grids.check_own_files(GRID, given)


def test_a_grid_that_takes_none_says_so():
    with pytest.raises(grids.GridError, match="none of this grid takes any"):
        grids.check_own_files({"corpora": {"rows": {"source": "hub_instructions"}}}, {"corpus_files": ["a"]})
