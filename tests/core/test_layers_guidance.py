"""Classifier-free guidance against its formula, on a prediction that is its own label."""

from __future__ import annotations

import numpy as np
from keras import ops

from genloom.layers import guided, hide_labels


def numbers(x: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def predict(z: object, t: object, label: object) -> object:
    return z * ops.cast(label, "float32")[:, None]


def test_guidance_one_is_the_same_function_and_two_extrapolates() -> None:
    assert guided(predict, 1.0, 9) is predict
    z, t, label = ops.ones((3, 2)), ops.zeros((3,)), ops.convert_to_tensor(np.array([1, 2, 3], "int32"))
    # Unlabelled gives 9, labelled k: 9 + 2 (k - 9) = 2 k - 9.
    np.testing.assert_allclose(numbers(guided(predict, 2.0, 9)(z, t, label))[:, 0], [-7.0, -5.0, -3.0])
    np.testing.assert_allclose(numbers(guided(predict, 0.0, 9)(z, t, label))[:, 0], 9.0)


def test_hidden_labels_are_those_below_the_rate() -> None:
    label = ops.convert_to_tensor(np.array([4, 5, 6], "int32"))
    uniform = ops.convert_to_tensor(np.array([0.05, 0.1, 0.9], "float32"))
    np.testing.assert_array_equal(numbers(hide_labels(label, uniform, 0.1, 10)), [10, 5, 6])
