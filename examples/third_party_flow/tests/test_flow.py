"""What a flow promises: GenLoom's kit, a density that is one, and maps that undo each other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from keras import ops
from third_party_flow.couplings import AffineTransform, SplineTransform

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.testing import ModelConformance

PLANE = DataSpec((2,), kind="signal", value_range=None)
PICTURE = DataSpec((3, 3, 1))
MODELS = ("flow/realnvp", "flow/spline")


class TestRealNVP(ModelConformance):
    id, hooks, spec = "flow/realnvp", "third_party_flow", PICTURE
    options: ClassVar[dict[str, Any]] = {"layers": 4, "hidden": 16, "levels": 17}


class TestSpline(ModelConformance):
    id, hooks, spec, options = "flow/spline", "third_party_flow", PLANE, {"layers": 4, "hidden": 16}


def made(id: str, spec: DataSpec, **options: Any) -> Any:
    """Return a flow that is not the identity."""
    model = genloom.create(id, spec, layers=4, hidden=16, **options)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.2 * rng.standard_normal(variable.shape))
    return model


def tensor(x: np.ndarray) -> Any:
    return ops.convert_to_tensor(x.astype("float32"))


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


@pytest.mark.parametrize("id", MODELS)
def test_the_density_integrates_to_one(id: str) -> None:
    model = made(id, PLANE)
    axis = np.linspace(-12, 12, 601, dtype="float32")
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p = np.exp(array(model.log_prob(plane)))
    assert p.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("id", MODELS)
@pytest.mark.parametrize(("spec", "levels"), [(PLANE, 0), (PICTURE, 0), (PICTURE.replace(value_range=(-1.0, 3.0)), 17)])
def test_log_prob_is_the_jacobians_determinant(id: str, spec: DataSpec, levels: int) -> None:
    """The rest of log p(x) beside log N(encode(x)), against finite differences of `encode`."""
    model = made(id, spec, levels=levels)
    low, high = spec.value_range or (-1.5, 1.5)
    x = np.random.default_rng(1).uniform(low + 0.2 * (high - low), high - 0.2 * (high - low), spec.size)
    eps = 2e-3
    moved = x + eps * np.concatenate([np.eye(spec.size), -np.eye(spec.size)])
    z = array(model.encode(moved.reshape(-1, *spec.shape).astype("float32"))).reshape(len(moved), -1)
    jacobian = (z[: spec.size] - z[spec.size :]) / (2 * eps)
    here = x.reshape(1, *spec.shape).astype("float32")
    noise = array(model.encode(here)).ravel()
    expected = -0.5 * (noise**2 + np.log(2 * np.pi)).sum() + np.linalg.slogdet(jacobian)[1]
    # Differences in float32 are good to 1e-4 or so in each of the entries.
    assert array(model.log_prob(here))[0] == pytest.approx(expected, abs=0.02 * spec.size)


@pytest.mark.parametrize("id", MODELS)
@pytest.mark.parametrize("levels", [0, 17])
def test_decoding_undoes_encoding(id: str, levels: int) -> None:
    model = made(id, PICTURE, levels=levels)
    x = np.random.default_rng(2).uniform(0.05, 0.95, (32, 3, 3, 1)).astype("float32")
    assert array(model.decode(model.encode(x))) == pytest.approx(x, abs=3e-4)


def test_a_spline_rises_through_its_box_and_is_straight_outside() -> None:
    spline, n = SplineTransform(bins=5, bound=3.0), 4000
    parameters = np.broadcast_to(np.random.default_rng(3).standard_normal((1, 1, 14)), (n, 1, 14))
    parameters, x = tensor(parameters), np.linspace(-4, 4, n, dtype="float32")[:, None]
    y, log_derivative = (array(part)[:, 0] for part in spline.forward(tensor(x), parameters))
    outside = np.abs(x[:, 0]) > 3
    assert np.array_equal(y[outside], x[outside, 0].astype("float64")) and not log_derivative[outside].any()
    assert (np.diff(y) > 0).all()
    slopes = np.exp(log_derivative)
    by_difference = (y[2:] - y[:-2]) / (x[2:, 0] - x[:-2, 0])
    # The slope is continuous and its derivative is not: knots are off by one step's change.
    assert np.median(np.abs(slopes[1:-1] - by_difference) / by_difference) < 2e-3
    back, negative = (array(part)[:, 0] for part in spline.inverse(tensor(y[:, None]), parameters))
    assert back == pytest.approx(x[:, 0], abs=2e-4)
    assert negative == pytest.approx(-log_derivative, abs=5e-3)


def test_zero_parameters_are_the_identity() -> None:
    x = np.linspace(-3, 3, 20, dtype="float32")[:, None]
    for transform in (AffineTransform(2.0), SplineTransform(8, 4.0)):
        y, log_derivative = transform.forward(tensor(x), tensor(np.zeros((20, 1, transform.parameters))))
        assert array(y) == pytest.approx(x, abs=2e-6)
        assert array(log_derivative) == pytest.approx(0.0, abs=2e-6)


def test_bits_of_uniform_levels_are_their_logarithm() -> None:
    """A density of 1/range over the value range gives each of L levels the probability 1/L."""
    line = made("flow/realnvp", PICTURE.replace(value_range=(0.0, 2.0)), levels=16).line
    density = -9 * np.log(2.0 * 16 / 15)  # uniform over the range and half a step on both sides
    assert float(line.bits_per_dimension(density)) == pytest.approx(4.0)


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="two values or more"):
        genloom.create("flow/spline", DataSpec((1,), kind="signal"))
    with pytest.raises(ConfigError, match="levels=17"):
        genloom.create("flow/spline", PLANE, levels=17)
