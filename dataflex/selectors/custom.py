"""A selector of your own, in any module that Python can import."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from pydantic import PrivateAttr, ValidationError, model_validator

from dataflex.engine.component import Context, Facts, IntArray, Need, Selector


class CustomSelector(Selector):
    """Select with a function ``f(context, n, **params) -> ids`` or a Selector class of your own."""

    example = {"path": "dataflex.selectors.random:RandomSelector", "params": {"replacement": False}}

    path: str = "package.module:name"
    """The function or class. Its module is imported: name only code that you trust."""
    params: dict[str, Any] = {}
    """Keyword arguments of the function, or fields of the class."""
    signals: list[Need] = []
    """What a function asks of `context.signals`, for example [per_sample_loss]; a class says so itself."""

    _selector: Selector | None = PrivateAttr(None)
    _function: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _find(self) -> CustomSelector:
        if not self.model_fields_set & {"path"}:
            raise ValueError("path is missing: name a function or a Selector class, package.module:name")
        found = self._import()
        if inspect.isclass(found) and issubclass(found, Selector):
            try:
                self._selector = found(**self.params)
            except ValidationError as error:
                finding = error.errors()[0]
                key = ".".join(str(part) for part in finding["loc"])
                raise ValueError(f"params.{key} of {self.path}: {finding['msg']}") from None
            if self.seed is None:
                self.seed = self._selector.seed
        elif inspect.isclass(found) or not callable(found):
            raise ValueError(f"path: {self.path} is neither a function nor a Selector class")
        else:
            try:
                inspect.signature(found).bind(None, 1, **self.params)
            except TypeError as error:
                raise ValueError(f"{self.path} must take (context, n) and params: {error}") from None
            self._function = found
        return self

    def _import(self) -> Any:
        module, colon, name = self.path.partition(":")
        if not (module and colon and name):
            raise ValueError(f"path must be package.module:name, not {self.path!r}")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"path {self.path} can't be imported: {error}") from None

    def requirements(self) -> frozenset[Need]:
        """Return what the class says of itself, or ``signals``."""
        return self._selector.requirements() if self._selector else frozenset(self.signals)

    def repeats_rows(self) -> bool:
        """As the class says; a function does not."""
        return self._selector.repeats_rows() if self._selector else False

    def check(self, facts: Facts) -> None:
        """Let the class check the run."""
        if self._selector:
            self._selector.check(facts)

    def select(self, context: Context, n: int) -> IntArray:
        """Return what the function or class returns; the engine checks shape, type and range of the ids."""
        if self._selector:
            return self._selector.select(context, n)
        return self._function(context, n, **self.params)

    def state_dict(self) -> dict[str, Any]:
        """Return the class's state."""
        return self._selector.state_dict() if self._selector else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the class's state."""
        if self._selector:
            self._selector.load_state_dict(state)
