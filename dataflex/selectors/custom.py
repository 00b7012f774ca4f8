"""A selector of your own, in any module that Python can import."""

from __future__ import annotations

from typing import Any

from dataflex.engine.component import Context, IntArray, Selector
from dataflex.engine.custom import CustomComponent


class CustomSelector(CustomComponent, Selector):
    """Select with a function ``f(context, n, **params) -> ids`` or a Selector class of your own."""

    example = {"path": "dataflex.selectors.random:RandomSelector", "params": {"replacement": False}}
    contract = Selector
    arguments = ("context", "n")

    def repeats_rows(self) -> bool:
        """As the class says; a function does not."""
        return bool(self._own.repeats_rows()) if self._own else False

    def select(self, context: Context, n: int) -> IntArray:
        """Return what the function or class returns; the engine checks shape, type and range of the ids."""
        if self._own:
            return self._own.select(context, n)
        ids: Any = self._function(context, n, **self.params)
        return ids
