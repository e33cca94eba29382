"""LoRA: nothing changes at first, the frozen weights never, and merging computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, Phase, random
from genloom.errors import ConfigError, DataError, NotFoundError
from genloom.model.naming import variable_names
from genloom.plugins.registry import chosen
from genloom_adapt import (
    DoRAOptions,
    IA3Options,
    LoRAOptions,
    SoftOptions,
    adapt,
    adapters,
    detach,
    load_adapters,
    merge,
    save_adapters,
    swap_adapters,
    unmerge,
)

SPEC = DataSpec((3,), kind="signal", value_range=None)

#: Where the adapters are among a model's variables.
HERE = "preparations/adapt/adapters/"


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
    assert drawn(model) == pytest.approx(samples, abs=1e-6)  # TensorFlow fuses sums, and so rounds otherwise
    names = {name for name in arrays(model) if name.startswith(HERE)}
    assert names == {f"{HERE}{path}/{part}" for path in ("first.0", "first.1", "second.0") for part in "ab"}
    history = trained(model)
    assert history["first_loss"][-1] < 0.7 * history["first_loss"][0]
    assert history["second_loss"][-1] < 0.7 * history["second_loss"][0]
    assert np.abs(drawn(model) - samples).max() > 0.1  # what was compiled before has the adapters, too
    after = arrays(model)
    assert all(np.array_equal(after[name], value) for name, value in before.items() if name != "step")
    assert all(np.abs(after[name]).max() > 0 for name in names)


def test_the_term_is_the_papers() -> None:
    """The output is W x + (α / r) B A x."""
    model = Two(SPEC, seed=0)
    adapt(model, LoRAOptions(rank=2, alpha=6.0, target="second/*"))
    (adapter,) = adapters(model).values()
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
    assert [phase.name for phase in model.training_phases()] == ["first"]
    before = arrays(model)
    trained(model, steps=5)
    moved = {name for name, value in arrays(model).items() if not np.array_equal(value, before[name])}
    assert moved == {f"{HERE}first.1/a", f"{HERE}first.1/b", "step"}


def test_mistakes_are_named() -> None:
    model = Two(SPEC)
    with pytest.raises(ConfigError, match="first/0, first/1, second/0"):
        adapt(model, LoRAOptions(target="third/*"))
    with pytest.raises(ConfigError, match="no adapters"):
        merge(model)
    adapt(model, chosen("adapter", "lora:rank=1,target=first/*|second/*")[1])
    assert len(adapters(model)) == 3
    with pytest.raises(ConfigError, match="prepared already: adapt"):
        adapt(model, LoRAOptions(rank=1))
    with pytest.raises(NotFoundError, match=r"There is no adapter 'lor'\. Did you mean 'lora'"):
        chosen("adapter", "lor:rank=1")
    with pytest.raises(ConfigError, match=r"Unknown option 'adapt/lora:rnk'. Did you mean 'adapt/lora:rank'"):
        chosen("adapter", "lora:rnk=1")


def tuned(seed: int, **options: Any) -> Any:
    model = Two(SPEC, seed=3)
    adapt(model, LoRAOptions(**options), seed)
    trained(model, steps=8)
    return model


def test_adapters_alone_are_small_and_make_the_model_again(tmp_path: Path) -> None:
    model = tuned(1, rank=2, alpha=3.0)
    file = save_adapters(model, tmp_path / "mine.safetensors")
    assert file.stat().st_size < 2000
    again = Two(SPEC, seed=3)
    load_adapters(again, file)
    assert drawn(again) == pytest.approx(drawn(model), abs=1e-5)
    history = trained(again, steps=20)  # what is loaded can be trained on
    assert history["first_loss"][-1] < history["first_loss"][0]


def test_several_adapters_add_up_with_their_weights(tmp_path: Path) -> None:
    first, second = tuned(1, rank=2), tuned(2, rank=3, alpha=5.0, target="second/*", scaling="rslora")
    files = [save_adapters(model, tmp_path / f"{i}.safetensors") for i, model in enumerate((first, second))]
    model, plain = Two(SPEC, seed=3), Two(SPEC, seed=3)
    load_adapters(model, *files, weights=[1.0, -0.5])
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")

    def second_network(of: Any) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(of.second(x)))

    base = second_network(plain)
    expected = base + (second_network(first) - base) - 0.5 * (second_network(second) - base)
    assert second_network(model) == pytest.approx(expected, abs=1e-5)
    assert ops.convert_to_numpy(model.first(x)) == pytest.approx(
        np.asarray(ops.convert_to_numpy(first.first(x))), abs=1e-5
    )


def test_files_that_are_no_adapters_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no adapters"):
        save_adapters(Two(SPEC), tmp_path / "x")
    (tmp_path / "broken").write_bytes(b"\x10")
    for name in ("broken", "absent"):
        with pytest.raises(DataError, match=f"{name}' cannot be read"):
            load_adapters(Two(SPEC), tmp_path / name)
    file = save_adapters(tuned(1, rank=1), tmp_path / "mine")
    with pytest.raises(ConfigError, match="1 files of adapters got 2 weights"):
        load_adapters(Two(SPEC), file, weights=[1.0, 1.0])
    with pytest.raises(ConfigError, match="which this model does not have"):
        load_adapters(Convolved(PICTURE), file)


PICTURE = DataSpec((6, 6, 2), value_range=None)


class Convolved(Two):
    """One phase of convolutions, a step of two and a border among them."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        genloom.GenerativeModel.__init__(self, spec, options, **values)
        layers = keras.layers
        self.network = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(5, 3, padding="same", activation="tanh"),
                layers.Conv2D(4, 2, strides=2, use_bias=False),
                layers.Flatten(),
                layers.Dense(72),
                layers.Reshape((6, 6, 2)),
            ]
        )

    def phases(self) -> list[Phase]:
        return [Phase("all", lambda: self.network.trainable_variables, lambda batch: self.error(self.network, batch))]

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return self.network(random.normal(keys, (6, 6, 2)))


def pictures() -> Any:
    rng = np.random.default_rng(0)
    while True:
        yield ({"x": rng.standard_normal((8, 6, 6, 2)).astype("float32")},)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_convolutions_are_adapted_and_merged_like_matrices(dropout: float) -> None:
    model = Convolved(PICTURE, seed=1)
    samples, before = drawn(model), arrays(model)
    adapt(model, LoRAOptions(rank=8, dropout=dropout))
    assert drawn(model) == pytest.approx(samples, abs=1e-6)
    shapes = {name: value.shape for name, value in arrays(model).items() if name.startswith(f"{HERE}network.")}
    assert shapes[f"{HERE}network.0/a"] == (
        18,
        5,
    )  # 3 · 3 · 2 inputs; of five outputs the rank is five
    assert shapes[f"{HERE}network.1/b"] == (4, 4)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(pictures(), steps_per_epoch=20, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    after = arrays(model)
    assert all(np.array_equal(after[name], value) for name, value in before.items() if name != "step")
    assert all(np.abs(value).max() > 0 for name, value in after.items() if name.endswith("/b"))
    samples = drawn(model)
    merge(model)
    assert drawn(model) == pytest.approx(samples, abs=1e-5)


IA3 = IA3Options(target="first/0|second/*", inputs="first/1")


@pytest.mark.parametrize("options", [LoRAOptions(rank=2), DoRAOptions(rank=2), IA3], ids=["lora", "dora", "ia3"])
def test_every_kind_changes_nothing_at_first_learns_merges_unmerges_and_comes_off(options: Any, tmp_path: Path) -> None:
    model = Two(SPEC, seed=3)
    before, samples = arrays(model), drawn(model)
    adapt(model, options)
    assert drawn(model) == pytest.approx(samples, abs=2e-6)
    history = trained(model)
    assert history["first_loss"][-1] < 0.97 * history["first_loss"][0]
    learned, state = drawn(model), arrays(model)
    assert all(np.array_equal(state[name], value) for name, value in before.items() if name != "step")
    record = merge(model)
    assert drawn(model) == pytest.approx(learned, abs=1e-5)
    assert not np.array_equal(arrays(model)["first/0/kernel"], before["first/0/kernel"])
    unmerge(model, record)
    assert all(np.array_equal(arrays(model)[name], value) for name, value in state.items())
    file = save_adapters(model, tmp_path / "mine.safetensors")
    detach(model)
    assert drawn(model) == pytest.approx(samples, abs=1e-6)
    load_adapters(model, file)
    assert drawn(model) == pytest.approx(learned, abs=1e-5)


def test_dora_is_the_papers_equation() -> None:
    """The output is m (W + s B A) x / ‖W + s B A‖ per output, and m begins as the lengths of W."""
    model = Two(SPEC, seed=0)
    kernel = arrays(model)["second/0/kernel"]
    adapt(model, DoRAOptions(rank=2, alpha=6.0, target="second/*"))
    (adapter,) = adapters(model).values()
    assert ops.convert_to_numpy(adapter.m.value) == pytest.approx(np.linalg.norm(kernel, axis=0), rel=1e-5)
    rng = np.random.default_rng(0)
    a, b, x, m = (rng.standard_normal(shape).astype("float32") for shape in ((3, 2), (2, 3), (5, 3), (3,)))
    for variable, value in ((adapter.a, a), (adapter.b, b), (adapter.m, m)):
        variable.assign(value)
    whole = kernel + 3.0 * a @ b
    expected = x @ (m * whole / np.linalg.norm(whole, axis=0))
    assert ops.convert_to_numpy(model.second(x)) == pytest.approx(expected, abs=1e-4)


def test_ia3_scales_no_layer_on_both_sides() -> None:
    with pytest.raises(ConfigError, match=r"target='first/\*' and inputs='\*/1' name 'first/1'\. Let each name others"):
        adapt(Two(SPEC, seed=0), IA3Options(target="first/*", inputs="*/1"))
    model = Two(SPEC, seed=0)
    adapt(model, IA3Options(target="first/*", inputs=""))
    assert {adapter.side for adapter in adapters(model).values()} == {"outputs"}


def test_ia3_scales_outputs_and_inputs() -> None:
    model = Two(SPEC, seed=0)
    w, c = arrays(model)["first/0/kernel"], arrays(model)["first/1/kernel"]
    adapt(model, IA3Options(target="first/0", inputs="first/1"))
    rng = np.random.default_rng(0)
    outer, inner, x = (rng.standard_normal(shape).astype("float32") for shape in ((8,), (8,), (5, 3)))
    adapters(model)["first.0"].l.assign(outer)
    adapters(model)["first.1"].l.assign(inner)
    expected = (np.tanh((x @ w) * outer) * inner) @ c
    assert ops.convert_to_numpy(model.first(x)) == pytest.approx(expected, abs=1e-5)


def test_adapters_are_swapped_and_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    models = {"lora": tuned(1, rank=2), "other": tuned(2, rank=1)}
    files = {name: save_adapters(model, tmp_path / name) for name, model in models.items()}
    ia3 = Two(SPEC, seed=3)
    adapt(ia3, IA3)
    trained(ia3, steps=8)
    files["ia3"] = save_adapters(ia3, tmp_path / "ia3")
    model = models["lora"]
    for name, like in (("other", models["other"]), ("ia3", ia3)):
        swap_adapters(model, files[name])
        assert drawn(model) == pytest.approx(drawn(like), abs=1e-5)
    samples = drawn(model)
    with pytest.raises(ConfigError, match="not added up"):
        swap_adapters(model, files["lora"], files["ia3"])
    with pytest.raises(DataError, match="absent' cannot be read"):
        swap_adapters(model, tmp_path / "absent")
    assert np.array_equal(drawn(model), samples)
    with pytest.raises(ConfigError, match="no adapters"):
        swap_adapters(Two(SPEC), files["lora"])
    with pytest.raises(ConfigError, match="no learned prompt of kind 'soft'"):
        adapt(Two(SPEC), SoftOptions())
    with pytest.raises(ConfigError, match="no first/0/kernel"):
        unmerge(Convolved(PICTURE), {"first/0/kernel": np.zeros((3, 8))})


def test_dora_and_ia3_adapt_convolutions() -> None:
    for options in (DoRAOptions(rank=3, dropout=0.1), IA3Options(target="network/0|network/3", inputs="network/1")):
        model = Convolved(PICTURE, seed=1)
        samples = drawn(model)
        adapt(model, options)
        assert drawn(model) == pytest.approx(samples, abs=2e-6)
        model.compile(keras.optimizers.Adam(0.02))
        losses = model.fit(pictures(), steps_per_epoch=20, epochs=3, shuffle=False, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        learned = drawn(model)
        merge(model)
        assert drawn(model) == pytest.approx(learned, abs=1e-5)
