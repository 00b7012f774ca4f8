import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from dataflex.watching.commands import keep_watching
from dataflex.watching.duration import duration
from dataflex.watching.overview import Overview, look
from dataflex.watching.show import compact, render, short_names, summary

from .conftest import SUFFIX, Rung

LONG = "static_of_every_domain_but_the_one_that_nobody_wants_to_have_in_it"


def lines(view: Overview, width: int, *, brief: bool = False) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(render(view, width, brief=brief), crop=False)
    return stream.getvalue().splitlines()


def test_duration() -> None:
    assert [duration(s) for s in (4.4, 75, 3700)] == ["4 s", "1 min 15 s", "1 h 01 min"]


def test_short_numbers() -> None:
    numbers = (None, 0.2, 985.4, 8712.0, 123_456.0, 2.5e6, 3e11)
    assert [compact(number) for number in numbers] == ["-", "0", "985", "8.7k", "123k", "2.5M", "300G"]


@pytest.mark.parametrize(
    ("names", "short", "shared"),
    [
        (["a.m.s.seed1", "b.m.s.seed1"], ["a", "b"], "m.s.seed1"),
        (["a.m.s.seed1", "a.m.s.seed2"], ["a.seed1", "a.seed2"], "m.s"),
        (
            ["a.Llama-3.2-3B.s.seed1", "a.Mistral-7B-v0.1.s.seed1"],
            ["a.Llama-3.2-3B", "a.Mistral-7B-v0.1"],
            "s.seed1",
        ),
        (
            ["a.Qwen2.5-1.5B.s.seed1", "b.Qwen2.5-0.5B.s.seed1"],
            ["a.Qwen2.5-1.5B", "b.Qwen2.5-0.5B"],
            "s.seed1",
        ),
        (["a.m.s.seed1"], ["a"], "m.s.seed1"),
        (["odd", "a.m.s.seed1"], ["odd", "a.m.s.seed1"], ""),
        ([], [], ""),
    ],
)
def test_names_say_what_differs(names: list[str], short: list[str], shared: str) -> None:
    assert short_names(names) == (short, shared)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("brief", [False, True])
def test_nothing_but_paths_is_wider_than_the_terminal(busy: Rung, width: int, brief: bool) -> None:
    (busy.root / "grid.json").unlink()
    busy.done(LONG)
    start = {"event": "start", "time": 500, "host": "node1"}
    busy.events(LONG + "_again", start, start | {"time": 400})
    shown = lines(look(busy.root), width, brief=brief)
    assert all(len(line) <= width for line in shown if "log: " not in line)
    assert f"    log: {busy.root}/logs/train/mixture/uniform{SUFFIX}.log" in shown
    # Names are never cut, nor are numbers.
    assert f"  {LONG}_again" in shown
    assert (f"  {LONG}" in shown) is not brief
    (uniform,) = (line for line in shown if line.startswith("  uniform"))
    assert re.search(r" training +200/500 +5\.250 +8\.7k +\d min \d\d s +1$", uniform)


def test_a_narrow_terminal_does_without_some_columns(busy: Rung) -> None:
    shown = lines(look(busy.root), 50)
    assert all(len(line) <= 50 for line in shown if "log: " not in line)
    heading = next(line for line in shown if line.lstrip().startswith("state"))
    assert heading.split() == ["state", "step", "left"]


def test_columns_that_say_nothing_are_left_out(rung: Rung) -> None:
    assert "state" in [line.strip() for line in lines(look(rung.root), 80)]
    rung.done("natural")
    assert not any("tokens/s" in line for line in lines(look(rung.root), 80))


def test_only_what_something_happens_to(busy: Rung) -> None:
    text = "\n".join(lines(look(busy.root), 100, brief=True))
    assert "mixture (tiny.harvest.seed1): 1 waiting, 1 training, 1 failed, 1 evaluated" in text
    assert [name for name in ("natural", "uniform", "proxy", "doremi") if f"  {name} " in text] == [
        "uniform",
        "proxy",
    ]


def test_trouble_is_told(busy: Rung) -> None:
    text = "\n".join(lines(look(busy.root), 120))
    assert "exit status 1 on node1: error: [Errno 28] No space left on device" in text
    assert "goes on from step 100" in text
    assert "last restart: time limit" in text
    assert "1 of 4 trained, 1 of 3 evaluated, 1 running, 1 failed, 1 restart" in summary(look(busy.root))


def test_markup_in_what_files_say_is_text(busy: Rung) -> None:
    busy.log("proxy", "error: [bold]x[/nonsense] [link=a]\n")
    assert "error: [bold]x[/nonsense] [link=a]" in "\n".join(lines(look(busy.root), 120))


def test_links_where_the_terminal_knows_them(busy: Rung) -> None:
    stream = io.StringIO()
    Console(file=stream, width=200, force_terminal=True, color_system="standard").print(
        render(look(busy.root), 200)
    )
    log = (busy.root / f"logs/train/mixture/uniform{SUFFIX}.log").resolve().as_uri()
    assert re.search(r"\x1b]8;[^;]*;" + re.escape(log) + r"\x1b\\", stream.getvalue())
    run = (busy.root / f"train/mixture/uniform{SUFFIX}").resolve().as_uri()
    assert re.search(r"\x1b]8;[^;]*;" + re.escape(run) + r"\x1b\\uniform\x1b]8;;", stream.getvalue())


def finishing(rung: Rung) -> Callable[[], None]:
    """A pause in which the next cell gets done."""
    steps = iter(["natural", "uniform", "proxy", "doremi"])

    def pause() -> None:
        method = next(steps)
        rung.done(method)
        if method != "proxy":
            rung.results(method)

    return pause


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_ends_with_the_grid(rung: Rung, terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, height=40, force_terminal=terminal)
    keep_watching(lambda: look(rung.root), console, finishing(rung))
    last = stream.getvalue().rpartition("4 of 4 trained")[0]
    assert "4 of 4 trained, 3 of 3 evaluated" in stream.getvalue()
    assert "3 of 4 trained" in last
    if not terminal:
        assert [line[:6] for line in stream.getvalue().splitlines()] == [f"{n} of 4" for n in range(5)]


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_ends_watching_quietly(rung: Rung, terminal: bool) -> None:
    def pause() -> None:
        raise KeyboardInterrupt

    stream = io.StringIO()
    keep_watching(lambda: look(rung.root), Console(file=stream, width=80, force_terminal=terminal), pause)
    assert "0 of 4 trained" in stream.getvalue()


def test_a_low_terminal_shows_what_moves(busy: Rung) -> None:
    (busy.root / "grid.json").unlink()
    for number in range(50):
        busy.done(f"more{number}")

    def pause() -> None:
        raise KeyboardInterrupt

    for height, listed in ((100, True), (20, False)):
        stream = io.StringIO()
        console = Console(file=stream, width=80, height=height, force_terminal=True)
        keep_watching(lambda: look(busy.root), console, pause)
        assert (
            "  more7 " in re.sub(r"\x1b\[[0-9;]*m|\x1b]8;[^\x1b]*\x1b\\", "", stream.getvalue())
        ) is listed


def test_looking_writes_nothing(busy: Rung) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = sorted(busy.root.rglob("*"))
        return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in files}

    before = state()
    lines(look(busy.root), 80)
    assert state() == before
