"""The paper's numbers as the tables find them."""

import csv
from pathlib import Path

from paper_figures.published import less_cases, less_seconds, published, tsds_reduction


def test_every_number_has_a_place_of_its_own():
    """The two models of the selection figure have the same scale, methods and metric."""
    with Path("reproductions/reference/published.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for table in {row["table"] for row in rows}:
        assert len(published(table)) == sum(row["table"] == table for row in rows)
    selection = published("data_selection")
    rest = ("OpenHermes-2.5 100k", "LESS", "MMLU acc (final)")
    assert (selection["Mistral-7B-v0.1", *rest], selection["Llama-3.2-3B", *rest]) == (0.452, 0.450)


def test_numbers_are_the_papers():
    assert published("data_mixture")["Qwen2.5-1.5B", "SlimPajama-6B", "ODM", "PPL_ALL"] == 4.244
    assert published("nothing") == {}
    assert less_seconds(0.05, 1) == (1640, 1579)
    assert less_seconds(1, 8) == (30239, 12965)
    assert less_cases() == [(0.05, 1), (0.1, 1), (0.5, 1), (1.0, 1), (1.0, 8)]
    assert tsds_reduction() == (1, 3.5)
