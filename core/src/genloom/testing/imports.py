"""What the import of a hooks module drags in."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["heavy_imports"]

_PROBE = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
module.genloom_components()
print(*(name for name in ("keras", "jax", "tensorflow", "torch") if name in sys.modules))
"""


def heavy_imports(module: str) -> list[str]:
    """Import a hooks module in a fresh process, ask it for its components, and return which engines that imported.

    Raises:
        RuntimeError: the import failed; carries its last lines.
    """
    done = subprocess.run([sys.executable, "-c", _PROBE, module], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return done.stdout.split()
