"""A Python function of the user's as reward."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataflex.errors import UserError, one_line
from dataflex.signals.rewards.answer import Answer, Judgement, Reward


def one_by_one(judge: Judgement, name: str) -> Reward:
    """Return a reward that judges each answer on its own.

    The reward raises UserError where the function fails or returns no finite number.
    """

    def score(answers: Sequence[Answer]) -> list[float]:
        return [_judged(judge, name, answer) for answer in answers]

    return score


def _judged(judge: Judgement, name: str, answer: Answer) -> float:
    where = f"reward {name!r}, asked about the text {answer.text[:80]!r},"
    try:
        value: Any = judge(answer.prompt, answer.reference, answer.text)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where} failed: {type(error).__name__}: {_line(error)}") from error
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where} returned {str(value)[:80]!r}, which is not a finite number")
    return number


def load_function(name: str) -> Judgement:
    """Import ``package.module:function``, also from the working directory.

    Raises:
        UserError: it is not there, can't be called, or does not take prompt, reference and text.
    """
    module_name, _, path = name.partition(":")
    try:
        function = _import(module_name)
        for part in path.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise UserError(
            f"reward: {name!r} can't be imported: {type(error).__name__}: {_line(error)}"
        ) from error
    if not callable(function):
        raise UserError(f"reward: {name!r} is {type(function).__name__}, not a function")
    try:
        inspect.signature(function).bind("prompt", "reference", "text")
    except TypeError as error:
        raise UserError(f"reward: {name!r} must take prompt, reference and text: {error}") from error
    except ValueError:
        pass  # written in C without a signature: it shows when it is called
    return function


def _import(name: str) -> Any:
    # A console script does not look where it was started; python -m does.
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _line(error: Exception) -> str:
    return one_line(error)[:200]
