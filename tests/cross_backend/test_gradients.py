"""Every first-party loss has the same gradient on every engine, the right one, and trains the same way at first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from genloom import backend

HERE = Path(__file__).parent
SECOND_ORDER = ("gan/mlp", "gan/wgan-gp")  # their penalties differentiate a gradient

# Once each, where eager float64 needs no compilation: torch has no float64 convolutions in its layout, TensorFlow
# refuses to mix precisions, as diffusion does on purpose.
PROBED: dict[str, tuple[str, ...]] = {
    "jax": (),
    "torch": ("diffusion/ddpm", "gan/mlp", "vae/mlp"),
    "tensorflow": ("gan/dcgan", "gan/wgan-gp", "vae/conv"),
}

# Checks the directional derivative of every phase by central differences, in float64.
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import keras
keras.config.set_floatx("float64")
import numpy as np
from keras import ops
import first_party
from genloom import backend, random

EPS = 1e-4  # the middle of 1e-3 … 1e-6: rounding grows below it, the kinks of ReLU above
class Wide(random.NoiseStream):
    def normal(self, shape, dtype="float64"):
        return super().normal(shape, dtype)

    def uniform(self, shape, dtype="float64"):
        return super().uniform(shape, dtype)

model = first_party.build(sys.argv[2])
for phase in model.phases():
    stream = Wide(model.seed, model.step.value, "portable")
    loss = first_party.phase_loss(model, phase, first_party.tensors(first_party.batch_of(model)), stream)
    variables = phase.resolve()
    _, slopes = backend.value_and_grad(loss, variables)
    slopes = [np.asarray(ops.convert_to_numpy(s), "float64") for s in slopes]
    norm = np.sqrt(sum((s ** 2).sum() for s in slopes))
    start = [np.array(ops.convert_to_numpy(v.value), "float64") for v in variables]
    def at(step):
        for variable, value, slope in zip(variables, start, slopes):
            variable.assign(value + step * slope / norm)
        return float(loss()[0])
    found = (at(EPS) - at(-EPS)) / (2 * EPS)
    print(phase.name, found, norm)
    assert abs(found - norm) <= 2e-3 * norm, (phase.name, found, norm)
"""


@pytest.fixture(scope="module")
def reference(first_party: ModuleType) -> dict[str, np.ndarray]:
    with np.load(first_party.REFERENCE, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def test_every_plugin_with_a_model_is_covered(first_party: ModuleType) -> None:
    owners = {id.partition("/")[0] for id in first_party.model_ids()}
    assert first_party.PLUGINS - owners == {"post"}  # which has none


def test_gradients_agree_with_the_reference(
    model_id: str, first_party: ModuleType, reference: dict[str, np.ndarray]
) -> None:
    found = first_party.gradients(first_party.build(model_id))
    assert found
    for phase, gradient in found.items():
        expected = reference[f"{model_id}/gradient/{phase}"]
        error = np.linalg.norm(first_party.sketch(gradient, f"{model_id}/{phase}") - expected) / np.linalg.norm(
            expected
        )
        assert error <= (1e-4 if model_id in SECOND_ORDER else 1e-5), phase


def test_the_first_hundred_losses_agree_with_the_reference(
    model_id: str, first_party: ModuleType, reference: dict[str, np.ndarray]
) -> None:
    model = first_party.build(model_id)
    found, expected = first_party.first_losses(model), reference[f"{model_id}/losses"]
    assert np.abs(expected[-1] - expected[0]).max() > 1e-3, "training moves the losses"
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    captured = getattr(model, "_captured", None)
    assert captured is None or (captured.fallback is None and captured.captures == 1)


@pytest.mark.parametrize("id", PROBED[backend.name()])
def test_gradients_are_those_of_finite_differences(
    id: str, subprocess_env: Callable[..., dict[str, str | None]]
) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE, str(HERE), id],
        capture_output=True,
        text=True,
        env=subprocess_env(PYTHONPATH=path or None),
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
