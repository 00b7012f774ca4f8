"""The layers of the package, read from its imports: dependencies point one way, the host is never patched."""

import ast
from pathlib import Path

import pytest

import dataflex

ROOT = Path(dataflex.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
HOSTS = ("llamafactory", "transformers", "accelerate", "deepspeed", "peft")
# A folder may import these folders and modules of the package, and nothing else of it.
ALLOWED = {
    "engine": {"engine", "signals", "arrays", "collectives", "errors"},
    "signals": {"signals", "arrays", "collectives", "errors"},
    "selectors": {"selectors", "engine", "signals", "arrays", "errors"},
    "mixers": {"engine", "signals", "arrays", "errors"},
    "weighters": {"engine", "signals", "arrays", "errors"},
    "corpus": {"corpus", "arrays", "errors"},
    "evaluation": {"evaluation", "corpus", "errors"},
    "evidence": {"evidence", "engine", "grid", "errors"},
    "citing": {"citing", "evidence", "registry", "errors"},
    "grid": {"grid", "errors"},
    "report": {"report", "evidence", "grid", "errors"},
    "watching": {"watching", "grid", "evidence", "engine", "errors"},
    "assets": {"assets", "grid", "corpus", "errors"},
    "preflight": {
        "preflight",
        "planning",
        "assets",
        "grid",
        "corpus",
        "evaluation",
        "evidence",
        "host",
        "errors",
    },
    "golden": {"golden", "host", "engine", "evidence", "registry", "errors"},
    "planning": {"planning", "grid", "config", "registry", "engine", "corpus", "evidence", "errors"},
    "host": {
        "host",
        "selectors",
        "engine",
        "evidence",
        "signals",
        "corpus",
        "arrays",
        "collectives",
        "config",
        "registry",
        "errors",
    },
}


def imported(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports(path: Path) -> None:
    names = imported(ast.parse(path.read_text()))
    room = path.relative_to(ROOT).parts[0]
    # What the methods of a folder share lies beside them, in modules with an underscore.
    shared = f"dataflex.{room}._"
    own = {
        name.split(".")[1] for name in names if name.startswith("dataflex.") and not name.startswith(shared)
    }
    if room in ALLOWED:
        assert own <= ALLOWED[room]
    assert "cli" not in own
    foreign = {name.split(".")[0] for name in names}
    if room not in ("host", "cli.py"):
        assert "llamafactory" not in foreign
    if room in ("selectors", "mixers", "weighters"):
        assert not foreign & set(HOSTS)
        assert "dataflex.engine.trainer" not in names


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_nothing_is_assigned_into_the_host(path: Path) -> None:
    tree = ast.parse(path.read_text())
    foreign = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                source = module or alias.name
                if source.split(".")[0] in HOSTS:
                    foreign.add((alias.asname or alias.name).split(".")[0])
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            base = target
            while isinstance(base, ast.Attribute):
                base = base.value
            assert not (
                isinstance(target, ast.Attribute) and isinstance(base, ast.Name) and base.id in foreign
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            assert not (isinstance(node.args[0], ast.Name) and node.args[0].id in foreign)
