"""Ledger, journal and proportions."""

import json

import numpy as np
import pytest
import torch

from dataflex.engine.journal import Journal
from dataflex.engine.ledger import Ledger, NotFiniteError
from dataflex.engine.proportions import as_proportions, row_shares
from dataflex.errors import UserError


def test_ledger_sums_by_domain_and_survives_json() -> None:
    ledger = Ledger(3)
    ledger.record(torch.tensor([0, 2, 0]), torch.tensor([1.5, 2.0, 0.25]), torch.tensor([3.0, 4.0, 1.0]))
    ledger.record(torch.tensor([2]), torch.tensor([1.0]), torch.tensor([2.0]))
    step = ledger.close_step(np.array([0.5, 0.2, 0.3]), asked=True)
    assert step.loss_sums.tolist() == [1.75, 0.0, 3.0]
    assert step.loss_tokens.tolist() == [4, 0, 6]
    assert step.samples.tolist() == [2, 0, 2]
    copy = Ledger(3)
    copy.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    assert [part.tolist() for part in copy.close_interval()] == [
        [1.75, 0, 3],
        [4, 0, 6],
        [2, 0, 2],
        [5, 2, 3],
    ]
    assert copy.total_loss_tokens.tolist() == [4, 0, 6]
    with pytest.raises(RuntimeError, match="no micro-batch"):
        ledger.close_step(np.full(3, 1 / 3), asked=True)


def test_ledger_keeps_what_methods_look_at_apart() -> None:
    """Excess losses and router counts of two micro-batches, by domain; neither disturbs the other."""
    generator = torch.Generator().manual_seed(0)
    domain = torch.tensor([0, 1, 1, 0])
    sums, tokens = torch.rand(4, generator=generator), torch.full((4,), 3.0)
    excess = torch.rand(4, 2, generator=generator)
    counts = torch.randint(0, 9, (4, 2, 5), generator=generator)
    ledger = Ledger(2)
    for half in (slice(0, 2), slice(2, 4)):
        ledger.record(domain[half], sums[half], tokens[half], excess=excess[half], router_counts=counts[half])
    step = ledger.close_step(np.full(2, 0.5), asked=False)
    assert step.excess is not None
    assert step.router_counts is not None
    for index in range(2):
        mine = domain == index
        assert step.loss_sums[index] == pytest.approx(float(sums[mine].sum()))
        assert step.excess[index] == pytest.approx(excess[mine].sum(0).numpy())
        assert np.array_equal(step.router_counts[index], counts[mine].sum(0).numpy())
    assert ledger.close_interval()[3].tolist() == [0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_ledger_refuses_losses_that_are_not_finite(bad: float) -> None:
    ledger = Ledger(3)
    ledger.record(torch.tensor([0, 1, 2]), torch.tensor([1.5, bad, 0.25]), torch.ones(3))
    with pytest.raises(NotFiniteError) as told:
        ledger.close_step(np.full(3, 1 / 3), asked=False)
    assert (told.value.domains, told.value.ranks) == ([1], [0])


def test_journal_rewinds_to_a_checkpoint(tmp_path) -> None:  # type: ignore[no-untyped-def]
    journal = Journal(tmp_path / "log.jsonl")
    journal.start()
    for number in range(5):
        journal.append({"number": number})
    journal.rewind(3)
    journal.append({"number": 9})
    lines = [json.loads(line)["number"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [0, 1, 2, 9]
    with pytest.raises(UserError, match=r"has 4 records.*set overwrite_output_dir: true"):
        Journal(tmp_path / "log.jsonl").rewind(6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0.5, 0.5, 0.1], "3 numbers for 2"),
        ([0.5, -0.5], "negative"),
        ([float("nan"), 1], "not finite"),
        ([0, 0], "zero for every"),
        ({"a": 1.0}, "no proportion for b"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "'c'"),
    ],
)
def test_bad_proportions_are_refused(given, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        as_proportions(given, ["a", "b"], "init_mixture_proportions")


def test_proportions_by_name_or_order() -> None:
    assert as_proportions({"b": 3, "a": 1}, ["a", "b"], "p").tolist() == [0.25, 0.75]
    assert as_proportions([1, 3], ["a", "b"], "p").tolist() == [0.25, 0.75]


def test_row_shares_give_the_asked_token_shares() -> None:
    rows, tokens = np.array([100, 50, 0]), np.array([1000, 4000, 0])
    shares = row_shares(np.array([0.5, 0.3, 0.2]), tokens, rows)
    drawn = shares[:2] * tokens[:2] / rows[:2]
    assert drawn / drawn.sum() == pytest.approx([0.625, 0.375])
    assert shares[2] == 0
