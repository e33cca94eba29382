"""The prompting harness: what a model makes of tasks after none or some examples.

The measures are those of lm-evaluation-harness (Gao et al. 2024). Importing this imports no Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom_language.prompting.cipher import cipher_task
    from genloom_language.prompting.harness import prompt
    from genloom_language.prompting.reading import load_task
    from genloom_language.prompting.scoring import Scores, score
    from genloom_language.prompting.task import Item, Task

__all__ = ["Item", "Scores", "Task", "cipher_task", "load_task", "prompt", "score"]

_MODULES = {
    "Item": "task",
    "Scores": "scoring",
    "Task": "task",
    "cipher_task": "cipher",
    "load_task": "reading",
    "prompt": "harness",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
