"""The command line: thin click commands over the public API.

At module level nothing here imports Keras, a backend or NumPy; a command's own module is imported when it runs.
"""

from __future__ import annotations

__all__: list[str] = []
