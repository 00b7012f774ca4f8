"""Names of partitions and the like, as a profile has to write them."""

import pytest
import quoting


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ("gpu", "gpu"),
        ("'all'", "all"),
        ('"open"', "open"),
        ("'all", "'all"),
        ("'a' if threads > 1 else 'b'", "'a' if threads > 1 else 'b'"),
        (8, 8),
        (None, None),
        ("", ""),
    ],
)
def test_a_quoted_string_stands_for_what_it_quotes(raw, meant):
    assert quoting.meant(raw) == meant


@pytest.mark.parametrize("name", ["all", "open", "max"])
def test_a_name_of_pythons_needs_quotes(name):
    assert f"qos: \"'{name}'\"" in quoting.mistaken("qos", name)
    assert quoting.mistaken("qos", f"'{name}'") is None


@pytest.mark.parametrize("raw", ["gpu", "all-nodes", "None", "'all'", 8, None, "", lambda wildcards: 1])
def test_other_names_need_none(raw):
    assert quoting.mistaken("qos", raw) is None
