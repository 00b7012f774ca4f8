"""The order of the training data: a pure function of seed, plan and position.

Rows are grouped into *strata* (the domains of a mixture; one stratum when nothing is mixed). Within a
stratum rows come without replacement, in a new permutation every epoch. Strata are interleaved: each has
one sample, at a random place, in every one of as many equal slots as it has samples. So a segment's counts
are its shares to within one, and after any number of samples the count of a stratum with share ``s`` among
``k`` is off by less than ``2 + s (k - 2)``.

Nothing is ever materialised: permutations are keyed Feistel networks and the interleaving is inverted where
it is asked for, so the state is a few integers a stratum and any position is reached in constant time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.arrays import FloatArray, IntArray

_ROUNDS = 6
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _hash(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit words (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        words = words + _GAMMA
        words = (words ^ (words >> np.uint64(30))) * _MIX_1
        words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))


def _keys(entropy: Sequence[int], count: int) -> npt.NDArray[np.uint64]:
    return np.random.SeedSequence(list(entropy)).generate_state(count, np.uint64).astype(np.uint64)


def permute(index: IntArray, size: int, entropy: Sequence[int]) -> IntArray:
    """Return the images of ``index`` under a pseudo-random permutation of ``range(size)``.

    A balanced Feistel network on the next power of four; an image outside of the range is sent through
    again until it falls inside (cycle walking), which keeps the map one to one.

    Args:
        index: positions, each in ``range(size)``.
        size: number of elements.
        entropy: non-negative integers that select the permutation.
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = _keys(entropy, _ROUNDS)

    def encrypt(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = words >> half, words & mask
        for key in keys:
            left, right = right, left ^ (_hash(right ^ key) & mask)
        return (left << half) | right

    image = encrypt(index.astype(np.uint64))
    outside = image >= np.uint64(size)
    while outside.any():
        image[outside] = encrypt(image[outside])
        outside = image >= np.uint64(size)
    return image.astype(np.int64)


def largest_remainder(total: int, shares: FloatArray) -> IntArray:
    """Split ``total`` into integers that are proportional to ``shares``, each within one of exact.

    Ties go to the lower index. ``shares`` need not sum to one; they must be non-negative with a positive
    sum.
    """
    exact = total * (shares / shares.sum())
    counts = np.floor(exact).astype(np.int64)
    left = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts


@dataclass(frozen=True)
class Segment:
    """A stretch of the run in which pool and proportions do not change."""

    start: int
    """Position in the run of its first sample."""
    length: int
    """Samples until its horizon (it may be cut short by a new segment, never overrun)."""
    shares: tuple[float, ...]
    """Asked share of the samples, a stratum."""
    owed: tuple[float, ...]
    """Samples that the segments before it owe each stratum: asked minus drawn."""
    quotas: tuple[int, ...]
    """Samples of each stratum over ``length``."""
    cursors: tuple[int, ...]
    """Samples drawn from each stratum of the same pool before this segment."""
    entropy: tuple[int, ...]
    """What selects the random places of this segment."""

    def _place(self, stratum: IntArray, ordinal: IntArray) -> FloatArray:
        """Return the places in [0, 1) of samples: a stratum has one in each of ``quota`` equal slots."""
        key = _keys(self.entropy, 1)[0]
        words = _hash(_hash(key ^ stratum.astype(np.uint64)) ^ ordinal.astype(np.uint64))
        jitter = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return (ordinal + jitter) / np.asarray(self.quotas, np.float64)[stratum]

    def _before(self, place: float) -> IntArray:
        """Count the samples of each stratum that lie before ``place``."""
        quotas = np.asarray(self.quotas, np.int64)
        stratum = np.flatnonzero(quotas)
        guess = np.floor(place * quotas[stratum]).astype(np.int64)
        counts = np.zeros_like(quotas)
        # Rounding can move the guess by one slot: look at the slot itself and its two neighbours.
        first = np.clip(guess - 1, 0, quotas[stratum])
        counts[stratum] = first
        for step in range(3):
            ordinal = first + step
            inside = ordinal < quotas[stratum]
            hit = inside & (self._place(stratum, np.where(inside, ordinal, 0)) < place)
            counts[stratum] += hit
        return counts

    def counts(self, offset: int) -> IntArray:
        """Return how many of the first ``offset`` samples come from each stratum."""
        if offset >= self.length:
            return np.asarray(self.quotas, np.int64)
        if len(self.quotas) == 1:
            return np.array([offset], np.int64)
        # A stretch of places from 0 on holds its share of the samples and at most one more of each stratum:
        # these lie before the offset for certain, and few remain to be put in order.
        counts = self._before(max(0.0, (offset - len(self.quotas) - 1) / self.length))
        for stratum in self._next(counts, offset - int(counts.sum())):
            counts[stratum] += 1
        return counts

    def _next(self, counts: IntArray, count: int) -> IntArray:
        """Return the strata of the ``count`` samples that follow ``counts``, in order."""
        if count == 0:
            return np.zeros(0, np.int64)
        quotas = np.asarray(self.quotas, np.int64)
        # A stretch of places holds up to two samples fewer, or more, of a stratum than its slots would: so
        # `count` samples span less than (count + 2 strata) / length places.
        window = np.ceil((count + 2 * len(quotas)) * quotas / self.length).astype(np.int64) + 2
        ends = np.minimum(counts + window, quotas)
        stratum = np.repeat(np.arange(len(quotas)), ends - counts)
        starts = np.repeat(counts - np.concatenate(([0], np.cumsum(ends - counts)[:-1])), ends - counts)
        ordinal = starts + np.arange(len(stratum))
        by_place = np.lexsort((ordinal, stratum, self._place(stratum, ordinal)))
        return stratum[by_place][:count]

    def draw(self, offset: int, count: int) -> tuple[IntArray, IntArray]:
        """Return stratum and running ordinal (over the pool's whole life) of samples from ``offset`` on.

        Raises:
            ValueError: the window passes the end of the segment.
        """
        if offset + count > self.length:
            raise ValueError(f"samples {offset}..{offset + count} pass the segment's end at {self.length}")
        counts = self.counts(offset)
        if len(self.quotas) == 1:
            return np.zeros(count, np.int64), self.cursors[0] + offset + np.arange(count)
        stratum = self._next(counts, count)
        ordinal = np.empty(count, np.int64)
        for index in np.unique(stratum):
            mine = np.flatnonzero(stratum == index)
            ordinal[mine] = self.cursors[index] + counts[index] + np.arange(len(mine))
        return stratum, ordinal


@dataclass
class Order:
    """Which row is trained at which position of the run.

    Args:
        seed: the run's seed.
    """

    seed: int
    strata: list[IntArray | range] = field(default_factory=list)
    """Row ids of each stratum of the present pool."""
    pool: int = 0
    """Number of the present pool; a new pool starts new permutations."""
    segment: Segment | None = None

    def begin(
        self,
        position: int,
        horizon: int,
        shares: Sequence[float] | FloatArray,
        strata: Sequence[IntArray | range] | None = None,
    ) -> None:
        """Begin a segment at ``position`` that reaches at most to ``horizon`` (both in samples).

        Args:
            position: where the new proportions take effect.
            horizon: end of the run, or of the phase when it is known.
            shares: proportions of samples, one a stratum, non-negative with a positive sum.
            strata: the row ids of a new pool; ``None`` keeps pool, permutations and cursors.
        """
        share = np.asarray(shares, np.float64)
        share = share / share.sum()
        if strata is not None:
            cursors, owed = np.zeros(len(strata), np.int64), np.zeros(len(strata))
            self.strata, self.pool = list(strata), self.pool + 1
        else:
            cursors, owed = self._carried(position)
            owed[share == 0] = 0.0
        length = horizon - position
        quotas = largest_remainder(length, np.maximum(share * length + owed, 0.0)) if length else cursors * 0
        self.segment = Segment(
            start=position,
            length=length,
            shares=tuple(share.tolist()),
            owed=tuple(owed.tolist()),
            quotas=tuple(quotas.tolist()),
            cursors=tuple(cursors.tolist()),
            entropy=(self.seed, self.pool, position),
        )

    def _carried(self, position: int) -> tuple[IntArray, FloatArray]:
        segment = self._current()
        drawn = segment.counts(position - segment.start)
        asked = np.asarray(segment.shares) * (position - segment.start) + np.asarray(segment.owed)
        return np.asarray(segment.cursors) + drawn, asked - drawn

    def _current(self) -> Segment:
        if self.segment is None:
            raise RuntimeError("the order has no segment yet: call begin() first")
        return self.segment

    def rows(self, position: int, count: int) -> IntArray:
        """Return the row ids at ``position .. position + count``; shape ``(count,)``.

        Raises:
            ValueError: the window passes the end of the present segment.
        """
        segment = self._current()
        stratum, ordinal = segment.draw(position - segment.start, count)
        ids = np.empty(count, np.int64)
        for index in np.unique(stratum):
            rows = self.strata[index]
            epoch, place = np.divmod(ordinal, len(rows))
            for turn in np.unique(epoch[stratum == index]):
                mine = (stratum == index) & (epoch == turn)
                image = permute(place[mine], len(rows), (self.seed, self.pool, int(index), int(turn)))
                ids[mine] = image + rows.start if isinstance(rows, range) else rows[image]
        return ids

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the row ids of the strata, as JSON types."""
        segment = self._current()
        return {
            "seed": self.seed,
            "pool": self.pool,
            "segment": {name: getattr(segment, name) for name in Segment.__dataclass_fields__},
        }

    def load_state_dict(self, state: dict[str, Any], strata: Sequence[IntArray | range]) -> None:
        """Restore a state; ``strata`` are the row ids that were in use when it was saved.

        Raises:
            ValueError: the state was made with another seed.
        """
        if state["seed"] != self.seed:
            raise ValueError(
                f"the checkpoint's data order has seed {state['seed']}, this run has {self.seed}"
            )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in state["segment"].items()
        }
        self.pool, self.segment, self.strata = state["pool"], Segment(**values), list(strata)
