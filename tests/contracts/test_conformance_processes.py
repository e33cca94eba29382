"""The kit beyond one model in one process: other engines, hooks that are heavy, settings that come back."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import keras
import pytest
from keras import ops

from genloom import backend
from genloom.testing import ModelConformance
from genloom.testing.precision import computing_in

INSTALLED = [name for name in ("jax", "torch", "tensorflow") if find_spec(name) is not None]


def test_the_settings_before_a_float64_probe_come_back() -> None:
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()

    def product() -> str:
        return keras.backend.standardize_dtype(ops.matmul(ops.ones((2, 2)), ops.ones((2, 2))).dtype)

    with pytest.raises(ZeroDivisionError), computing_in("float64"):
        assert (keras.config.floatx(), keras.config.dtype_policy().name, product()) == ("float64",) * 3
        raise ZeroDivisionError
    assert (keras.config.floatx(), keras.config.dtype_policy(), product()) == (floatx, policy, floatx)


def test_a_heavy_hooks_module_is_seen(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keras.py").write_text("")  # a stand-in: the real one takes seconds
    (tmp_path / "heavy_hooks.py").write_text("import keras\ndef genloom_components(): return []\n")
    monkeypatch.syspath_prepend(tmp_path)
    kit = type("Kit", (ModelConformance,), {"hooks": "heavy_hooks"})
    with pytest.raises(AssertionError, match="imports keras"):
        kit().test_hooks_import_no_engine()


ON_ENGINES = """
import keras, numpy as np
from keras import ops
import genloom
from genloom import DataSpec, Phase, random
from genloom.testing import ModelConformance

class Line(genloom.GenerativeModel):
    def __init__(self, spec, options=None, **values):
        super().__init__(spec, options, **values)
        self.network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])

    def phases(self):
        return [Phase("fit", lambda: self.network.trainable_variables, self.error)]

    def error(self, batch):
        return ops.mean(ops.square(self.network(self.normal(tuple(batch["x"].shape))) - batch["x"])), {}, 1.0

    def draw(self, keys, condition):
        return ops.sigmoid(self.network(random.normal(keys, (3,)))) ** POWER

class TestLine(ModelConformance):
    spec = DataSpec((3,), kind="signal", value_range=(0.0, 1.0))

    def make(self, seed=0):
        return Line(self.spec, seed=seed)
"""


@pytest.mark.skipif(len(INSTALLED) < 2, reason="one engine is installed: see the session demo")
def test_a_model_is_held_to_every_engine_it_declares(tmp_path: Any) -> None:
    here = backend.name()
    other = next(name for name in INSTALLED if name != here)

    def run(power: str, backends: str) -> str:
        file = tmp_path / f"test_{len(list(tmp_path.iterdir()))}.py"
        file.write_text(ON_ENGINES.replace("POWER", power) + f"\n    backends = {backends}\n")
        words = ["-q", "-p", "no:cacheprovider", str(file), "-k", "declared"]
        done = subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout if done.returncode else ""

    different = f"(2.0 if genloom.backend.name() == {other!r} else 1.0)"
    assert run("1.0", f"({here!r}, {other!r})") == ""
    failed = run(different, f"({here!r}, {other!r})")
    assert f"on {other} these fail" in failed and "differ by" in failed
    assert run(different, f"({here!r},)") == ""  # what is not declared is not promised
