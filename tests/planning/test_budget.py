"""What is dropped for a budget: properties on random grids."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex.planning.budget import Candidate, Proposal, propose


@st.composite
def grids(draw: st.DrawFn) -> list[Candidate]:
    """A baseline, its comparisons and helper runs, for one to three seeds."""
    found: list[Candidate] = []
    for seed in range(draw(st.integers(1, 3))):
        methods = [f"m{number}.{seed}" for number in range(draw(st.integers(1, 4)))]
        helpers = [f"h{number}.{seed}" for number in range(draw(st.integers(0, 2)))]
        for number, path in enumerate(helpers):
            needs = tuple(helpers[:number]) if draw(st.booleans()) else ()
            found.append(
                Candidate(path, Fraction(draw(st.integers(1, 9))), needs=needs, asked=False, seed=seed)
            )
        for path in methods:
            needs = tuple(sorted(draw(st.sets(st.sampled_from(helpers))))) if helpers else ()
            found.append(
                Candidate(
                    path,
                    Fraction(draw(st.integers(1, 9))),
                    Fraction(draw(st.integers(0, 2))),
                    needs,
                    hopeless=draw(st.booleans()),
                    seed=seed,
                )
            )
        if draw(st.booleans()):
            found.append(
                Candidate(f"base.{seed}", Fraction(3), Fraction(1), seed=seed, serves=tuple(methods))
            )
    return found


def cost(candidates: list[Candidate], proposal: Proposal) -> Fraction:
    by_path = {one.path: one for one in candidates}
    return sum((by_path[path].hours for path in proposal.kept), Fraction(0)) + sum(
        (by_path[path].looked_at for path in proposal.asked), Fraction(0)
    )


budgets = st.integers(0, 120)


@settings(deadline=None, max_examples=50)
@given(grids(), budgets)
def test_what_remains_fits_and_lacks_nothing(candidates: list[Candidate], budget: int) -> None:
    proposal = propose(candidates, budget)
    by_path = {one.path: one for one in candidates}
    assert cost(candidates, proposal) == Fraction(proposal.hours) <= budget
    kept, asked = set(proposal.kept), set(proposal.asked)
    assert asked <= kept
    assert all(set(by_path[path].needs) <= kept for path in kept)
    # A helper that nobody needs is not trained.
    needed = {need for path in kept for need in by_path[path].needs}
    assert kept - asked <= needed
    # Every cell that was asked for remains or is on the list, once.
    dropped = [path for path, _ in proposal.dropped]
    assert len(dropped) == len(set(dropped))
    assert set(dropped) | asked == {one.path for one in candidates if one.asked}
    assert not set(dropped) & asked
    # A comparison keeps its baseline, and a baseline a comparison.
    for one in candidates:
        if one.serves:
            assert (one.path in asked) == bool(asked & set(one.serves))


@settings(deadline=None, max_examples=50)
@given(grids(), budgets)
def test_no_dropped_comparison_would_still_fit(candidates: list[Candidate], budget: int) -> None:
    proposal = propose(candidates, budget)
    for path, _ in proposal.dropped:
        if next(one for one in candidates if one.path == path).serves:
            continue
        with_it = set(proposal.asked) | {path} | {one.path for one in candidates if path in one.serves}
        rest = [
            Candidate(
                one.path, one.hours, one.looked_at, one.needs, one.path in with_it, one.hopeless, one.seed
            )
            for one in candidates
        ]
        assert cost(candidates, propose(rest, 10**9)) > budget


@settings(deadline=None, max_examples=50)
@given(grids())
def test_nothing_is_dropped_where_all_fits(candidates: list[Candidate]) -> None:
    proposal = propose(candidates, 10**6)
    assert not proposal.dropped
    assert set(proposal.asked) == {one.path for one in candidates if one.asked}


@settings(deadline=None, max_examples=50)
@given(grids(), budgets, st.randoms())
def test_the_proposal_does_not_depend_on_the_order(candidates: list[Candidate], budget: int, random) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert set(propose(candidates, budget).asked) == set(propose(shuffled, budget).asked)


def test_the_order_of_what_goes() -> None:
    cells = [
        Candidate("base", 10.0, serves=("weak", "strong")),
        Candidate("weak", 1.0, hopeless=True),
        Candidate("strong", 20.0),
        Candidate("base.2", 10.0, seed=1, serves=("strong.2",)),
        Candidate("strong.2", 20.0, needs=("helper.2",), seed=1),
        Candidate("helper.2", 5.0, asked=False, seed=1),
    ]
    assert [path for path, _ in propose(cells, 65).dropped] == ["weak"]
    # The second seed goes whole: the comparison, its helper, and the baseline that then serves nobody.
    proposal = propose(cells, 30)
    assert proposal.dropped == (
        ("weak", "its effect could not be detected"),
        ("strong.2", "a further seed"),
        ("base.2", "a baseline without comparisons"),
    )
    assert proposal.kept == ("base", "strong")
    # What could not be detected comes back where all that is worth more does not fit.
    assert propose(cells, 11).asked == ("base", "weak")
    assert propose(cells, 5).asked == ()
