"""The targets of the Makefile call commands that there are, with the options that these need."""

import re
import shlex
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
import typer

from dataflex.cli import app

ROOT = Path(__file__).resolve().parents[1]
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def called(target: str, folder: Path) -> list[list[str]]:
    """Words behind dataflex-cli in what the target would run where nothing has been made yet."""
    shown = subprocess.run(
        ["make", "--dry-run", f"--file={ROOT / 'Makefile'}", f"--include-dir={ROOT}", target],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: list[list[str]] = []
    for line in shown.replace("\\\n", " ").splitlines():
        if "/dataflex-cli " in line:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            for between, words in groupby(lexer, key=lambda word: set(word) <= set(";&|()")):
                command = [] if between else list(words)
                found += [
                    command[at + 1 :] for at, word in enumerate(command) if word.endswith("/dataflex-cli")
                ]
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_calls_commands_as_they_are(target: str, tmp_path: Path) -> None:
    for name in ("constraints.txt", "pyproject.toml", "workflow/plugins/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for words in called(target, tmp_path):
        command = typer.main.get_command(app)
        context = command.make_context("dataflex-cli", list(words), resilient_parsing=True)
        while hasattr(command, "resolve_command"):
            _, command, words = command.resolve_command(context, words)
            context = command.make_context(command.name, list(words), context, resilient_parsing=True)
        try:
            command.make_context(command.name, list(words))
        except Exception as error:
            # Typer brings classes of its own. A file that an earlier line makes may be absent, an option not.
            if type(error).__name__ != "BadParameter":
                raise


FAKE = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  *fast_jl*) exit {status} ;;
esac
"""


@pytest.mark.parametrize(("nvcc", "status"), [(False, 0), (True, 0), (True, 1)])
def test_upstreams_environment_gets_the_fast_projector_where_it_can_be_built(
    tmp_path: Path, nvcc: bool, status: int
) -> None:
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    (tools / "python").write_text(FAKE.format(log=log, status=status))
    (tools / "python").chmod(0o755)
    path = "/usr/bin:/bin"
    if nvcc:
        (tools / "nvcc").symlink_to("/bin/true")
        path = f"{tools}:{path}"
    words = [f"UPSTREAM={tmp_path / 'upstream'}", f"PYTHON={tools / 'python'}"]
    done = subprocess.run(
        ["make", f"--file={ROOT / 'Makefile'}", f"--include-dir={ROOT}", "efficiency-upstream", *words],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "upstream/installed").is_file()
    assert ("fast_jl" in log.read_text()) == nvcc
    assert ("fast_jl was not built" in done.stderr) == bool(status)


def test_the_commands_are_found(tmp_path: Path) -> None:
    for name in ("constraints.txt", "pyproject.toml", "workflow/plugins/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert ["corpus", "harvest"] in [words[:2] for words in called("laptop-smoke", tmp_path)]
