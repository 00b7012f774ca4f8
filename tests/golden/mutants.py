"""Mutants of a module: any one of its expressions, some times larger, in functions that are already imported.

Every expression that can hold a part of a formula is wrapped in a call that hands its value on, and changes the
value of one of them. Functions keep their identity, only their code is exchanged: classes, registries and
other modules' imports see the mutant.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any, Literal

import numpy as np
import torch

from dataflex.golden.tracing import functions_of

ONE_PER_CENT = 1.01
HOOK = "_mutant_of_expression_"
Kind = Literal["number", "count", "stream"]
"""number: of floating point; count: a whole one; stream: the name of a stream of random numbers."""
Role = Literal["arithmetic", "call", "stream"]
KINDS: dict[Role, tuple[Kind, ...]] = {
    "arithmetic": ("number", "count"),
    "call": ("number",),
    "stream": ("stream",),
}
"""What an expression may hold to count as part of a formula."""


@dataclass(frozen=True, order=True)
class Point:
    """An expression of a module's functions."""

    module: str
    line: int
    column: int
    source: str
    role: Role

    def __str__(self) -> str:
        return f"{self.module}:{self.line}:{self.column} {self.source}"


@dataclass
class Mutation:
    """Which expression is changed in this process, and which were evaluated."""

    active: Point | None = None
    growth: float = ONE_PER_CENT
    reached: dict[Point, Kind] = field(default_factory=dict)

    def __call__(self, point: Point, value: Any) -> Any:
        kind = _kind(value)
        if kind not in KINDS[point.role]:
            return value
        assert kind is not None
        self.reached.setdefault(point, kind)
        return _grown(value, kind, self.growth) if point == self.active else value

    def install(self, modules: list[ModuleType]) -> None:
        """Exchange the code of the functions of some modules."""
        for module in modules:
            points, tree = _Wrapper.wrap(module)
            names = {f"{HOOK}{number}": point for number, point in enumerate(points)}
            for name, point in names.items():
                vars(module)[name] = lambda value, point=point: self(point, value)
            compiled = compile(tree, module.__file__ or module.__name__, "exec")
            codes = {(code.co_qualname, code.co_firstlineno): code for code in _nested(compiled)}
            for _, function in functions_of(module):
                key = (function.__code__.co_qualname, function.__code__.co_firstlineno)
                if key in codes:
                    function.__code__ = codes[key]


def _kind(value: Any) -> Kind | None:
    if isinstance(value, str):
        return "stream"
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return "count"
    if isinstance(value, float | np.floating):
        return "number"
    if isinstance(value, np.ndarray):
        return "number" if value.dtype.kind == "f" else None
    return "number" if isinstance(value, torch.Tensor) and value.is_floating_point() else None


def _grown(value: Any, kind: Kind, growth: float) -> Any:
    if kind == "stream":
        return value + "'"
    if kind == "count":
        return value + max(1, round((growth - 1) * abs(int(value))))
    # In the value's own precision.
    return (value * growth).astype(value.dtype) if isinstance(value, np.ndarray) else value * growth


def _nested(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested(constant)


class _Wrapper(ast.NodeTransformer):
    """Wraps sums, products, negations, numbers, results of calls, and what is returned or added to something."""

    def __init__(self, module: ModuleType) -> None:
        self._name = module.__name__
        self._source = inspect.getsource(module)
        self.points: list[Point] = []

    @classmethod
    def wrap(cls, module: ModuleType) -> tuple[list[Point], ast.Module]:
        wrapper = cls(module)
        tree = ast.parse(wrapper._source)
        for node in ast.walk(tree):
            # Functions within functions are reached from the outer one.
            if isinstance(node, ast.Module | ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef):
                        part.body = [wrapper.visit(statement) for statement in part.body]
        return wrapper.points, ast.fix_missing_locations(tree)

    def _wrapped(self, node: Any, role: Role = "arithmetic") -> ast.expr:
        text = " ".join((ast.get_source_segment(self._source, node) or "").split())
        self.points.append(Point(self._name, node.lineno, node.col_offset, text[:60], role))
        hook = ast.Name(f"{HOOK}{len(self.points) - 1}", ast.Load())
        return ast.copy_location(ast.Call(hook, [node], []), node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        if not isinstance(
            node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow | ast.MatMult | ast.FloorDiv
        ):
            return self.generic_visit(node)
        return self._wrapped(self.generic_visit(node))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        inner = self.generic_visit(node)
        return self._wrapped(inner) if isinstance(node.op, ast.USub) else inner

    def visit_Constant(self, node: ast.Constant) -> Any:
        return self._wrapped(node) if isinstance(node.value, float) else node

    def visit_Call(self, node: ast.Call) -> Any:
        draws = isinstance(node.func, ast.Attribute) and node.func.attr == "rng"
        self.generic_visit(node)
        if draws and node.args and isinstance(node.args[0], ast.Constant):
            node.args[0] = self._wrapped(node.args[0], "stream")
        return self._wrapped(node, "call")

    def visit_Return(self, node: ast.Return) -> Any:
        whole = isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript)
        self.generic_visit(node)
        if whole and node.value is not None:
            node.value = self._wrapped(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        node.value = self.visit(node.value)
        if isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript):
            node.value = self._wrapped(node.value)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> Any:
        return node

    def visit_Raise(self, node: ast.Raise) -> Any:
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node
