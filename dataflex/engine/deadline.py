"""When a run has to stop by itself: before the time is over that whoever launched it has given it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dataflex.errors import UserError

STOP_AT = "DATAFLEX_STOP_AT"
STOP_MARGIN = "DATAFLEX_STOP_MARGIN"
_JOB_END = "SLURM_JOB_END_TIME"
_JOB_START = "SLURM_JOB_START_TIME"
_MARGIN = 300.0
_LARGEST_MARGIN = 0.1
"""Share of a job's duration."""


def stop_time(env: Mapping[str, str]) -> float | None:
    """Return the time after which no optimizer step should end, in seconds since 1970; None: there is none.

    Args:
        env: DATAFLEX_STOP_AT is that time. Without it, the end of the Slurm job (SLURM_JOB_END_TIME) less
            DATAFLEX_STOP_MARGIN seconds, 300 unless given, and no more than a tenth of the job's duration
            where its start is known (SLURM_JOB_START_TIME).

    Raises:
        UserError: one of dataflex's two is no number of seconds.
    """
    given = _seconds(env, STOP_AT)
    margin = _seconds(env, STOP_MARGIN)
    if given is not None:
        return given
    end, start = _time(env, _JOB_END), _time(env, _JOB_START)
    if end is None:
        return None
    margin = _MARGIN if margin is None else margin
    if start is not None and start < end:
        margin = min(margin, _LARGEST_MARGIN * (end - start))
    return end - margin


def _seconds(env: Mapping[str, str], name: str) -> float | None:
    if not env.get(name):
        return None
    seconds = _number(env[name])
    if seconds is None or seconds < 0:
        what = "a time in seconds since 1970" if name == STOP_AT else "a number of seconds"
        raise UserError(f"the environment variable {name} is {env[name]!r}: make it {what}, or unset it")
    return seconds


def _time(env: Mapping[str, str], name: str) -> float | None:
    """Return a time of Slurm's; what it writes for a job without one is passed over."""
    seconds = _number(env.get(name, ""))
    return seconds if seconds is not None and seconds > 0 else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Deadline:
    """Tells after each step whether the next one would end too late, were it as long as the longest so far.

    A step lasts from the end of the one before to its own, so that it counts what lies between: a selection's
    passes, an evaluation, a checkpoint.

    Args:
        at: see ``stop_time``; None never comes.
    """

    def __init__(self, at: float | None) -> None:
        self._at = at
        self._last = 0.0
        self._longest = 0.0

    def begin(self, now: float) -> None:
        """Note that training begins."""
        self._last, self._longest = now, 0.0

    def is_near(self, now: float) -> bool:
        """Note the end of a step, and tell whether it should be the last one."""
        self._longest = max(self._longest, now - self._last)
        self._last = now
        return self._at is not None and now + self._longest > self._at
