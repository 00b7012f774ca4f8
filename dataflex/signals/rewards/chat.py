"""Questions to an OpenAI-compatible chat-completions server, asked again where the trouble may pass."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import Any, Self

import httpx

from dataflex.errors import UserError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_PAUSE = 60.0
"""Seconds between two attempts at the most, also where the server asks for more."""


class Chat:
    """A connection to one model of one server, closed at the end of a ``with`` block; threads may share it.

    Args:
        base_url: address up to the version, for example http://127.0.0.1:8000/v1.
        model: as the server names it.
        key_variable: name of the environment variable with the API key, or None.
        timeout: seconds that the server may be silent.
        retries: further attempts after a timeout, a lost connection, status 429 or 5xx.
        backoff: seconds before the first of them; they double with each one.

    Raises:
        UserError: the address is none, or the key's variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key_variable: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        backoff: float = 1.0,
    ) -> None:
        self.url = f"{_checked_address(base_url)}/chat/completions"
        self._model, self._key_variable = model, key_variable
        self._timeout, self._retries, self._backoff = timeout, retries, backoff
        self._key = _key(key_variable) if key_variable is not None else None
        # Redirects are not followed: key and texts go to the named server alone.
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=timeout,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def reply(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the server's reply at temperature 0.

        Args:
            messages: with ``role`` and ``content``.

        Raises:
            UserError: there is none, after all attempts.
        """
        asked = {"model": self._model, "messages": list(messages), "temperature": 0}
        for attempt in range(self._retries + 1):
            pause = min(self._backoff * 2**attempt, _LONGEST_PAUSE)
            try:
                response = self._client.post(self.url, json=asked)
            except httpx.TimeoutException:
                trouble = f"gave no answer within {self._timeout:g} s: raise endpoint.timeout"
            except httpx.TransportError as error:
                trouble = f"can't be reached ({error}): is the server up, and is endpoint.base_url right?"
            except httpx.HTTPError as error:
                raise self.error(f"gave an answer that can't be read: {error}") from None
            else:
                if response.status_code != 429 and response.status_code < 500:
                    return self._content(response)
                trouble = f"answered with status {response.status_code}: {short(response.text)}"
                pause = max(pause, _asked_pause(response))
            if attempt < self._retries:
                time.sleep(pause)
        raise self.error(f"{trouble} (after {self._retries + 1} attempts)")

    def error(self, trouble: str) -> UserError:
        """Return the exception for a trouble with this server: one line that never shows the key."""
        line = " ".join(f"endpoint {self.url} {trouble}".split())
        return UserError(line.replace(self._key, "***") if self._key else line)

    def _content(self, response: httpx.Response) -> str:
        status = response.status_code
        if status in (401, 403):
            # Without what the server says: some repeat the key in part.
            hint = (
                f"check the API key in the environment variable {self._key_variable}"
                if self._key
                else "set an environment variable to the API key and endpoint.key_variable to its name"
            )
            raise self.error(f"refused access with status {status}: {hint}")
        if response.is_redirect:
            to = short(response.headers.get("location", "another address"))
            raise self.error(f"redirects to {to}: set endpoint.base_url to the server itself")
        if status != 200:
            raise self.error(
                f"answered with status {status}: check endpoint.base_url and endpoint.model; "
                f"it says {short(response.text)}"
            )
        try:
            content: Any = response.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            content = None
        if not isinstance(content, str):
            raise self.error(
                "does not answer as a chat-completions server: check endpoint.base_url; "
                f"it says {short(response.text)}"
            )
        return content


def short(text: str) -> str:
    """Return a text in quotes, cut to 200 characters."""
    return repr(text if len(text) <= 200 else text[:200] + "...")


def _checked_address(base_url: str) -> str:
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise UserError(f"endpoint.base_url is no address: {error}") from None
    if address.userinfo:
        # Not repeated: it holds a password.
        raise UserError("endpoint.base_url must not hold a password: use endpoint.key_variable")
    if address.scheme not in ("http", "https") or not address.host:
        raise UserError(f"endpoint.base_url must be like http://127.0.0.1:8000/v1, not {base_url!r}")
    return base_url.rstrip("/")


def _key(variable: str) -> str:
    if not _VARIABLE.fullmatch(variable):
        # Not repeated: it may be the key itself.
        raise UserError(
            "endpoint.key_variable must be the name of an environment variable that holds the API key, "
            "never the key itself"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"endpoint.key_variable: the environment variable {variable} is not set")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"endpoint.key_variable: {variable} holds characters that no API key has")
    return key


def _asked_pause(response: httpx.Response) -> float:
    """Return the seconds that the server asks to wait for."""
    asked = response.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_PAUSE) if asked.isdecimal() else 0.0
