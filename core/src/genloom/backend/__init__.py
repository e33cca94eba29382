"""The only door to a backend: six primitives and the training step, one module for each engine.

`value_and_grad`, `grad`, `jvp`, `compiled`, `loop` and `remat` are what a model may need beyond `keras.ops`. The
backend is the one that `genloom.engine` chose; this is the only place that branches on it.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from genloom.engine import choose

__all__ = [
    "StepMixin",
    "building",
    "compiled",
    "float64",
    "grad",
    "group_norm",
    "image_layout",
    "jvp",
    "keep_compilations",
    "layer_norm",
    "loop",
    "memory",
    "move_towards",
    "name",
    "native_normal",
    "native_uniform",
    "prepare_optimizer",
    "ran_out_of_memory",
    "remat",
    "step_flops",
    "traced",
    "value_and_grad",
    "version",
]

_NAME = choose()


def name() -> str:
    """Return the running backend: "jax", "tensorflow" or "torch"."""
    return _NAME


def version() -> str:
    """Return the version of the running backend."""
    return str(importlib.import_module(_NAME).__version__)


_engine = importlib.import_module(f"genloom.backend.{_NAME}")


def building() -> contextlib.AbstractContextManager[Any]:
    """Build a model inside a `with` block, so that nothing of it stays once it is gone."""
    return _engine.building() if _NAME == "tensorflow" else contextlib.nullcontext()


value_and_grad = _engine.value_and_grad
grad = _engine.grad
jvp = _engine.jvp
compiled = _engine.compiled
float64 = _engine.float64
loop = _engine.loop
remat = _engine.remat
keep_compilations = _engine.keep_compilations
native_normal = _engine.native_normal
native_uniform = _engine.native_uniform
image_layout = _engine.image_layout
memory = _engine.memory
move_towards = _engine.move_towards
ran_out_of_memory = _engine.ran_out_of_memory
step_flops = _engine.step_flops
traced = _engine.traced
group_norm = _engine.group_norm
layer_norm = _engine.layer_norm
prepare_optimizer = _engine.prepare_optimizer
StepMixin = _engine.StepMixin
