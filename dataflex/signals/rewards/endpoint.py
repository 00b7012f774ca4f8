"""A language model behind an OpenAI-compatible server as judge.

Each text is put into a question, and the reply must be a number. The judge is asked at temperature 0;
where a server still answers differently the second time, a cache file makes a resumed run see the same
numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dataflex.errors import UserError
from dataflex.signals.rewards.answer import Answer
from dataflex.signals.rewards.chat import Chat, short
from dataflex.signals.rewards.score_cache import ScoreCache

_PLACE = re.compile(r"\{(prompt|reference|text)\}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Endpoint(BaseModel):
    """Which server to ask, and how."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False)

    base_url: str
    """Address up to the version, for example http://127.0.0.1:8000/v1."""
    model: str
    """Name of the model, as the server knows it."""
    template: str = (
        "Rate the answer to the prompt. Reply with one number from 0 (wrong or useless) to 1 (right and "
        "complete) and nothing else.\n\nPrompt:\n{prompt}\n\nRight answer:\n{reference}\n\n"
        "Answer to rate:\n{text}"
    )
    """The question; {prompt}, {reference} and {text} are filled in."""
    lowest: float = 0.0
    """Lowest score that the template allows for."""
    highest: float = 1.0
    """Highest score that the template allows for."""
    key_variable: str | None = None
    """Name of the environment variable that holds the API key; never the key itself."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that the server may be silent."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Further attempts after a timeout, a lost connection, status 429 or 5xx."""
    backoff: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first further attempt; they double with each one."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Questions that are asked at a time."""
    cache: str | None = None
    """File of JSON lines that keeps the scores for later runs; none keeps them for this run."""


class Judge:
    """A reward that asks a server.

    Args:
        endpoint: which one, and how.

    Raises:
        UserError: template, limits or address are no good, or the API key's variable is not set.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        if "{text}" not in endpoint.template:
            raise UserError("endpoint.template must contain {text}, the place of the text to judge")
        if endpoint.lowest >= endpoint.highest:
            raise UserError("endpoint.lowest must lie below endpoint.highest")
        self._endpoint = endpoint
        self._cache = ScoreCache(Path(endpoint.cache) if endpoint.cache else None)
        self._chat().__exit__()

    def __call__(self, answers: Sequence[Answer]) -> list[float]:
        """Return the server's score of each answer; equal questions are asked once.

        Raises:
            UserError: the server gave no number within the limits, after all attempts.
        """
        questions = [self._question(answer) for answer in answers]
        pool = ThreadPoolExecutor(self._endpoint.concurrency)
        with self._chat() as chat:
            try:
                different = list(dict.fromkeys(questions))
                scores = pool.map(lambda question: self._score(chat, question), different)
                score_of = dict(zip(different, scores, strict=True))
            finally:
                # After an error, questions that still wait are not asked.
                pool.shutdown(cancel_futures=True)
        return [score_of[question] for question in questions]

    def _chat(self) -> Chat:
        given = self._endpoint
        return Chat(
            given.base_url, given.model, given.key_variable, given.timeout, given.retries, given.backoff
        )

    def _question(self, answer: Answer) -> str:
        # In one pass: what looks like a place in a prompt or an answer is text.
        parts = answer._asdict()
        return _PLACE.sub(lambda place: parts[place[1]], self._endpoint.template)

    def _score(self, chat: Chat, question: str) -> float:
        messages = [{"role": "user", "content": question}]
        identity = json.dumps([chat.url, self._endpoint.model, messages])
        digest = hashlib.sha256(identity.encode()).hexdigest()
        number = self._cache.get(digest)
        if number is None:
            number = self._number(chat, chat.reply(messages))
            self._cache.put(digest, number)
        return number

    def _number(self, chat: Chat, reply: str) -> float:
        number = float(reply) if _NUMBER.fullmatch(reply.strip()) else math.nan
        low, high = self._endpoint.lowest, self._endpoint.highest
        if not low <= number <= high:
            raise chat.error(
                f"replied {short(reply)} instead of a number from {low:g} to {high:g}: "
                "change endpoint.template or endpoint.model"
            )
        return number
