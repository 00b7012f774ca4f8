"""Rewards: hand-made answers, user functions, and a judge behind a real server on this machine."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflex.errors import UserError
from dataflex.signals.rewards.answer import Answer
from dataflex.signals.rewards.build import BUILT_IN, build_reward, score_rollouts
from dataflex.signals.rewards.endpoint import Endpoint
from dataflex.signals.rewards.option_match import refuse_references
from dataflex.signals.rollouts import Rollouts


def test_references_that_name_no_option_are_refused_by_their_rows() -> None:
    refuse_references(["B", "(C) Rome"])
    with pytest.raises(UserError, match=r"2 of the 4 .*: row 1 \('B cells'\), row 3 \('Rome'\); let them st"):
        refuse_references(["B", "B cells", "(C) Rome", "Rome"])
    with pytest.raises(UserError, match=r"9 of the 9 .* row 4 \('x{80}'\) and 4 more; let them start"):
        refuse_references(["x" * 300] * 9)


def test_option_match_compares_with_the_reference() -> None:
    match = BUILT_IN["option_match"]
    assert [match("", "B. Paris", text) for text in ("(B)", "C", "no idea")] == [1.0, 0.0, 0.0]
    with pytest.raises(UserError, match="'Paris' names no option"):
        match("", "Paris", "B")


@pytest.mark.parametrize(
    ("reference", "text", "equal", "f1"),
    [
        ("The cat sat.", " the  CAT sat", 1, 1),
        ("the cat", "the dog", 0, 0.5),
        ("a b c d", "a b", 0, 2 / 3),
        ("a a b", "a b b", 0, 2 / 3),
        ("yes", "", 0, 0),
        ("", "...", 0, 1),
        ("3.5", "3,5", 0, 1),
        ("巴黎是首都", "首都巴黎", 0, 8 / 9),
        ("Straße", "STRASSE!", 1, 1),
        ("हिन्दी भाषा", "हिन्दी", 0, 2 / 3),
        ("(a)", "a", 1, 1),
    ],
)
def test_overlap_on_hand_made_pairs(reference: str, text: str, equal: float, f1: float) -> None:
    assert BUILT_IN["exact_match"]("", reference, text) == equal
    assert BUILT_IN["token_f1"]("", reference, text) == pytest.approx(f1)


FUNCTIONS = """
import math
calls = []
class Wise:
    @staticmethod
    def length(prompt, reference, text):
        return len(text) > 1
def nan(prompt, reference, text): return math.nan
def word(prompt, reference, text): return "0.5"
def nothing(prompt, reference, text): return None
def broken(prompt, reference, text): raise KeyError("of\\nmine")
def two(prompt, text): return 1.0
number = 3
"""


def test_functions_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rewards.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    answers = [Answer("p", "r", text) for text in ("x", "long")]
    assert build_reward("my_rewards:Wise.length")(answers) == [0.0, 1.0]
    for name, message in {
        "nan": "'nan', which is not a finite number",
        "word": "'0.5', which is not",
        "nothing": "'None', which is not",
        "broken": "asked about the text 'x', failed: KeyError: 'of.*mine'",
    }.items():
        with pytest.raises(UserError, match=f"my_rewards:{name}.*{message}") as caught:
            build_reward(f"my_rewards:{name}")(answers)
        assert "\n" not in str(caught.value)
    for name, message in {
        "my_rewards:two": "must take prompt, reference and text",
        "my_rewards:number": "is int, not a function",
        "my_rewards:gone": "can't be imported: AttributeError",
        "no_such_rewards:f": "can't be imported: ModuleNotFoundError",
        "bleu": "there are option_match, exact_match, token_f1, endpoint",
        "endpoint": "needs the parameter endpoint",
    }.items():
        with pytest.raises(UserError, match=message):
            build_reward(name)
    with pytest.raises(UserError, match="endpoint is given but"):
        build_reward("token_f1", Endpoint(base_url="http://x", model="m"))


def test_rollouts_get_one_reward_a_continuation() -> None:
    rollouts = Rollouts(("p", "q"), ("A", "B"), (("A", "B", "C"), ("A", "B", "B")), (), (), 0.0)
    rewards = score_rollouts(build_reward("option_match"), rollouts)
    assert np.array_equal(rewards, [[1, 0, 0], [0, 1, 1]])


class Server:
    """A chat-completions server whose replies a test decides: by what is asked and how often it was."""

    def __init__(self, answer: Callable[[str, int], Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        lock = threading.Lock()
        counts: dict[str, int] = {}
        present = [0]
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                question = body["messages"][0]["content"]
                with lock:
                    server.asked.append(body | {"path": self.path})
                    server.keys.append(self.headers.get("authorization"))
                    counts[question] = counts.get(question, 0) + 1
                    present[0] += 1
                    server.most_at_once = max(server.most_at_once, present[0])
                try:
                    given = answer(question, counts[question])
                finally:
                    with lock:
                        present[0] -= 1
                status, content, headers = given if isinstance(given, tuple) else (200, given, {})
                if isinstance(content, str) and status == 200:
                    content = json.dumps(
                        {"choices": [{"message": {"role": "assistant", "content": content}}]}
                    )
                raw = content if isinstance(content, bytes) else content.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                with suppress(OSError):  # the client gave up waiting
                    self.wfile.write(raw)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[Server] = []

    def start(answer: Callable[[str, int], Any]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def judge(server: Server | str, texts: list[str], **params: Any) -> list[float]:
    url = server if isinstance(server, str) else server.url
    given = {"model": "m", "template": "{prompt}|{reference}|{text}", "backoff": 0.01, "retries": 2} | params
    reward = build_reward("endpoint", Endpoint(base_url=url, **given))
    return reward([Answer("p {text}", "r", text) for text in texts])


def test_the_judge_asks_as_the_protocol_wants_and_keeps_the_order(serve: Callable[..., Server]) -> None:
    """Later questions are answered first; equal ones are asked once; places in the texts are no places."""

    def answer(question: str, times: int) -> str:
        number = int(question.rpartition(" ")[2])
        time.sleep(0.02 * (12 - number))
        return f" {number / 16}\n"

    server = serve(answer)
    texts = [f"{{reference}} {i}" for i in range(12)] + ["{reference} 3"]
    assert judge(server, texts, concurrency=4) == [i / 16 for i in [*range(12), 3]]
    assert len(server.asked) == 12
    assert 2 <= server.most_at_once <= 4
    first = next(asked for asked in server.asked if asked["messages"][0]["content"].endswith(" 0"))
    assert first == {
        "path": "/v1/chat/completions",
        "model": "m",
        "temperature": 0,
        "messages": [{"role": "user", "content": "p {text}|r|{reference} 0"}],
    }
    assert set(server.keys) == {None}


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ((500, "oops", {}), 0.5),
        ((429, "slow down", {"retry-after": "0"}), 0.5),
        ((503, "", {}), 0.5),
    ],
)
def test_passing_trouble_is_outwaited(serve: Callable[..., Server], trouble: Any, expected: float) -> None:
    server = serve(lambda question, times: trouble if times < 3 else "0.5")
    assert judge(server, ["x", "y"]) == [expected, expected]
    assert len(server.asked) == 6


def test_a_slow_answer_is_asked_for_again(serve: Callable[..., Server]) -> None:
    def answer(question: str, times: int) -> str:
        time.sleep(1.0 if times == 1 else 0)
        return "1"

    server = serve(answer)
    assert judge(server, ["x"], timeout=0.2) == [1.0]
    with pytest.raises(UserError, match=r"no answer within 0.2 s: raise endpoint.timeout \(after 1 att"):
        judge(server, ["y"], timeout=0.2, retries=0)


SECRET = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    ("reply", "message", "attempts"),
    [
        ((500, f"no {SECRET}", {}), r"status 500: 'no \*\*\*' \(after 3 attempts\)", 3),
        (
            (401, f"wrong key {SECRET}", {}),
            "refused access with status 401: check the API key .* JUDGE_KEY",
            1,
        ),
        (
            (404, "no such model", {}),
            "status 404: check endpoint.base_url and endpoint.model; .* 'no such",
            1,
        ),
        ((302, "", {"location": "http://elsewhere/"}), "redirects to 'http://elsewhere/': set endpoint.b", 1),
        (b"<html>", "does not answer as a chat-completions server: .* '<html>'", 1),
        (b'{"choices": []}', "does not answer as a chat-completions server", 1),
        (b'{"choices": [{"message": {"content": null}}]}', "does not answer as", 1),
        ("good\nanswer", r"replied 'good\\nanswer' instead of a number from 0 to 1: change", 1),
        ("NaN", "replied 'NaN' instead", 1),
        ("inf", "replied 'inf' instead", 1),
        ("0,5", "replied '0,5' instead", 1),
        ("1e999", "replied '1e999' instead", 1),
        ("85", "replied '85' instead", 1),
        ("0.5 of 1", "replied '0.5 of 1' instead", 1),
        ("x" * 500, f"replied '{'x' * 200}...' instead", 1),
    ],
)
def test_failures_are_told_in_one_line_without_the_key(
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    reply: Any,
    message: str,
    attempts: int,
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server = serve(lambda question, times: reply)
    with pytest.raises(UserError, match=message) as caught:
        judge(server, ["x"], key_variable="JUDGE_KEY")
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert server.url in str(caught.value)
    assert server.keys == [f"Bearer {SECRET}"] * attempts


def test_a_server_that_is_down_or_wants_a_key(serve: Callable[..., Server]) -> None:
    server = serve(lambda question, times: (401, "", {}))
    with pytest.raises(UserError, match=r"set an environment variable to the API key and endpoint.key_v"):
        judge(server, ["x"])
    server.close()
    with pytest.raises(UserError, match=r"can't be reached .* is the server up.*after 3 attempts"):
        judge(server, [f"{i}" for i in range(20)])


def test_one_failure_stops_the_questions_that_wait(serve: Callable[..., Server]) -> None:
    server = serve(lambda question, times: "bad" if question.endswith("|0") else "1")
    with pytest.raises(UserError, match="replied 'bad'"):
        judge(server, [f"{i}" for i in range(500)], concurrency=2)
    assert len(server.asked) < 250


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"key_variable": "NO_SUCH_KEY"}, "environment variable NO_SUCH_KEY is not set"),
        ({"key_variable": SECRET}, "must be the name of an environment variable"),
        ({"base_url": "127.0.0.1:8000"}, "must be like http://127.0.0.1:8000/v1"),
        ({"base_url": f"http://me:{SECRET}@host/v1"}, "must not hold a password"),
        ({"template": "Rate it."}, "must contain {text}"),
        ({"lowest": 1.0}, "lowest must lie below"),
    ],
)
def test_a_judge_that_cannot_work_is_refused_before_it_is_asked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_reward("endpoint", Endpoint(**({"base_url": "http://x/v1", "model": "m"} | params)))
    assert SECRET not in str(caught.value)


def test_scores_are_kept_in_memory_and_on_disk(serve: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "deep" / "scores.jsonl"
    server = serve(lambda question, times: f"0.{len(question)}")
    given = {"base_url": server.url, "model": "m", "cache": str(file)}
    answers = [Answer("p", "r", text) for text in ("x", "yy")]
    reward = build_reward("endpoint", Endpoint(**given))
    scores = reward(answers)
    assert reward(answers) == scores
    assert len(server.asked) == 2
    assert len(file.read_text().splitlines()) == 2
    assert build_reward("endpoint", Endpoint(**given))(answers) == scores
    assert len(server.asked) == 2
    # A line that a kill cut short is asked for again, and the file stays whole.
    file.write_text(file.read_text()[:-10])
    assert build_reward("endpoint", Endpoint(**given))(answers) == scores
    assert len(server.asked) == 3
    assert build_reward("endpoint", Endpoint(**given))(answers) == scores
    assert build_reward("endpoint", Endpoint(**given | {"model": "n"}))(answers) == scores
    assert len(server.asked) == 5
    with pytest.raises(UserError, match=r"endpoint.cache: .* can't be used"):
        build_reward("endpoint", Endpoint(**given | {"cache": str(tmp_path)}))(answers)
