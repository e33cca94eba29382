"""What every kit begins with: the component under test, of an installed plugin or of a module that is here."""

from __future__ import annotations

from typing import ClassVar

import pytest

from genloom.errors import GenLoomError
from genloom.plugins.discovery import load_module
from genloom.plugins.offers import Component
from genloom.plugins.registry import find
from genloom.testing.imports import LightImport, is_here

__all__ = ["Offered"]


class Offered(LightImport):
    """A component by its id; where it is not to be found one test fails, and those that need it are skipped."""

    kind: ClassVar[str]
    """Of component."""
    id: ClassVar[str] = ""
    """The component's id, as `genloom list` shows it."""

    def component(self) -> Component:
        """Return the component under test."""
        component, why = self._looked_up()
        if component is None:
            pytest.skip(f"see test_the_component_is_found: {why}")
        return component

    def test_the_component_is_found(self) -> None:
        """An installed plugin offers it, or the module that `hooks` names does."""
        if not self.id:
            pytest.skip("id is not set")
        component, why = self._looked_up()
        assert component is not None, f"Promise broken: {why} Install the package that is tested: pip install -e ."

    def _looked_up(self) -> tuple[Component | None, str]:
        """Return the component, of `hooks` where no installed plugin has it; or None and why there is none."""
        if self.hooks and not is_here(self.hooks):
            return None, f"The module {self.hooks!r} cannot be imported."
        try:
            if self.hooks:
                load_module(self.hooks)
            return find(self.kind, self.id), ""
        except GenLoomError as error:
            return None, f"{str(error).rstrip('.')}."
