"""The transformer keeps the kit's promises, and computes what a plain implementation computes."""

from __future__ import annotations

from typing import Any, ClassVar

from genloom import DataSpec
from genloom.testing import ModelConformance

TOKENS = DataSpec((9,), kind="text", dtype="int32", value_range=None, vocabulary=7)


class TestGPT(ModelConformance):
    id, hooks, spec = "language/transformer", "genloom_language", TOKENS
    options: ClassVar[dict[str, Any]] = {"layers": 2, "heads": 2, "width": 8}


class TestLlama(ModelConformance):
    id, hooks, spec = "language/transformer", "genloom_language", TOKENS
    options: ClassVar[dict[str, Any]] = {
        "layers": 2, "heads": 4, "key_heads": 2, "width": 16, "position": "rotary", "norm": "rms",
        "activation": "swiglu", "tied": False, "dropout": 0.1,
    }  # fmt: skip
