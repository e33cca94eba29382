"""The kits of what runs without Keras: sound components pass, and each broken promise fails its own test."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom import option
from genloom.data import ArraySplit, Dataset, DataSpec
from genloom.errors import ConfigError
from genloom.metrics.component import metric_component
from genloom.modalities import Modality
from genloom.plugins.offers import Component
from genloom.testing import (
    DatasetConformance,
    MetricConformance,
    ModalityConformance,
    PostprocessorConformance,
    outcome,
)

pytestmark = pytest.mark.any_engine


def failures(kit: type, **attributes: Any) -> dict[str, str]:
    return outcome.failures(type("Kit", (kit,), attributes))


@dataclasses.dataclass(frozen=True)
class Here(Component):
    """A component whose target is at hand."""

    function: Any = None

    def load(self) -> Any:
        return self.function


def component(kind: str, function: Any, **fields: Any) -> Here:
    return Here(kind, "mine/thing", "m:a", "One line.", function=function, **{"accepts": ("image",), **fields})


@dataclasses.dataclass(frozen=True)
class Rounded:
    """Options that do not come back as they were."""

    level: float = option(0.5, "a level")

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", 2 * self.level)


def common(kit: type, kind: str, function: Any) -> None:
    wide = component(kind, function, options=Rounded)
    assert set(failures(kit, component=lambda self: wide)) >= {"test_configuration_round_trips"}
    dumb = dataclasses.replace(component(kind, function), summary="two\nlines")
    assert set(failures(kit, component=lambda self: dumb)) == {"test_it_has_a_summary"}


# Data sets


SPEC = DataSpec((4,), kind="signal", value_range=(0.0, 1.0), classes=2)


def rows(n: int, seed: int) -> ArraySplit:
    rng = np.random.default_rng(seed)
    return ArraySplit(rng.random((n, 4), "float32"), rng.integers(0, 2, n))


def dataset(spec: DataSpec = SPEC, train: Any = None, test: Any = None, fingerprint: str = "f" * 16) -> Dataset:
    return Dataset("mine/rows", spec, train or rows(40, 0), test or rows(10, 1), fingerprint)


class Moody(ArraySplit):
    """Rows that depend on how many are asked for."""

    def take(self, indices: Any) -> Any:
        batch = super().take(indices)
        return {**batch, "x": batch["x"] * np.float32(1 - 0.001 * len(batch["x"]))}


_counter = itertools.count()
_x = np.random.default_rng(0).random((40, 4), "float32")
_y = np.zeros(40, "int32")

DATASETS = [
    (lambda: dataset(SPEC.replace(shape=(5,))), "test_samples_are_what_the_spec_says"),
    (lambda: dataset(train=ArraySplit(_x * 3, _y)), "test_samples_are_what_the_spec_says"),
    (lambda: dataset(train=ArraySplit(np.where(_x > 0.9, np.nan, _x), _y)), "test_samples_are_what_the_spec_says"),
    (lambda: dataset(train=ArraySplit(_x)), "test_labels_are_classes"),
    (lambda: dataset(train=ArraySplit(_x, _y + 2)), "test_labels_are_classes"),
    (lambda: dataset(SPEC.replace(classes=0)), "test_labels_are_classes"),
    (lambda: dataset(train=Moody(_x, _y)), "test_rows_are_the_same_in_any_order"),
    (lambda: dataset(train=rows(40, next(_counter) + 100)), "test_rows_are_the_same_in_any_order"),
    (lambda: dataset(fingerprint=""), "test_the_fingerprint_tells_the_data"),
    (lambda: dataset(fingerprint=str(next(_counter))), "test_the_fingerprint_tells_the_data"),
    (lambda: dataset(test=rows(10, 0)), "test_nothing_held_out_is_trained_on"),
]


def of_dataset(make: Callable[[], Dataset]) -> dict[str, str]:
    held = component("dataset", None)
    return failures(DatasetConformance, opened=lambda self: make(), component=lambda self: held)


def test_a_sound_data_set_passes() -> None:
    assert of_dataset(dataset) == {}
    assert failures(DatasetConformance, id="digits") == {}


@pytest.mark.parametrize(("make", "name"), DATASETS)
def test_a_broken_data_set_fails_its_own_test(make: Callable[[], Dataset], name: str) -> None:
    try:
        failed = of_dataset(make)
    except ConfigError as error:  # some lies the core itself refuses, with a line of its own
        pytest.fail(f"refused before the kit could say so: {error}")
    assert set(failed) == {name}
    assert "Promise broken" in failed[name]


# Metrics


def spread(samples: Any, context: Any) -> float:
    """How far the mean of the samples is from that of the real ones."""
    return float(np.abs(samples.samples.mean(0) - context.test.samples.mean(0)).mean() + samples.samples.std(0).mean())


def scaling(samples: Any, context: Any) -> float:
    value = spread(samples, context)
    samples.samples[:] = samples.samples * 0.5
    return value


METRICS = [
    (lambda s, c: float("nan"), "test_the_value_is_finite_and_repeats"),
    (lambda s, c: spread(s, c) + 1e-3 * next(_counter), "test_the_value_is_finite_and_repeats"),
    (scaling, "test_samples_are_left_as_they_are"),
    (lambda s, c: spread(s, c) + 0.01 * float(s.samples[0].mean()), "test_the_order_of_samples_does_not_matter"),
    (lambda s, c: -spread(s, c), "test_noise_scores_worse_than_real_samples"),
]
# A score that drifts from call to call is not the same in another order either, and NaN is worse than nothing.
ALSO = {"test_the_value_is_finite_and_repeats": {
    "test_the_order_of_samples_does_not_matter", "test_noise_scores_worse_than_real_samples"
}}  # fmt: skip


def of_metric(function: Any) -> dict[str, str]:
    traits = metric_component("mine/thing", "m:a", "One line.", lower_is_better=True)
    made = component("metric", function, metric=traits.metric)
    return failures(MetricConformance, component=lambda self: made)


def test_a_sound_metric_passes() -> None:
    assert of_metric(spread) == {}
    assert failures(MetricConformance, id="fd-pca20") == {}
    common(MetricConformance, "metric", spread)


@pytest.mark.parametrize(("function", "name"), METRICS)
def test_a_broken_metric_fails_its_own_test(function: Any, name: str) -> None:
    failed = of_metric(function)
    assert name in failed
    assert set(failed) - ALSO.get(name, set()) == {name}


# Post-processors


def invert(samples: Any, spec: DataSpec, options: Any) -> Any:
    low, high = spec.value_range or (0.0, 1.0)
    return low + high - samples, spec


def in_place(samples: Any, spec: DataSpec, options: Any) -> Any:
    samples *= 0.5
    return samples.copy(), spec


POSTPROCESSORS = [
    (lambda x, spec, o: (3.0 * x + 1.0, spec), "test_the_result_is_what_its_spec_says"),
    (lambda x, spec, o: (np.full_like(x, np.nan), spec), "test_the_result_is_what_its_spec_says"),
    (in_place, "test_samples_are_left_as_they_are"),
    (
        lambda x, spec, o: (np.random.default_rng(next(_counter)).permuted(x, axis=0), spec),
        "test_the_same_samples_give_the_same_result",
    ),
    (
        lambda x, spec, o: (np.clip(x - x.mean(), *spec.value_range), spec),
        "test_a_sample_does_not_depend_on_the_others",
    ),
]


def keep_last(samples: Any, options: Any, origin: Any) -> Any:
    return samples.take(np.arange(2, len(samples)))


def shuffled_labels(samples: Any, options: Any, origin: Any) -> Any:
    return samples.replace(labels=samples.labels[::-1])


def same_seed(samples: Any, options: Any, origin: Any) -> Any:
    return samples.replace(seeds=np.zeros_like(samples.seeds))


def of_postprocessor(function: Any, **fields: Any) -> dict[str, str]:
    made = component("postprocessor", function, **fields)
    return failures(PostprocessorConformance, component=lambda self: made)


def test_a_sound_postprocessor_passes() -> None:
    assert of_postprocessor(invert) == {}
    for id in ("clip", "rescale", "threshold", "upscale"):
        assert failures(PostprocessorConformance, id=id, hooks="genloom.builtin") == {}
    common(PostprocessorConformance, "postprocessor", invert)


@pytest.mark.parametrize(("function", "name"), POSTPROCESSORS)
def test_a_broken_postprocessor_fails_its_own_test(function: Any, name: str) -> None:
    failed = of_postprocessor(function)
    assert name in failed
    allowed = {"test_a_sample_does_not_depend_on_the_others"} if "same_samples" in name else set()
    assert set(failed) - allowed == {name}


def test_whole_sets_may_shrink_and_their_labels_and_seeds_stay() -> None:
    def failed(function: Any) -> set[str]:
        made = component("postprocessor", function, whole=True)
        spec = DataSpec((8, 8, 1), classes=3)
        return set(failures(PostprocessorConformance, component=lambda self: made, spec=spec))

    assert failed(keep_last) == set()
    for broken in (shuffled_labels, same_seed):
        assert failed(broken) == {"test_labels_and_seeds_stay_with_their_samples"}


def test_a_postprocessor_must_say_what_it_takes() -> None:
    assert set(of_postprocessor(invert, accepts=())) == {"test_it_declares_the_kinds_it_takes"}


# Modalities


def ones(samples: np.ndarray) -> np.ndarray:
    return np.ones(len(samples))


def read(content: bytes) -> Any:
    return np.load(io.BytesIO(content))["samples"]


class Sound(Modality):
    features = "mean"

    def readers(self) -> Any:
        return {".npz": read}

    def summary(self, samples: np.ndarray, spec: DataSpec) -> Any:
        return {"ones": ones(samples)}

    def featured(self, samples: np.ndarray, spec: DataSpec) -> np.ndarray:
        return samples.reshape(len(samples), -1).mean(axis=1, keepdims=True)


class Lossy(Sound):
    def readers(self) -> Any:
        return {".npz": lambda content: 0.5 * read(content)}


class Cut(Sound):
    def readers(self) -> Any:
        return {".npz": lambda content: read(content)[1:]}


class Brittle(Sound):
    def readers(self) -> Any:
        return {".npz": lambda content: read(content) if content.startswith(b"PK") else {}["samples"]}


class Shadowing(Sound):
    def summary(self, samples: np.ndarray, spec: DataSpec) -> Any:
        return {"nan": ones(samples)}


class Summed(Sound):
    def summary(self, samples: np.ndarray, spec: DataSpec) -> Any:
        return {"total": ones(samples).sum()}


class Flat(Sound):
    def featured(self, samples: np.ndarray, spec: DataSpec) -> np.ndarray:
        return samples.reshape(-1)


class Ranked(Sound):
    def featured(self, samples: np.ndarray, spec: DataSpec) -> np.ndarray:
        return super().featured(samples, spec).argsort(axis=0)


class Faceless(Sound):
    def pictured(self, spec: DataSpec) -> bool:
        return True

    def picture(self, samples: np.ndarray, spec: DataSpec, columns: Any = None, labels: Any = None) -> Any:
        return Image.new("L", (0, 0))


CORES = [
    DataSpec((8, 8, 1)),
    DataSpec((3, 8, 8, 1), kind="video", rate=10.0),
    DataSpec((16, 2), kind="signal", value_range=None),
    DataSpec((3,), kind="table", value_range=None, columns=("a", "b", "c")),
    DataSpec((16, 12), kind="music"),
]


@pytest.mark.parametrize("spec", CORES, ids=lambda spec: spec.kind)
def test_the_cores_modalities_pass(spec: DataSpec) -> None:
    assert failures(ModalityConformance, id=spec.kind, spec=spec) == {}


def of_modality(modality: Modality) -> set[str]:
    made = component("modality", modality)
    kept = failures(ModalityConformance, component=lambda self: made)
    assert kept.pop("test_data_of_its_kind_find_it")  # images are found under their own name
    return set(kept)


def test_a_sound_modality_passes() -> None:
    assert of_modality(Sound()) == set()


MODALITIES = [
    (Lossy, "test_what_it_writes_it_reads"),
    (Cut, "test_what_it_writes_it_reads"),
    (Brittle, "test_a_file_that_is_none_is_refused"),
    (Shadowing, "test_its_summary_has_a_number_for_each_sample"),
    (Summed, "test_its_summary_has_a_number_for_each_sample"),
    (Flat, "test_features_are_amounts_of_each_sample"),
    (Ranked, "test_features_are_amounts_of_each_sample"),
    (Faceless, "test_a_picture_is_drawn_where_one_is_promised"),
]


@pytest.mark.parametrize(("modality", "name"), MODALITIES)
def test_a_broken_modality_fails_its_own_test(modality: type[Modality], name: str) -> None:
    assert of_modality(modality()) == {name}
