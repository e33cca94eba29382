"""Plugins: what they offer (component), how they are found and isolated (discovery), how they are called (hooks).

Nothing here imports Keras or a backend; a component's target is imported only when it is used.
"""

from __future__ import annotations

__all__: list[str] = []
