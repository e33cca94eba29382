"""The primitives of the running backend against closed forms."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from genloom import backend
from genloom.errors import GenLoomError


def array(x):
    return ops.convert_to_numpy(x)


def test_value_and_grad_of_a_quadratic():
    w = keras.Variable(np.array([1.0, -2.0], "float32"))
    unused = keras.Variable(np.ones(3, "float32"))
    (value, aux), (dw, du) = backend.value_and_grad(
        lambda: (ops.sum(w * w * w), {"double": 2 * ops.sum(w)}), [w, unused]
    )
    assert float(value) == pytest.approx(-7.0)
    assert float(aux["double"]) == pytest.approx(-2.0)
    np.testing.assert_allclose(array(dw), [3.0, 12.0], rtol=1e-6)
    np.testing.assert_array_equal(array(du), np.zeros(3))


def test_grad_is_differentiable_again():
    """For f(x) = sum (w x)^3 / 3 the penalty sum |f'(x)|^2 = w^6 x^4 has the derivative 6 w^5 x^4 in w."""
    w = keras.Variable(np.array(1.5, "float32"))
    x = ops.convert_to_tensor(np.array([[0.5], [2.0]], "float32"))

    def penalty():
        slope = backend.grad(lambda z: ops.sum((w * z) ** 3) / 3.0)(x)
        return ops.sum(slope**2), ()

    (value, _), (dw,) = backend.value_and_grad(penalty, [w])
    x4 = 0.5**4 + 2.0**4
    assert float(value) == pytest.approx(1.5**6 * x4, rel=1e-5)
    assert float(array(dw)) == pytest.approx(6 * 1.5**5 * x4, rel=1e-5)


def test_jvp_of_a_network_is_its_directional_derivative():
    network = keras.Sequential([layers.Input((3,)), layers.Dense(8, activation="tanh"), layers.Dense(2)])
    x, v = np.ones((4, 3), "float32"), np.full((4, 3), 0.3, "float32")
    value, tangent = backend.jvp(network, (ops.convert_to_tensor(x),), (ops.convert_to_tensor(v),))
    h = 1e-2
    difference = (array(network(x + h * v)) - array(network(x - h * v))) / (2 * h)
    np.testing.assert_allclose(array(value), array(network(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(array(tangent), difference, rtol=2e-3, atol=2e-4)


def test_the_value_of_a_jvp_can_be_differentiated():
    """With the derivative dropped, as a target held fixed drops it."""
    network = keras.Sequential([layers.Input((2,)), layers.Dense(3)])
    x = ops.convert_to_tensor(np.array([[1.0, 2.0], [3.0, 4.0]], "float32"))

    def loss():
        value, _ = backend.jvp(network, (x,), (ops.ones((2, 2)),))
        return ops.sum(value), ()

    kernel, bias = backend.value_and_grad(loss, network.trainable_variables)[1]
    np.testing.assert_allclose(array(kernel), [[4.0] * 3, [6.0] * 3], rtol=1e-6)
    np.testing.assert_allclose(array(bias), [2.0] * 3, rtol=1e-6)


def test_remat_says_once_what_it_turns_off_for_the_whole_process(capsys):
    switches = backend.name() == "tensorflow"
    if switches:
        importlib.import_module("tensorflow").config.optimizer.set_experimental_options(
            {"dependency_optimization": True}
        )
    for _ in range(2):
        backend.remat(lambda x: x * x)
    told = capsys.readouterr().err
    assert told.count("remat turns TensorFlow's dependency_optimization off") == switches
    assert len(told.splitlines()) == switches


def test_loop_counts_and_carries():
    total, power = backend.loop(
        lambda i, s: (s[0] + ops.cast(i, "float32"), s[1] * 2.0), 5, (ops.zeros(()), ops.ones((2,)))
    )
    assert float(total) == 10.0
    np.testing.assert_array_equal(array(power), [32.0, 32.0])


@pytest.mark.parametrize("compiled", [False, True])
def test_loop_ends_when_its_state_says_so(compiled: bool):
    def powers(x, n, most):
        return backend.loop(lambda _, s: (s[0] * 2.0, s[1]), n, (x, most), lambda s: ops.all(s[0] >= s[1]))[0]

    fn = backend.compiled(powers, Holder()) if compiled else powers
    x = ops.convert_to_tensor(np.array([1.0, 3.0], "float32"))
    for n, most, steps in ((10, 6.0, 3), (2, 6.0, 2), (10, 0.5, 0)):
        found = fn(x, ops.convert_to_tensor(np.int32(n)), ops.convert_to_tensor(np.float32(most)))
        np.testing.assert_array_equal(array(found), [2.0**steps, 3.0 * 2.0**steps])


@pytest.mark.parametrize("shifted", [False, True])
def test_layer_norm_is_its_formula(shifted: bool):
    rng = np.random.default_rng(0)
    x, gamma, beta = 3 + 2 * rng.standard_normal((2, 5, 7)), rng.standard_normal(7), rng.standard_normal(7) * shifted
    expected = gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3) + beta
    given = [ops.convert_to_tensor(v.astype("float32")) for v in (x, gamma, beta)]
    found = backend.layer_norm(*given[:2], given[2] if shifted else None, 1e-3)
    np.testing.assert_allclose(array(found), expected, atol=2e-6)
    assert ops.dtype(backend.layer_norm(ops.cast(given[0], "bfloat16"), given[1], None, 1e-3)) == "bfloat16"


class Holder(keras.Model):
    """A model with one weight, one counter, and functions to compile."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="ones", name="w")
        self.counter = self.add_weight(shape=(), initializer="zeros", trainable=False, name="counter")
        self.built = True


def test_compiled_reads_the_variables_at_every_call():
    model = Holder()
    fn = backend.compiled(lambda x: backend.loop(lambda i, s: s * model.w, 3, x), model)
    assert float(fn(ops.convert_to_tensor(2.0))) == 2.0
    model.w.assign(2.0)
    assert float(fn(ops.convert_to_tensor(2.0))) == 16.0


def test_compiled_sees_new_closure_values_in_its_loop():
    """A captured loop must not freeze a tensor that its step closes over and that changes between calls."""
    model = Holder()
    fn = backend.compiled(lambda x, c: backend.loop(lambda i, s: s + c, 2, x), model)
    one, ten = ops.convert_to_tensor(1.0), ops.convert_to_tensor(10.0)
    assert float(fn(one, one)) == 3.0
    assert float(fn(one, ten)) == 21.0


def test_compiled_refuses_a_state_write_and_names_the_variable():
    model = Holder()

    def impure(x):
        model.counter.assign_add(1.0)
        return x

    with pytest.raises(GenLoomError, match=r"wrote to holder(_[0-9]+)?/counter"):
        backend.compiled(impure, model)(ops.ones((1,)))
    assert float(model.counter.value) == 0.0


def test_native_noise_depends_on_seed_step_and_draw_only():
    if backend.name() == "torch":
        pytest.skip("torch's generator is seeded by the step: see test_model_step.py")
    step = ops.convert_to_tensor(3, "int32")
    base = array(backend.native_normal(1, step, 1, (1000,), "float32"))
    np.testing.assert_array_equal(base, array(backend.native_normal(1, step, 1, (1000,), "float32")))
    for seed, at, draw in ((2, 3, 1), (1, 4, 1), (1, 3, 2)):
        other = array(backend.native_normal(seed, ops.convert_to_tensor(at, "int32"), draw, (1000,), "float32"))
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.15
    assert abs(base.mean()) < 0.15
    assert abs(base.std() - 1.0) < 0.1
