"""Merging is exact whatever adapters have learned: magnitudes below zero, at zero, and a thousand times too large."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase, backend
from genloom.model.naming import own_layers, variable_names
from genloom_adapt import DoRAOptions, IA3Options, LoRAOptions, adapt, adapters, merge, unmerge
from genloom_adapt.adapter import matrix_shape

KINDS: dict[str, Any] = {
    "lora": LoRAOptions(rank=3),
    "rslora": LoRAOptions(rank=3, alpha=5.0, scaling="rslora"),
    "lora-dropout": LoRAOptions(rank=3, dropout=0.3),
    "dora": DoRAOptions(rank=3),
    "dora-dropout": DoRAOptions(rank=3, dropout=0.3),
    "ia3-outputs": IA3Options(target="*", inputs=""),
    "ia3-inputs": IA3Options(target="dense", inputs="deep|line|past|plane|space"),
}

#: Name of a layer → what it takes, without the first axis.
INPUTS = {"dense": (7,), "deep": (2, 7), "line": (9, 3), "past": (9, 3), "plane": (6, 5, 2), "space": (4, 4, 3, 2)}


class Every(genloom.GenerativeModel):
    """One layer of each kind that takes adapters, side by side."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        layers = keras.layers
        self.dense = layers.Dense(5)
        self.deep = layers.Dense(4, use_bias=False)
        self.line = layers.Conv1D(4, 3, padding="same", dilation_rate=2)
        self.past = layers.Conv1D(4, 3, padding="causal")
        self.plane = layers.Conv2D(4, (3, 2), strides=2, use_bias=False)
        self.space = layers.Conv3D(3, 2)
        for name, shape in INPUTS.items():
            self.layer(name).build((None, *shape))

    def layer(self, name: str) -> Any:
        return dict(own_layers(self))[name]

    def phases(self) -> list[Phase]:
        return [Phase("all", lambda: self.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> Any:
        return sum(ops.mean(ops.square(self.layer(name)(batch[name]) - 1.0)) for name in INPUTS), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any], **options: Any) -> Any:
        return genloom.random.normal(keys, (1,))


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def inputs(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng((seed, 1))
    return {name: rng.standard_normal((6, *shape)).astype("float32") for name, shape in INPUTS.items()}


def adapted(kind: str, seed: int) -> Every:
    """A model whose adapters hold random numbers: of both signs, some of them zero, some a thousand times as large."""
    model, rng = Every(DataSpec((1,), kind="signal", value_range=None), seed=seed), np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))
    adapt(model, KINDS[kind], seed)
    for variable in model.trainable_variables:
        value = rng.standard_normal(variable.shape)
        value[rng.random(value.shape) < 0.15] = 0.0
        value[rng.random(value.shape) < 0.1] *= 1000.0
        variable.assign(value)
    return model


def outputs(model: Every, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array(model.layer(name)(x[name])) for name in INPUTS}


def rounding(model: Every, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How far float32 sums of the same terms may lie apart: one unit in the last place per term, of all that is added.

    What is added are the terms of x (W + s A B), each as large as it is before any cancels another.
    """
    found = {}
    for path, adapter in adapters(model).items():
        layer = model.layer(path)
        terms, sizes = matrix_shape(layer)[0], np.abs(array(layer.kernel.value)).reshape(matrix_shape(layer))
        if adapter.kind == "ia3":
            factor = np.abs(array(adapter.l.value))
            sizes = sizes * (factor if adapter.side == "outputs" else factor[:, None])
        else:
            terms += adapter.a.shape[1]
            sizes = sizes + adapter.scale * np.abs(array(adapter.a.value)) @ np.abs(array(adapter.b.value))
        if adapter.kind == "dora":
            sizes = sizes * np.abs(array(adapter._ratio(layer.kernel)))
        plain = type(layer).from_config({**layer.get_config(), "use_bias": False})
        plain.build((None, *INPUTS[path]))
        plain.kernel.assign(sizes.reshape(layer.kernel.shape))
        most = array(plain(np.abs(x[path]))) + (np.abs(array(layer.bias.value)).max() if layer.use_bias else 0.0)
        found[path] = 2 * (terms + 4) * np.finfo(np.float32).eps * most + 1e-30
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_changes_no_output_and_unmerging_brings_every_bit_back(kind: str, seed: int) -> None:
    model, x = adapted(kind, seed), inputs(seed)
    before, allowed = outputs(model, x), rounding(model, x)
    state = {name: array(v.value).copy() for name, v in variable_names(model).items()}
    record = merge(model)
    for name, value in outputs(model, x).items():
        assert (np.abs(value - before[name]) <= allowed.get(name, 0.0)).all(), name
    unmerge(model, record)
    assert all(np.array_equal(array(v.value), state[name]) for name, v in variable_names(model).items())
    assert all(np.array_equal(value, before[name]) for name, value in outputs(model, x).items())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_merged_can_be_merged_again_and_trained_on(kind: str) -> None:
    model, x = adapted(kind, 3), inputs(3)
    merge(model)
    before, kernels = outputs(model, x), {n: array(model.layer(n).kernel.value).copy() for n in INPUTS}
    merge(model)  # nothing has been learned since
    for name, value in kernels.items():
        assert array(model.layer(name).kernel.value) == pytest.approx(value, rel=1e-5, abs=1e-30), name
    variables = model.training_phases()[0].resolve()
    (loss, _), gradients = backend.value_and_grad(lambda: (model.loss_of(x)[0], ()), variables)
    expected = sum(np.mean((value.astype("float64") - 1.0) ** 2) for value in before.values())
    assert float(array(loss)) == pytest.approx(expected, rel=1e-4)
    assert all(np.isfinite(array(gradient)).all() for gradient in gradients)
    moved = sum(float(np.abs(array(gradient)).max()) > 0 for gradient in gradients)
    # Right after a merge B is zero, and so the gradient of A: of every other adapter's weight there is one.
    still = sum(v.name == "a" for v in variables)
    assert moved == len(variables) - still
