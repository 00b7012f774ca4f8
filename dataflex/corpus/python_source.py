"""Three kinds of text in one Python file: the code, the prose of its docstrings, its example sessions."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = re.compile(r"\n[ \t]*\n")
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parse_module(source: str) -> ast.Module | None:
    """The syntax tree, or None if this Python cannot read the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return None


def _documented(tree: ast.Module) -> Iterator[tuple[str, Definition, ast.Expr]]:
    """(qualified name, definition, docstring node) of everything with a docstring, outermost first."""
    waiting: deque[tuple[str, Definition]] = deque([("", tree)])
    while waiting:
        name, node = waiting.popleft()
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            yield name, node, first
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.append((f"{name}.{child.name}".lstrip("."), child))


def code_without_docstrings(source: str) -> str:
    """Python source without docstrings and without the comment (licence) at its top; "" if unreadable."""
    tree = parse_module(source)
    if tree is None:
        return ""
    lines = source.splitlines()
    for _, owner, node in _documented(tree):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if lines[first][: node.col_offset].strip():
            continue
        indent = lines[first][: node.col_offset]
        only = len(owner.body) == 1 and not isinstance(owner, ast.Module)
        lines[first : last + 1] = [indent + "..." if only else "\x00"] + ["\x00"] * (last - first)
    kept = [line.rstrip() for line in lines if line != "\x00"]
    start = 0
    while start < len(kept) and (not kept[start] or kept[start].startswith("#")):
        start += 1
    return "\n".join(kept[start:])


@dataclass(frozen=True, slots=True)
class Docstring:
    """The documentation of one definition.

    Attributes:
        name: qualified name in its module, "" for the module itself.
        arguments: names of a function's positional arguments without `self` and `cls`.
        text: the docstring without its indentation.
        code: the source of a function at the top level of its module, docstring included; else "".
    """

    name: str
    arguments: tuple[str, ...]
    text: str
    code: str

    @property
    def prose(self) -> str:
        """The text without its example sessions."""
        return "\n\n".join(
            part for part in _BLANK.split(self.text) if not part.lstrip().startswith(">>>")
        ).strip()

    @property
    def sessions(self) -> list[str]:
        """Its example sessions: the paragraphs that begin at a `>>>` prompt, without indentation."""
        return [inspect.cleandoc(part) for part in _BLANK.split(self.text) if part.lstrip().startswith(">>>")]

    @property
    def summary(self) -> str:
        """Its first paragraph on one line."""
        return " ".join(_BLANK.split(self.text)[0].split())


def docstrings(source: str) -> list[Docstring]:
    """All docstrings of a file, outermost definitions first; [] if it is unreadable."""
    tree = parse_module(source)
    if tree is None:
        return []
    found = []
    lines = source.splitlines()
    top = {id(node) for node in tree.body}
    for name, owner, node in _documented(tree):
        arguments: tuple[str, ...] = ()
        code = ""
        if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = tuple(
                argument.arg for argument in owner.args.args if argument.arg not in ("self", "cls")
            )
            if id(owner) in top:
                code = "\n".join(lines[owner.lineno - 1 : owner.end_lineno])
        assert isinstance(node.value, ast.Constant)
        found.append(Docstring(name, arguments, inspect.cleandoc(str(node.value.value)), code))
    return found
