"""Consistency models: on Gaussian data the tangent of the exact one is zero, and one call draws what the flow would."""

from __future__ import annotations

import types
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.consistency import Consistency, tangent
from genloom_diffusion.options import DistilOptions
from genloom_diffusion.samplers import prior

S = 0.6
LINE = DataSpec((1,), kind="signal", value_range=None)
PROCESSES = ("cosine", "linear", "flow", "exploding")


def numbers(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def deviation(angle: Any) -> Any:
    """Of y = cos θ x + sin θ ε for x ~ N(0, S²)."""
    return ops.sqrt((ops.cos(angle) * S) ** 2 + ops.sin(angle) ** 2)


def exact(y: Any, angle: Any) -> Any:
    """F with cos θ y - sin θ F = y S/σ(θ), the end of the flow of Gaussian data."""
    return y * (ops.cos(angle) - S / deviation(angle)) / ops.sin(angle)


def test_the_tangent_of_the_exact_model_is_zero() -> None:
    rng = np.random.default_rng(0)
    y, angle = (ops.convert_to_tensor(v.astype("float32")) for v in (rng.normal(size=300), rng.uniform(0.1, 1.5, 300)))
    cosine, sine = ops.cos(angle), ops.sin(angle)
    velocity = y * cosine * sine * (1.0 - S**2) / deviation(angle) ** 2  # E[cos θ ε - sin θ x | y]
    output, derivative = backend.jvp(exact, (y, angle), (velocity, ops.ones_like(angle)))
    np.testing.assert_allclose(numbers(tangent(output, velocity, derivative, y, cosine, sine, 1.0)), 0.0, atol=2e-5)
    diffusion = numbers(tangent(velocity, velocity, derivative, y, cosine, sine, 0.0))
    np.testing.assert_array_equal(diffusion, 0.0)  # the exact model of diffusion, where nothing of consistency counts
    assert np.abs(numbers(output - velocity)).max() > 0.1  # the two models differ


@keras.saving.register_keras_serializable(package="test")
class Exact(keras.layers.Layer):
    """F as a network of y and the position along a process."""

    def __init__(self, process: Any) -> None:
        super().__init__()
        self.process = process

    def call(self, y: Any, position: Any) -> Any:
        t = self.process.time(position)
        return exact(y, ops.arctan2(self.process.sigma(t), self.process.alpha(t)))


def exact_model(process: str, **options: Any) -> Consistency:
    walked = Consistency(LINE, width=4, depth=1, process=process).process
    y, position = keras.Input((1,)), keras.Input((1,))
    network = keras.Model([y, position], Exact(walked)(y, position))
    return Consistency(LINE, denoiser=network, process=process, **options)


@pytest.mark.parametrize("process", PROCESSES)
def test_one_call_ends_where_the_flow_does(process: str) -> None:
    model, keys = exact_model(process), random.keys(0, 500)
    one = ops.ones((1,))
    alpha, sigma = (float(numbers(f(one))[0]) for f in (model.process.alpha, model.process.sigma))
    z = numbers(prior(model.process, keys, (1,)))
    expected = z * S / np.sqrt((alpha * S) ** 2 + sigma**2)
    np.testing.assert_allclose(numbers(model.draw(keys, {})), expected, atol=2e-4)
    assert model.evaluations() == 1


@pytest.mark.parametrize("process", PROCESSES)
def test_more_calls_draw_the_same_distribution(process: str) -> None:
    found = numbers(exact_model(process).draw(random.keys(1, 4000), {}, steps=3))
    assert found.std() == pytest.approx(S, rel=4 / np.sqrt(2 * 4000))  # four deviations of a deviation


@pytest.mark.parametrize("process", PROCESSES)
def test_what_is_left_of_the_tangent_has_no_mean(process: str) -> None:
    """Along the path of each data and noise it is that path's own, whose mean given y is the flow's: zero."""
    model = exact_model(process)
    rng = np.random.default_rng(1)
    x, noise = (ops.convert_to_tensor(rng.normal(size=(20000, 1)).astype("float32") * s) for s in (S, 1.0))
    t = model._training_time(ops.convert_to_tensor(((np.arange(20000) + 0.5) / 20000).astype("float32")))
    velocity = model._velocity(x, noise, t)
    output, g = (numbers(value)[:, 0] for value in model._tangent(x, noise, t, None, velocity, 1.0))
    assert g.std() > 0.1
    assert abs((g * output).mean()) < 4 * (g * output).std() / np.sqrt(20000)  # no correlation with what y tells
    _, started = model._tangent(x, noise, t, None, velocity, 0.0)  # a diffusion model would do otherwise
    pull = numbers(started)[:, 0] * output
    assert abs(pull.mean()) > 5 * pull.std() / np.sqrt(20000)


def test_training_begins_as_that_of_diffusion_and_goes_over() -> None:
    rng = np.random.default_rng(0)
    model = Consistency(LINE, width=8, depth=1, noise="portable", ramp=10, calm=1e6)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    x = ops.convert_to_tensor(rng.normal(size=(64, 1)).astype("float32"))

    def slopes(loss: Any) -> np.ndarray:
        def drawn() -> tuple[Any, Any]:
            with random.training_noise(random.NoiseStream(0, 0, "portable")):
                return loss(), ()

        parts = backend.value_and_grad(drawn, model.trainable_variables)[1]
        return np.concatenate([numbers(part).ravel() for part in parts])

    def diffusion() -> Any:
        """The squared error of the velocity under the weight cos²."""
        noise = model.normal((64, 1))
        t = model._training_time(model._positions(64))
        alpha, sigma = model._scales(t)
        size = ops.sqrt(alpha * alpha + sigma * sigma)
        z = alpha * x + sigma * noise
        error = model._network(z, t, None, True) - (alpha * noise - sigma * x) / size
        return ops.mean((alpha / size * error) ** 2)

    expected = slopes(diffusion)
    found = slopes(lambda: model._loss({"x": x})[0]) * 1e6  # so calm that every tangent has the same weight
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    model.step.assign(5)
    assert np.abs(slopes(lambda: model._loss({"x": x})[0]) * 1e6 - expected).max() > 0.01 * np.abs(expected).max()


def test_along_the_flow_of_a_teacher_no_loss_is_left() -> None:
    """Alone, the paths of each data and noise spread around the flow."""
    student = exact_model("cosine", noise="portable", ramp=0)

    def flow(z: Any, t: Any, label: Any) -> Any:
        alpha, sigma = student._scales(t)
        return z * alpha * sigma * (1.0 - S**2) / ((alpha * S) ** 2 + sigma**2)

    teacher: Any = types.SimpleNamespace(answers=lambda guidance: flow)
    batch = {"x": ops.convert_to_tensor((np.random.default_rng(0).normal(size=(4000, 1)) * S).astype("float32"))}
    losses = []
    for learn in (student._loss, lambda batch: student.taught(batch, teacher, DistilOptions())):
        with random.training_noise(random.NoiseStream(0, 0, "portable")):
            losses.append(float(numbers(learn(batch)[0])))
    assert losses[0] > 0.1
    assert losses[1] < 1e-6


def test_the_target_is_the_velocity() -> None:
    with pytest.raises(ConfigError, match=r"'target' cannot be 'noise'\. Use one of velocity"):
        Consistency(LINE, target="noise")
