"""Mean flows: the target is exact where the average velocity is known, and one jump draws what the flow would."""

from __future__ import annotations

import types
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.meanflow import MeanFlow, mean_error, tempered
from genloom_diffusion.options import DistilOptions
from genloom_diffusion.process import add_noise
from genloom_diffusion.samplers import prior

S = 0.6
LINE = DataSpec((1,), kind="signal", value_range=None)


def numbers(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def deviation(t: Any) -> Any:
    """Of z_t = (1 - t) x + t ε for x ~ N(0, S²)."""
    return ops.sqrt((1.0 - t) ** 2 * S**2 + t**2)


def test_the_average_velocity_of_gaussian_data_has_no_error() -> None:
    """z_r = z_t σ_r/σ_t along the flow, so that u = z (1 - σ_r/σ_t)/(t - r), and v is its limit."""
    rng = np.random.default_rng(0)
    t, r = np.sort(rng.uniform(0.02, 0.98, (2, 200)).astype("float32"), axis=0)[::-1]
    z, t, r = (ops.convert_to_tensor(np.ascontiguousarray(v[:, None])) for v in (rng.normal(size=200), t, r))
    z = ops.cast(z, "float32")
    v = z * (t - (1.0 - t) * S**2) / deviation(t) ** 2

    def average(z: Any, t: Any) -> Any:
        return z * (1.0 - deviation(r) / deviation(t)) / (t - r)

    u, derivative = backend.jvp(average, (z, t), (v, ops.ones_like(t)))
    held = numbers(ops.abs(t - r))[:, 0] > 0.02  # closer, the difference quotient loses float32's digits
    np.testing.assert_allclose(numbers(mean_error(u, v, derivative, t - r))[held], 0.0, atol=2e-5)
    assert np.abs(numbers(u - v))[held].max() > 0.1  # the derivative is what mends it


@keras.saving.register_keras_serializable(package="test")
class Exact(keras.layers.Layer):
    """u of the process and data above, from the network's inputs: z over its scale, and [t, t - r]."""

    def __init__(self, low: float, width: float) -> None:
        super().__init__()
        self.low, self.width = low, width

    def call(self, x: Any, times: Any) -> Any:
        t, r = (self.low + self.width * at for at in (times[:, :1], times[:, :1] - times[:, 1:]))
        z = x * ops.sqrt((1.0 - t) ** 2 + t * t)
        flow = z * (t - (1.0 - t) * S**2) / deviation(t) ** 2
        span = ops.where(t - r > 1e-4, t - r, 1.0)
        return ops.where(t - r > 1e-4, z * (1.0 - deviation(r) / deviation(t)) / span, flow)


def exact_model(**options: Any) -> MeanFlow:
    process = MeanFlow(LINE, width=4, depth=1).process
    x, times = keras.Input((1,)), keras.Input((2,))
    return MeanFlow(LINE, denoiser=keras.Model([x, times], Exact(process.low, process.width)(x, times)), **options)


@pytest.mark.parametrize("steps", [1, 3])
def test_jumps_of_the_exact_average_end_where_the_flow_does(steps: int) -> None:
    model, keys = exact_model(), random.keys(0, 500)
    z, first = numbers(prior(model.process, keys, (1,))), model.process.high
    found = numbers(model.draw(keys, {}, steps=steps))
    expected = z * S / float(numbers(deviation(ops.convert_to_tensor(np.float32(first)))))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert model.evaluations(steps=steps) == steps


def test_every_sampler_of_flows_follows_the_average_over_no_stretch() -> None:
    model, keys = exact_model(), random.keys(0, 500)
    found = numbers(model.draw(keys, {}, sampler="heun", steps=30))
    np.testing.assert_allclose(found, numbers(model.draw(keys, {})), atol=0.01)  # its last call is at σ = 1/30
    assert model.evaluations(sampler="heun", steps=30) == 59


@pytest.mark.parametrize("tangent", ["predicted", "conditional"])
def test_the_error_of_the_exact_average_is_the_spread_of_the_targets(tangent: str) -> None:
    """What is left is that of v = ε - x around its mean; along each v the derivative takes (t - r) ∂u/∂z of it off."""
    model = exact_model(tangent=tangent, noise="portable", mean_share=0.0)
    rng = np.random.default_rng(1)
    x, noise = (ops.convert_to_tensor(rng.normal(size=(4000, 1)).astype("float32") * s) for s in (S, 1.0))
    t = ops.full((4000,), 0.5)
    error = numbers(model._mean_errors(x, noise, t, t, None)).mean()
    assert error == pytest.approx(S**2 / (0.5**2 * (S**2 + 1.0)), rel=0.08)  # of ε - x given z, halfway
    found = numbers(model._mean_errors(x, noise, t, ops.full((4000,), 0.1), None)).mean() / error
    early = (0.1 * model.process.width + model.process.low, 0.5)
    kept = float(numbers(deviation(early[0])) / numbers(deviation(early[1])))  # 1 - (t - r) ∂u/∂z
    assert found == pytest.approx(kept**2 if tangent == "conditional" else 1.0, rel=2e-3)


def test_along_the_flow_of_a_teacher_no_loss_is_left() -> None:
    """Alone, the paths of each data and noise spread around the flow."""
    student = exact_model(noise="portable", power=0.0)

    def flow(z: Any, t: Any, label: Any) -> Any:
        alpha, sigma = student._scales(t)
        return z * (sigma - alpha * S**2) / (alpha**2 * S**2 + sigma**2)

    teacher: Any = types.SimpleNamespace(answers=lambda guidance: flow)
    batch = {"x": ops.convert_to_tensor((np.random.default_rng(0).normal(size=(4000, 1)) * S).astype("float32"))}
    losses = []
    for learn in (student._loss, lambda batch: student.taught(batch, teacher, DistilOptions())):
        with random.training_noise(random.NoiseStream(0, 0, "portable")):
            losses.append(float(numbers(learn(batch)[0])))
    assert losses[0] > 0.1
    assert losses[1] - 1e-3 < 1e-5  # which is added to each error


def test_halves_of_the_exact_average_make_it_up() -> None:
    """A shortcut model has no loss there over a stretch (Frans et al. 2025, eq. 3), and over none that of the flow."""
    model = exact_model(rule="halves", noise="portable")
    rng = np.random.default_rng(1)
    x, noise = (ops.convert_to_tensor(rng.normal(size=(4000, 1)).astype("float32") * s) for s in (S, 1.0))
    t = ops.convert_to_tensor(rng.uniform(0.3, 1.0, 4000).astype("float32"))
    assert numbers(model._mean_errors(x, noise, t, 0.5 * t, None)).max() < 1e-8
    half = ops.full((4000,), 0.5)
    flow = numbers(model._mean_errors(x, noise, half, half, None)).mean()
    assert flow == pytest.approx(S**2 / (0.5**2 * (S**2 + 1.0)), rel=0.08)


def test_halves_are_not_tempered() -> None:
    """With the logarithm of the error they learn next to nothing."""
    model = exact_model(rule="halves", noise="portable")
    errors = ops.convert_to_tensor(np.array([0.5, 3.0], "float32"))
    np.testing.assert_allclose(numbers(model._tempered(errors)), numbers(errors) + 1e-3, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"power=0.5 has no effect with rule=halves"):
        exact_model(rule="halves", power=0.5)


def test_halves_are_held_fixed_while_the_whole_learns() -> None:
    model = genloom.create("diffusion/meanflow", LINE, width=8, depth=1, rule="halves", noise="portable")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    x, noise = (ops.convert_to_tensor(rng.normal(size=(16, 1)).astype("float32")) for _ in range(2))
    t, r = ops.full((16,), 0.8), ops.full((16,), 0.2)
    z = add_noise(model.process, x, noise, t)
    halves = ops.convert_to_tensor(numbers(model._joined(z, t, r, None)).astype("float32"))

    def slopes(loss: Any) -> np.ndarray:
        _, found = backend.value_and_grad(lambda: (loss(), {}), model.trainable_variables)
        return np.concatenate([numbers(each).ravel() for each in found])

    learnt = slopes(lambda: ops.mean(model._mean_errors(x, noise, t, r, None)))
    expected = slopes(lambda: ops.mean(ops.square(model.mean_velocity(z, t, r, None) - halves)))
    np.testing.assert_allclose(learnt, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_loss_has_the_gradient_of_the_weighed_error(power: float) -> None:
    error = ops.convert_to_tensor(np.array([0.0, 0.3, 2.0, 50.0], "float32"))
    slope = numbers(backend.grad(lambda e: tempered(e, power))(error))
    np.testing.assert_allclose(slope, (numbers(error) + 1e-3) ** -power, rtol=1e-5)


def test_the_held_out_loss_is_the_trained_one() -> None:
    """In expectation over noise and stretches."""
    model = genloom.create("diffusion/meanflow", LINE, width=8, depth=1, noise="portable")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    x = ops.convert_to_tensor(rng.normal(size=(8000, 1)).astype("float32"))
    with random.training_noise(random.NoiseStream(0, model.step.value, "portable")):
        trained = float(numbers(model._loss({"x": x})[0]))
    held_out = numbers(model.validate({"x": x, "index": ops.arange(8000, dtype="int32")})["loss"])
    assert held_out.mean() == pytest.approx(trained, abs=5 * held_out.std() / 80)


def test_bfloat16_layers_give_full_precision_averages() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = genloom.create("diffusion/meanflow", LINE, width=8, depth=1)
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(16, 1)).astype("float32")
    model.compile()
    assert np.isfinite(model.train_on_batch({"x": x})).all()
    assert keras.backend.standardize_dtype(model.draw(random.keys(0, 2), {}).dtype) == "float32"


def test_only_straight_processes() -> None:
    with pytest.raises(ConfigError, match=r"'process' cannot be 'cosine'\. Use one of flow"):
        genloom.create("diffusion/meanflow", LINE, process="cosine")
