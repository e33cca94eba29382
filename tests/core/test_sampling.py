"""Sampling: the same sample at any batch size, labels by seed, checked conditions, options and ranges."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import genloom
from genloom import backend
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, NotFoundError, PluginError, RunError
from genloom.modalities import Modality
from genloom.model.family import Family
from genloom.plugins import hooks
from genloom.plugins.discovery import load_file
from genloom.sampling import conditions, drawing


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


@pytest.fixture(scope="module")
def vae(models: Any) -> Any:
    return genloom.create("tests/vae", models.SPEC, seed=1, conditional=True)


def test_a_sample_is_the_same_at_any_batch_size_and_offset(vae: Any) -> None:
    whole = genloom.sample(vae, 11, seed=7)
    assert whole.samples.dtype == np.float32
    assert whole.samples.shape == (11, 4)
    for chunk in (1, 4, 64):
        drawn = genloom.sample(vae, 11, seed=7, chunk=chunk)
        np.testing.assert_allclose(drawn.samples, whole.samples, atol=1e-6)
        np.testing.assert_array_equal(drawn.labels, whole.labels)
    later = genloom.sample(vae, 4, seed=7, offset=7)
    np.testing.assert_allclose(later.samples, whole.samples[7:], atol=1e-6)
    np.testing.assert_array_equal(later.labels, whole.labels[7:])
    np.testing.assert_array_equal(later.seeds, [[7, 7], [7, 8], [7, 9], [7, 10]])
    assert np.abs(genloom.sample(vae, 11, seed=8).samples - whole.samples).max() > 1e-2


def test_options_that_draw_hands_on_are_known_by_whom_it_hands_them_to(models: Any) -> None:
    """A misspelt one is no option of the class above, and one of the network none of sampling."""
    above = type(genloom.create("tests/vae", models.SPEC))

    class Halved(above):  # type: ignore[misc, valid-type]
        def draw(self, keys: Any, condition: dict[str, Any], *, times: float = 0.5, **asked: Any) -> Any:
            return times * super().draw(keys, condition, **asked)

    model = Halved(models.SPEC)
    half, whole = (genloom.sample(model, 3, scale=0.1, times=k).samples for k in (0.5, 1.0))
    np.testing.assert_allclose(whole, 2 * half, atol=1e-6)
    for name in ("scales", "hidden"):
        with pytest.raises(ConfigError, match=rf"Halved has no sampling option '{name}'.*Options: times, scale"):
            genloom.sample(model, 3, **{name: 0.5})


def test_one_function_is_compiled_per_chunk_and_options(vae: Any) -> None:
    first = genloom.sample(vae, 5, seed=1, chunk=3, scale=0.5)
    again = genloom.sample(vae, 7, seed=2, chunk=3, scale=0.5)
    assert 0 < first.compile_seconds <= first.seconds
    assert again.compile_seconds == 0.0
    other = genloom.sample(vae, 5, seed=1, chunk=3, scale=0.25)
    assert other.compile_seconds > 0
    assert np.abs(other.samples - first.samples).max() > 1e-3


def test_the_chunk_suits_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, point = genloom.DataSpec((32, 32, 3)), genloom.DataSpec((2,), kind="signal", value_range=None)
    gigabyte = 2**30
    assert drawing._chunk(1000, point, gigabyte) == 256
    assert drawing._chunk(5, point, gigabyte) == 8
    assert drawing._chunk(1000, picture, gigabyte) == 64  # 8 * 128 * 4 * 3072 bytes each
    assert drawing._chunk(1000, picture, 2 * gigabyte) == 128
    assert drawing._chunk(1000, picture, 1) == 1


def test_a_chunk_that_memory_does_not_hold_is_halved(
    vae: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, sizes = genloom.sample(vae, 11, seed=7), []

    class Full(Exception):
        """What an engine raises."""

    def sampler(size: int, options: Any) -> Any:
        sizes.append(size)
        draw, first = real(size, options)

        def limited(*args: Any) -> Any:
            if size > limit:
                raise Full
            return draw(*args)

        return limited, first

    real, limit = vae.sampler, 4
    monkeypatch.setattr(vae, "sampler", sampler)
    monkeypatch.setattr(backend, "ran_out_of_memory", lambda error: isinstance(error, Full))
    drawn = genloom.sample(vae, 11, seed=7)
    assert sizes == [16, 8, 4]
    np.testing.assert_allclose(drawn.samples, whole.samples, atol=1e-6)
    assert capfd.readouterr().err.count("memory ran out") == 2
    with pytest.raises(Full):
        genloom.sample(vae, 11, seed=7, chunk=8)
    limit = 0
    with pytest.raises(RunError, match="does not hold one sample"):
        genloom.sample(vae, 11, seed=7)


def test_an_engine_knows_its_memory_and_that_it_ran_out() -> None:
    assert backend.memory() > 2**28
    with pytest.raises(Exception, match=r"(?i)memory|resource|allocat") as caught:
        keras.ops.convert_to_numpy(keras.ops.ones((1 << 22, 1 << 22)))  # 64 TiB
    assert backend.ran_out_of_memory(caught.value)
    assert not backend.ran_out_of_memory(ValueError("no"))


def test_labels_follow_the_training_frequencies_or_the_condition(models: Any, vae: Any) -> None:
    labels = conditions.drawn_labels(models.SPEC, 20_000, seed=3)
    # Binomial with p = 0.75: one standard deviation of the share is 0.003.
    assert labels.mean() == pytest.approx(0.75, abs=0.012)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(conditions.drawn_labels(models.SPEC, 50, seed=3, offset=100), labels[100:150])
    assert genloom.sample(vae, 3, condition={"label": 1}).labels.tolist() == [1, 1, 1]
    assert genloom.sample(vae, 2, condition={"label": np.array([1, 0], object)}).labels.tolist() == [1, 0]
    one, zero = (genloom.sample(vae, 3, condition={"label": [0, k, 0]}).samples for k in (1, 0))
    changed = np.abs(one - zero).max(axis=1) > 1e-4
    assert changed.tolist() == [False, True, False]


def test_a_model_without_labels_claims_none(models: Any) -> None:
    model = genloom.create("tests/vae", models.SPEC)
    assert genloom.sample(model, 3).labels is None
    with pytest.raises(ConfigError, match="takes no condition 'label'"):
        genloom.sample(model, 3, condition={"label": 1})


def toned(models: Any) -> Any:
    class Toned(Family):
        spec, conditional, conditions = models.SPEC, False, ("tone",)

    return Toned()


def test_conditions_of_python_objects_become_numbers_or_text_or_are_refused(models: Any) -> None:
    model = toned(models)
    for given, kind in (([1, 2.5], "f"), (["low", "high"], "U")):
        found = conditions.conditions(model, 2, 0, {"tone": np.array(given, object)})["tone"]
        assert (found.dtype.kind, found.tolist()) == (kind, given)
    with pytest.raises(ConfigError, match=r"The condition 'tone' holds NoneType, int\. Give numbers only"):
        conditions.conditions(model, 2, 0, {"tone": np.array([1, None])})


class Heights(Modality):
    """A tone may be written as a note."""

    def condition(self, name: str, rows: Any, spec: DataSpec) -> Any:
        return np.array([["cdefgab".index(note)] for note in rows]) if name == "tone" else rows


def test_a_condition_is_written_as_its_kind_of_data_writes_it(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toned(models)
    monkeypatch.setattr(conditions, "modality_of", lambda spec: Heights())
    for given in ("e", ["e", "e"]):
        assert conditions.conditions(model, 2, 0, {"tone": given})["tone"].tolist() == [[2], [2]]
    with pytest.raises(ConfigError, match="The condition 'tone' cannot be read from 'h': substring not found"):
        conditions.conditions(model, 2, 0, {"tone": "h"})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"scal": 2}, "Did you mean 'scale'"),
        ({"condition": {"lable": 1}}, "Did you mean 'label'"),
        ({"condition": {"label": 2}}, "no class 2"),
        ({"condition": {"label": -1}}, "no class -1"),
        ({"condition": {"label": 0.5}}, "whole number"),
        ({"condition": {"label": np.array([0, None, 1])}}, r"whole number from 0 to 1, got \[0, None, 1\]"),
        ({"condition": {"label": [0, 1]}}, "3 samples need 3 labels"),
        ({"weights": "emma"}, "Did you mean 'ema'"),
    ],
)
def test_what_does_not_fit_is_refused(vae: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        genloom.sample(vae, **{"n": 3, **asked})


def test_values_out_of_range_or_not_finite_name_the_model(models: Any) -> None:
    with pytest.raises(PluginError, match=r"Plain\.draw\(\) returned values in .*: its data are in \[0, 1\]"):
        genloom.sample(genloom.create("tests/plain", models.SPEC), 64)
    model = genloom.create("tests/vae", models.SPEC)
    kernel = model.decoder.layers[0].kernel
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    with pytest.raises(RunError, match="4 of 4 samples of VAE are not finite"):
        genloom.sample(model, 4)


def test_plugins_wrap_sampling_and_a_failing_one_fails_it(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watching:
        @genloom.hookimpl(wrapper=True)
        def genloom_sample(self, run: Any, request: Any) -> Any:
            seen.append((run, request.n, request.seed))
            return (yield)

    class Breaking:
        @genloom.hookimpl(wrapper=True)
        def genloom_sample(self) -> Any:
            yield
            raise ValueError("out of paper")

    for plugin in (Watching(), Breaking()):
        manager = hooks.manager()
        manager.register(plugin)
        try:
            if isinstance(plugin, Watching):
                genloom.sample(vae, 2, seed=9)
            else:
                with pytest.raises(PluginError, match="out of paper") as failure:
                    genloom.sample(vae, 2)
                assert failure.value.exit_code == 3
        finally:
            manager.unregister(plugin)
    assert seen == [(None, 2, 9)]


def test_create_checks_ids_options_networks_and_kinds(models: Any) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'tests/vae'"):
        genloom.create("tests/vea", models.SPEC)
    with pytest.raises(ConfigError, match="Did you mean 'latent'"):
        genloom.create("tests/vae", models.SPEC, latnt=3)
    with pytest.raises(ConfigError, match="takes signal data, got image"):
        genloom.create("tests/vae", models.SPEC.replace(kind="image", shape=(2, 2, 1)))
    with pytest.raises(ConfigError, match="Did you mean 'encoder'"):
        genloom.create("tests/vae", models.SPEC, networks={"encodr": None})
    own = models.dense(4, 4)
    before = keras.ops.convert_to_numpy(own.layers[0].kernel).copy()
    model = genloom.create("tests/vae", models.SPEC, networks={"encoder": own}, seed=5)
    assert model.encoder is own
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.encoder.layers[0].kernel), before)


def test_a_model_takes_labels_as_it_says_else_wherever_there_are_classes(models: Any) -> None:
    def asked(says: bool | None, spec: DataSpec = models.SPEC) -> bool:
        model = Family()
        model.spec, model.conditional = spec, says
        return model.takes_labels

    unlabelled = models.SPEC.replace(classes=0, class_frequencies=())
    assert [asked(None), asked(True), asked(False)] == [True, True, False]
    assert [asked(None, unlabelled), asked(True, unlabelled)] == [False, False]
