"""The promise of every plugin: listing what it offers imports no engine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import ClassVar

import pytest

__all__ = ["LightImport", "heavy_imports", "is_here"]

_PROBE = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
getattr(module, "genloom_components", list)()
print(*(name for name in ("keras", "jax", "tensorflow", "torch") if name in sys.modules))
"""


def heavy_imports(module: str) -> list[str]:
    """Import a hooks module in a fresh process, ask it for its components, and return which engines that imported.

    Raises:
        RuntimeError: the import failed; carries its last lines.
    """
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # as here
    done = subprocess.run([sys.executable, "-c", _PROBE, module], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return done.stdout.split()


def is_here(module: str) -> bool:
    """Say whether a module could be imported, without doing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in is not here
        return False


class LightImport:
    """What every kit inherits."""

    hooks: ClassVar[str] = ""
    """The module that the entry point names; empty skips the test of its import."""

    def test_hooks_import_no_engine(self) -> None:
        """Listing a plugin's components must not import Keras."""
        if not self.hooks:
            pytest.skip("hooks is not set")
        if not is_here(self.hooks):
            pytest.skip(f"{self.hooks} cannot be imported: see test_the_component_is_found")
        try:
            heavy = heavy_imports(self.hooks)
        except RuntimeError as error:
            last = str(error).strip().rpartition("\n")[2]
            raise AssertionError(f"Promise broken: {self.hooks} cannot be imported: {last}.") from error
        assert not heavy, f"Promise broken: listing the components of {self.hooks} imports {', '.join(heavy)}."
