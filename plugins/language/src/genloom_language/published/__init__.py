"""Published weights: `adopt` makes a run of a folder in the format of GPT-2 or Llama, `publish` a folder of a run.

The two are imported when they are first used, for they need Keras, and the commands beside them do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom_language.published.adopting import adopt
    from genloom_language.published.publishing import publish

__all__ = ["adopt", "publish"]

_HOMES = {"adopt": "adopting", "publish": "publishing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
