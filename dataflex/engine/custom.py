"""A component of the user's own, in any module that Python can import: what its kinds have in common."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from dataflex.engine.base import Component, Need
from dataflex.engine.facts import Facts


class CustomComponent(Component):
    """Base of the custom components: find a function or a class by its dotted path and stand in for it."""

    contract: ClassVar[Any]
    """The kind of component that a class must derive from."""
    arguments: ClassVar[tuple[str, str]]
    """What a function takes before ``params``."""

    path: str = "package.module:name"
    """The function or class. Its module is imported: name only code that you trust."""
    params: dict[str, Any] = {}
    """Keyword arguments of the function, or fields of the class."""
    signals: list[Need] = []
    """What a function asks of the run, for example [per_sample_loss]; a class says so itself."""

    _own: Any = PrivateAttr(None)
    """The component, where the path names a class."""
    _function: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _find(self) -> Self:
        contract = self.contract.__name__
        if not self.model_fields_set & {"path"}:
            raise ValueError(f"path is missing: name a function or a {contract} class, package.module:name")
        found = self._import()
        if inspect.isclass(found) and issubclass(found, self.contract):
            self._own = self._build(found)
            # What every component of the kind has is the class's own, unless it is given here.
            for shared in set(self.contract.model_fields) - self.model_fields_set:
                setattr(self, shared, getattr(self._own, shared))
        elif inspect.isclass(found) or not callable(found):
            raise ValueError(f"path: {self.path} is neither a function nor a {contract} class")
        else:
            try:
                inspect.signature(found).bind(*self.arguments, **self.params)
            except TypeError as error:
                takes = ", ".join(self.arguments)
                raise ValueError(f"{self.path} must take ({takes}) and params: {error}") from None
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

    def _build(self, cls: Any) -> Any:
        try:
            return cls(**self.params)
        except ValidationError as error:
            finding = error.errors()[0]
            key = ".".join(str(part) for part in finding["loc"])
            raise ValueError(f"params.{key} of {self.path}: {finding['msg']}") from None

    def requirements(self) -> frozenset[Need]:
        """Return what the class says of itself, or ``signals``."""
        needs: frozenset[Need] = self._own.requirements() if self._own else frozenset(self.signals)
        return needs | self.needs

    def check(self, facts: Facts) -> None:
        """Let the class check the run."""
        if self._own:
            self._own.check(facts)

    def state_dict(self) -> dict[str, Any]:
        """Return the class's state."""
        return dict(self._own.state_dict()) if self._own else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the class's state."""
        if self._own:
            self._own.load_state_dict(state)
