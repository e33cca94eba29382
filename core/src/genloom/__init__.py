"""GenLoom's public API, lazy (PEP 562): importing it imports no Keras, no backend, not even NumPy.

It fixes the engine that Keras will use, see `genloom.engine`; the first public name that needs Keras says which.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genloom import engine

if TYPE_CHECKING:
    from genloom import (
        backend,
        data,
        errors,
        layers,
        metrics,
        modalities,
        objectives,
        options,
        postprocess,
        random,
        report,
        runs,
        testing,
        training,
    )
    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec
    from genloom.evaluation.compare import compare
    from genloom.evaluation.evaluate import evaluate
    from genloom.hookspecs import hookimpl
    from genloom.model import GenerativeModel, Phase, Preparation, initializers, optimizers
    from genloom.opening.create import create
    from genloom.opening.load import load
    from genloom.options import option
    from genloom.plugins.offers import Component, MetricTraits, Preset
    from genloom.runs import Run
    from genloom.sampling.sample import sample
    from genloom.training.trainer import train

    __version__: str

__all__ = [
    "Component",
    "DataSpec",
    "GenerativeModel",
    "MetricTraits",
    "Phase",
    "Preparation",
    "Preset",
    "Run",
    "Samples",
    "__version__",
    "backend",
    "compare",
    "create",
    "data",
    "errors",
    "evaluate",
    "hookimpl",
    "initializers",
    "layers",
    "load",
    "metrics",
    "modalities",
    "objectives",
    "optimizers",
    "option",
    "options",
    "postprocess",
    "random",
    "report",
    "runs",
    "sample",
    "testing",
    "train",
    "training",
]

_ATTRIBUTES = {
    "Component": "genloom.plugins.offers",
    "DataSpec": "genloom.data.spec",
    "GenerativeModel": "genloom.model",
    "MetricTraits": "genloom.plugins.offers",
    "Phase": "genloom.model",
    "Preparation": "genloom.model",
    "Preset": "genloom.plugins.offers",
    "Run": "genloom.runs",
    "Samples": "genloom.data.samples",
    "compare": "genloom.evaluation.compare",
    "create": "genloom.opening.create",
    "evaluate": "genloom.evaluation.evaluate",
    "hookimpl": "genloom.hookspecs",
    "load": "genloom.opening.load",
    "option": "genloom.options",
    "sample": "genloom.sampling.sample",
    "train": "genloom.training.trainer",
}

#: Public modules that lie in a room of the house.
_MODULES = {"initializers": "genloom.model.initializers", "optimizers": "genloom.model.optimizers"}

#: Public names that work without an engine.
_LIGHT = {
    "Component",
    "DataSpec",
    "MetricTraits",
    "Preset",
    "Run",
    "Samples",
    "__version__",
    "compare",
    "data",
    "errors",
    "hookimpl",
    "metrics",
    "modalities",
    "option",
    "options",
    "postprocess",
    "report",
    "runs",
}

engine.prepare()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, and Keras on the chosen engine before one that needs it."""
    if name in __all__ and name not in _LIGHT:
        engine.choose()
    if name == "__version__":
        from genloom.version import version

        value: Any = version()
    elif name in _ATTRIBUTES:
        value = getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    elif name in __all__:
        value = importlib.import_module(_MODULES.get(name, f"genloom.{name}"))
    else:
        raise AttributeError(f"module 'genloom' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
