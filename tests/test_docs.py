"""What the documents show is what works."""

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dataflex.cli import app
from dataflex.config import DataFlexConfig, split
from dataflex.engine.component import Context, Facts, Selector
from dataflex.host.doremi import Job

ROOT = Path(__file__).resolve().parent.parent


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_the_example_of_a_method_is_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file shown in CONTRIBUTING is a component as it stands, within the forty lines it promises."""
    (source,) = blocks("CONTRIBUTING.md", "python")
    module = types.ModuleType("dataflex.selectors.hardest")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "hardest.py", "exec"), module.__dict__)
    (component,) = (
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Selector) and value.__module__ == module.__name__
    )
    ones = np.ones(1, int)
    facts = Facts(("a",), 10 * ones, ones, np.ones(1), seed=1, batch_rows=2, total_steps=5)

    class Given:
        def losses(self) -> np.ndarray:
            return np.array([3, 1, 9, np.nan, 5, 0, 2, 8, 4, 6.0])

    ids = component(skip=0.1).select(Context(facts, 2, 0, Given()), 3)
    assert ids.tolist() == [7, 9, 4]
    assert len(source.splitlines()) <= 40


OURS = set(DataFlexConfig.model_fields)
FIRST, *LATER = (yaml.safe_load(text) for text in blocks("docs/training.md", "yaml"))


def following(config: dict[str, Any]) -> dict[str, Any]:
    """What a block means that stands below the first one: it takes the place of the first one's own keys."""
    whole = "model_name_or_path" in config
    return config if whole else {key: value for key, value in FIRST.items() if key not in OURS} | config


@pytest.mark.parametrize(
    "config", [*map(yaml.safe_load, blocks("README.md", "yaml")), FIRST, *map(following, LATER)]
)
def test_the_examples_of_configurations_are_valid(config: dict[str, Any]) -> None:
    if "doremi" in config:
        job = Job(config)
        parts = [split(job.config(part))[0].decision_list() for part in ("reference", "proxy", "main")]
        assert [decision.component_name for (decision,) in parts] == ["static", "doremi", "static"]
        return
    own, host = split(config)
    assert own.decision_list()
    assert not set(host) & OURS
    assert "model_name_or_path" in host


def test_the_list_of_commands_names_every_one() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    names = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    names |= {group.name for group in app.registered_groups if group.name}
    assert {name for name in names if f"dataflex-cli {name}" not in text} <= {"version"}


LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(file: Path) -> set[str]:
    """What GitHub makes of a document's headings."""
    text = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for path, anchor in LINK.findall(file.read_text()):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_document_is_named_in_the_readme() -> None:
    named = {path for path, _ in LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")} <= named
