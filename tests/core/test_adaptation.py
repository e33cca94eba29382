"""LoRA: nothing changes at first, the frozen weights never, and merging computes the same."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase, random
from genloom.adaptation import LoRAOptions, adapt, merge, parse_adapter
from genloom.errors import ConfigError
from genloom.naming import variable_names

SPEC = DataSpec((3,), kind="signal", value_range=None)


class Two(genloom.GenerativeModel):
    """Two phases, each with a network of its own."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.first = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])
        self.second = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])

    def phases(self) -> list[Phase]:
        return [
            Phase("first", lambda: self.first.trainable_variables, lambda batch: self.error(self.first, batch)),
            Phase("second", lambda: self.second.trainable_variables, lambda batch: self.error(self.second, batch)),
        ]

    def error(self, network: Any, batch: dict[str, Any]) -> Any:
        return ops.mean(ops.square(network(batch["x"]) - 2.0 * ops.flip(batch["x"], axis=1))), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return self.second(self.first(random.normal(keys, (3,))))


def arrays(model: Any) -> dict[str, np.ndarray]:
    return {name: np.array(ops.convert_to_numpy(v.value)) for name, v in variable_names(model).items()}


def batches() -> Any:
    rng = np.random.default_rng(0)
    while True:
        yield ({"x": rng.standard_normal((16, 3)).astype("float32")},)


def trained(model: Any, steps: int = 40) -> Any:
    model.compile(keras.optimizers.Adam(0.05))
    return model.fit(batches(), steps_per_epoch=steps, epochs=2, shuffle=False, verbose=0).history


def drawn(model: Any) -> np.ndarray:
    return np.asarray(genloom.sample(model, 6, seed=1).samples)


def test_adapters_change_nothing_until_they_are_trained_and_frozen_weights_never() -> None:
    model = Two(SPEC, seed=3)
    before, samples = arrays(model), drawn(model)
    adapt(model, LoRAOptions(rank=2))
    assert np.array_equal(drawn(Two(SPEC, seed=3)), samples)
    assert drawn(model) == pytest.approx(samples, abs=0)
    names = {name for name in arrays(model) if name.startswith("adapters/")}
    assert names == {f"adapters/{path}/{part}" for path in ("first.0", "first.1", "second.0") for part in "ab"}
    history = trained(model)
    assert history["first_loss"][-1] < 0.7 * history["first_loss"][0]
    assert history["second_loss"][-1] < 0.7 * history["second_loss"][0]
    after = arrays(model)
    assert all(np.array_equal(after[name], value) for name, value in before.items() if name != "step")
    assert all(np.abs(after[name]).max() > 0 for name in names)


def test_the_term_is_the_papers() -> None:
    """The output is W x + (α / r) B A x."""
    model = Two(SPEC, seed=0)
    adapt(model, LoRAOptions(rank=2, alpha=6.0, target="second/*"))
    (adapter,) = model.adapters.values()
    rng = np.random.default_rng(0)
    a, b, x = (rng.standard_normal(shape).astype("float32") for shape in ((3, 2), (2, 3), (5, 3)))
    plain = np.asarray(ops.convert_to_numpy(model.second(x)))
    adapter.a.assign(a)
    adapter.b.assign(b)
    assert ops.convert_to_numpy(model.second(x)) == pytest.approx(plain + 3.0 * x @ a @ b, abs=1e-4)
    assert LoRAOptions(rank=4, alpha=6.0, scaling="rslora").scale == 3.0


def test_merging_computes_the_same_and_training_goes_on() -> None:
    model = Two(SPEC, seed=3)
    adapt(model, LoRAOptions(rank=2))
    trained(model)
    samples = drawn(model)
    merge(model)
    assert drawn(model) == pytest.approx(samples, abs=1e-5)
    # What was merged is a plain model's weights.
    plain = Two(SPEC, seed=9)
    for name, variable in variable_names(plain).items():
        variable.assign(arrays(model)[name])
    assert drawn(plain) == pytest.approx(samples, abs=1e-5)
    history = trained(model)
    assert history["first_loss"][-1] <= history["first_loss"][0]


def test_a_phase_without_an_adapted_layer_is_left_out() -> None:
    model = Two(SPEC, seed=3)
    adapt(model, LoRAOptions(rank=1, target="first/1"))
    assert [phase.name for phase in model.phases()] == ["first"]
    before = arrays(model)
    trained(model, steps=5)
    moved = {name for name, value in arrays(model).items() if not np.array_equal(value, before[name])}
    assert moved == {"adapters/first.1/a", "adapters/first.1/b", "step"}


def test_mistakes_are_named() -> None:
    model = Two(SPEC)
    with pytest.raises(ConfigError, match="first/0, first/1, second/0"):
        adapt(model, LoRAOptions(target="third/*"))
    with pytest.raises(ConfigError, match="no rank 9"):
        adapt(model, LoRAOptions(rank=9))
    with pytest.raises(ConfigError, match="no adapters"):
        merge(model)
    adapt(model, parse_adapter("lora:rank=1,target=first/*|second/*"))
    assert len(model.adapters) == 3
    with pytest.raises(ConfigError, match="adapted already"):
        adapt(model, LoRAOptions())
    with pytest.raises(ConfigError, match=r"Did you mean 'lora'"):
        parse_adapter("lor:rank=1")
    with pytest.raises(ConfigError, match="rank"):
        parse_adapter("lora:rnk=1")
