"""The promises of data sets, metrics, post-processors and modalities, as pytest classes to inherit."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

import numpy as np
import pytest

from genloom.data.check import inspect
from genloom.data.dataset import ArraySplit, Dataset
from genloom.data.opening import open
from genloom.data.order import drawn_rows
from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.data.summary import Summary
from genloom.errors import ConfigError, DataError
from genloom.metrics.context import MetricContext
from genloom.modalities import Modality, known, modality_of
from genloom.modalities.writing import writers
from genloom.options import configure
from genloom.postprocess import Chain, Origin, Step
from genloom.testing.data import made_up
from genloom.testing.offered import Offered

__all__ = ["DatasetConformance", "MetricConformance", "ModalityConformance", "PostprocessorConformance"]


class _Conformance(Offered):
    """What the kits of what runs without Keras share: the promises that all of these kinds make."""

    options: ClassVar[dict[str, Any]] = {}
    """Option values to test it with."""

    def test_configuration_round_trips(self) -> None:
        """Options survive being written as JSON and read again."""
        component = self.component()
        options = component.configure(**self.options)
        if options is None:
            return
        assert dataclasses.is_dataclass(options)
        plain = json.loads(json.dumps(dataclasses.asdict(options)))  # type: ignore[arg-type]
        try:
            again = configure(type(options), plain)
        except ConfigError as error:
            raise AssertionError(f"Promise broken: the options cannot be read back: {error}") from error
        assert again == options, f"Promise broken: options read back differ: {options} became {again}."

    def test_it_has_a_summary(self) -> None:
        """`genloom list` shows one line."""
        summary = self.component().summary
        assert summary.strip() and "\n" not in summary, f"Promise broken: the summary is {summary!r}, not one line."


class DatasetConformance(_Conformance):
    """Inherit in a test module, as `class TestMine(DatasetConformance): id = "my/rows"; rest = "…"`."""

    kind = "dataset"
    rest: ClassVar[str] = ""
    """What follows the colon of the address, such as a file."""

    def opened(self) -> Dataset:
        """Return the data set, opened anew."""
        self.component()
        return open(f"{self.id}:{self.rest}" if self.rest else self.id, **self.options)

    def test_samples_are_what_the_spec_says(self) -> None:
        """Every sample has the shape and the range of the spec, is finite, and in float32 or whole numbers."""
        dataset = self.opened()
        report = self._inspected(dataset)
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            assert len(split) > 0, f"Promise broken: the split {name} is empty."
            x = split.take([0])["x"]
            assert x.shape[1:] == dataset.spec.shape, (
                f"Promise broken: {name} gives the shape {x.shape[1:]}, the spec says {dataset.spec.shape}."
            )
            assert report[name]["nan"] == 0, f"Promise broken: {name} has numbers that are not finite."
            outside = report[name]["out_of_range"]
            assert not outside, f"Promise broken: {outside} values of {name} are outside {dataset.spec.value_range}."

    def test_labels_are_classes(self) -> None:
        """A spec with classes has a label for every sample, below their number; one without has none."""
        dataset = self.opened()
        batch = dataset.train.take(drawn_rows(len(dataset.train), 1000))
        if not dataset.spec.classes:
            assert "label" not in batch, "Promise broken: there are labels, and the spec has no classes."
            return
        assert "label" in batch, "Promise broken: the spec has classes, and there are no labels."
        low, high = int(batch["label"].min()), int(batch["label"].max())
        assert low >= 0 and high < dataset.spec.classes, (
            f"Promise broken: labels run from {low} to {high}, the spec has {dataset.spec.classes} classes."
        )

    def test_rows_are_the_same_in_any_order(self) -> None:
        """Row i is row i, alone or among others, today and when opened again."""
        dataset, again = self.opened(), self.opened()
        n = min(len(dataset.train), 16)
        rows = np.arange(n)[::-1]
        together = dataset.train.take(rows)["x"]
        alone = np.concatenate([dataset.train.take([i])["x"] for i in rows])
        assert np.array_equal(together, alone, equal_nan=True), "Promise broken: a row depends on what it is read with."
        later = again.train.take(rows)["x"]
        assert np.array_equal(together, later, equal_nan=True), "Promise broken: opened again, a row differs."

    def test_the_fingerprint_tells_the_data(self) -> None:
        """A fingerprint is there, and the same when the same data are opened again."""
        first, again = self.opened().fingerprint, self.opened().fingerprint
        assert first, "Promise broken: the fingerprint is empty."
        assert first == again, f"Promise broken: the fingerprint of the same data was {first}, then {again}."

    def test_nothing_held_out_is_trained_on(self) -> None:
        """The two splits share no sample."""
        leaked = self._inspected(self.opened())["leaked"]
        assert not leaked, f"Promise broken: {leaked} held-out samples are among the training samples."

    def _inspected(self, dataset: Dataset) -> dict[str, Any]:
        try:
            return inspect(dataset)
        except DataError as error:
            pytest.skip(f"see test_labels_are_classes: {error}")


class MetricConformance(_Conformance):
    """Inherit in a test module, as `class TestMine(MetricConformance): id = "my/distance"`."""

    kind = "metric"
    spec: ClassVar[DataSpec] = DataSpec((4, 4, 1), classes=3)
    """Data to measure on."""
    n: ClassVar[int] = 200
    """Samples of each set."""

    def context(self) -> MetricContext:
        """Return the real side."""
        return MetricContext(self._set(0, 2 * self.n), self._set(1, self.n), self.spec)

    def _set(self, seed: int, n: int) -> Samples:
        batch = made_up(self.spec, n, seed)
        return Samples(batch["x"], self.spec, batch.get("label"))

    def score(self, samples: Samples) -> float:
        """Return the metric's value for samples."""
        own = samples.replace(samples=samples.samples.copy())
        return float(self.component().load()(own, self.context()))

    def noise(self) -> Samples:
        """Return samples that are plainly worse than real ones: uniform over the upper half of the range."""
        low, high = self.spec.value_range or (-1.0, 1.0)
        x = np.random.default_rng(7).uniform((low + high) / 2, high, (self.n, *self.spec.shape)).astype("float32")
        return Samples(x, self.spec, self._set(2, self.n).labels)

    def test_the_value_is_finite_and_repeats(self) -> None:
        """The same samples have the same finite score."""
        first, again = self.score(self._set(2, self.n)), self.score(self._set(2, self.n))
        assert np.isfinite(first), f"Promise broken: real samples score {first}."
        assert first == again, f"Promise broken: the same samples scored {first}, then {again}."

    def test_samples_are_left_as_they_are(self) -> None:
        """A metric writes to none of its arguments."""
        samples = self._set(2, self.n)
        before = samples.samples.copy()
        self.component().load()(samples, self.context())
        kept = np.array_equal(before, samples.samples)
        assert kept, "Promise broken: the metric changes the samples that it measures."

    def test_the_order_of_samples_does_not_matter(self) -> None:
        """A set has no order."""
        samples = self._set(2, self.n)
        value, turned = self.score(samples), self.score(samples.take(np.arange(self.n)[::-1]))
        assert turned == pytest.approx(value, rel=1e-6, abs=1e-9), (
            f"Promise broken: in another order the score is {turned}, not {value}."
        )

    def test_noise_scores_worse_than_real_samples(self) -> None:
        """The direction that the component declares is the one it has."""
        better = self.component().metric.lower_is_better
        real, noise = self.score(self._set(2, self.n)), self.score(self.noise())
        if better is None:
            pytest.skip("nearer to the floor is better")
        words = f"real samples score {real:.4g}, noise {noise:.4g}, and lower_is_better is {better}"
        assert noise > real if better else noise < real, f"Promise broken: {words}."


class PostprocessorConformance(_Conformance):
    """Inherit in a test module, as `class TestMine(PostprocessorConformance): id = "my/sharpen"`."""

    kind = "postprocessor"
    spec: ClassVar[DataSpec] = DataSpec((8, 8, 1))
    """Data to change."""

    def samples(self) -> np.ndarray:
        """Return samples (8, *shape)."""
        return made_up(self.spec, 8)["x"]

    def origin(self) -> Origin:
        """Return what a post-processor of whole sets may judge by; override it to give a model."""
        batch = made_up(self.spec, 40, seed=1)
        split = ArraySplit(batch["x"], batch.get("label"))
        return Origin(dataset=Dataset("made-up", self.spec, split, split, "made-up"))

    def run(self, samples: np.ndarray) -> Samples:
        """Return what the post-processor makes of samples; sample i has the label and the seed that tell it."""
        component, n = self.component(), len(samples)
        labels = np.arange(n) % self.spec.classes if self.spec.classes else None
        seeds = np.stack([np.zeros(n, "int64"), np.arange(n)], axis=1)
        step = Step(component, component.configure(**self.options))
        return Chain((step,))(Samples(samples, self.spec, labels, seeds), self.origin())

    def test_the_result_is_what_its_spec_says(self) -> None:
        """Shape and range follow the spec that is returned, and every number is finite."""
        made = self.run(self.samples())
        out, spec = made.samples, made.spec
        assert out.shape[1:] == spec.shape, f"Promise broken: samples of {out.shape[1:]}, a spec of {spec.shape}."
        finite = out.dtype.kind == "U" or np.isfinite(np.asarray(out, "float64")).all()
        assert finite, "Promise broken: it returns numbers that are not finite."
        if spec.value_range is not None:
            low, high = spec.value_range
            slack = 1e-5 * (high - low)
            assert low - slack <= out.min() and out.max() <= high + slack, (
                f"Promise broken: values from {out.min():.4g} to {out.max():.4g} are outside {spec.value_range}."
            )

    def test_samples_are_left_as_they_are(self) -> None:
        """It writes to none of its arguments, so that before and after can be shown together."""
        samples = self.samples()
        before = samples.copy()
        self.run(samples)
        assert np.array_equal(before, samples), "Promise broken: it changes the samples that it was given."

    def test_the_same_samples_give_the_same_result(self) -> None:
        """Nothing in it is left to chance."""
        first, again = self.run(self.samples()).samples, self.run(self.samples()).samples
        equal = np.array_equal(first, again, equal_nan=first.dtype.kind == "f")
        assert equal, "Promise broken: the same samples gave another result."

    def test_a_sample_does_not_depend_on_the_others(self) -> None:
        """Sample i becomes the same alone and among others, unless the component declares that it takes whole sets."""
        if self.component().whole:
            pytest.skip("it takes whole sets")
        samples = self.samples()
        together = self.run(samples.copy()).samples
        alone = np.concatenate([self.run(samples[i : i + 1].copy()).samples for i in range(len(samples))])
        assert together.shape == alone.shape, "Promise broken: the number of samples changes with what they come with."
        words = together.dtype.kind == "U"
        same = np.array_equal(together, alone) if words else np.allclose(together, alone, 1e-5, 1e-6, equal_nan=True)
        assert same, "Promise broken: a sample depends on the others."

    def test_labels_and_seeds_stay_with_their_samples(self) -> None:
        """What is left keeps the label and the seed that it came with, so that it can be drawn again."""
        made = self.run(self.samples())
        if made.seeds is None:
            assert made.labels is None, "Promise broken: seeds are given up, and labels are kept."
            return
        rows = made.seeds[:, 1]
        assert len(set(rows.tolist())) == len(rows), "Promise broken: two samples have one seed."
        if made.labels is not None:
            assert np.array_equal(made.labels, rows % self.spec.classes), "Promise broken: labels have moved."

    def test_it_declares_the_kinds_it_takes(self) -> None:
        """A kind it does not take is refused before anything is computed, and this kind is taken."""
        component = self.component()
        Step(component).check(self.spec)
        assert component.accepts, "Promise broken: it declares no kind of data, so anything would be passed to it."


class ModalityConformance(_Conformance):
    """Inherit in a test module, as `class TestMine(ModalityConformance): id = "mine/palette"; spec = DataSpec(...)`."""

    kind = "modality"
    spec: ClassVar[DataSpec] = DataSpec((8, 8, 1))
    """What one sample is; its kind is the modality's name."""

    def samples(self) -> Samples:
        """Return samples to try it with; override it for those that random numbers in the range are none of."""
        low, high = self.spec.value_range or (-1.0, 1.0)
        x = np.random.default_rng(0).uniform(low, high, (6, *self.spec.shape)).astype(self.spec.dtype)
        return Samples(x, self.spec)

    def modality(self) -> Modality:
        """Return the modality under test."""
        found: Modality = self.component().load()
        return found

    def test_data_of_its_kind_find_it(self) -> None:
        """The kind that specs name is the modality's own."""
        assert self.component().name == self.spec.kind, "Promise broken: the kind of the data is another modality's."
        assert modality_of(self.spec).own is self.modality(), "Promise broken: another modality answers."

    def test_it_is_like_a_kind_that_there_is(self) -> None:
        """A kind whose models take these data is known."""
        like = self.modality().like
        assert not like or like in known(), f"Promise broken: no modality is {like!r}, which it is like."

    def test_every_ending_is_written_the_same_twice(self) -> None:
        """Each file that samples can be written as has bytes, and the same ones again."""
        for ending in writers(self.spec):
            first, again = (writers(self.spec)[ending](self.samples()) for _ in range(2))
            assert first and first == again, f"Promise broken: {ending} is empty, or another when written again."
        assert self.modality().ending(self.samples()) in writers(self.spec), "Promise broken: no such ending."

    def test_what_it_writes_it_reads(self) -> None:
        """A file that is written and read is the same when written again."""
        drawn, write = self.samples(), writers(self.spec)
        for ending, read in self.modality().readers().items():
            if ending in write:
                content = write[ending](drawn)
                found = np.asarray(read(content))
                assert found.shape == drawn.samples.shape, f"Promise broken: of {ending} it reads {found.shape}."
                same = write[ending](drawn.replace(samples=found)) == content
                assert same, f"Promise broken: what it reads of {ending} is not what it wrote."

    def test_a_file_that_is_none_is_refused(self) -> None:
        """Reading anything gives samples or raises ValueError."""
        for ending, read in self.modality().readers().items():
            try:
                read(b"\xff\x00 no sample \xfe")
            except ValueError:
                continue
            except Exception as error:
                words = f"reading another file as {ending} raises {type(error).__name__}, not ValueError"
                raise AssertionError(f"Promise broken: {words}.") from error

    def test_its_summary_has_a_number_for_each_sample(self) -> None:
        """What `genloom data check` takes means of is finite, and its names are not those of what is counted anyway."""
        drawn = self.samples()
        counted = self.modality().summary(drawn.samples, self.spec)
        taken = set(counted) & set(Summary(self.spec, 0).to_dict())
        assert not taken, f"Promise broken: its summary counts {sorted(taken)}, which stand for something else."
        for name, numbers in counted.items():
            told = np.asarray(numbers, np.float64)
            assert told.shape == (len(drawn),), f"Promise broken: {name} has the shape {told.shape}."
            assert np.isfinite(told).all(), f"Promise broken: {name} has numbers that are not finite."

    def test_features_are_amounts_of_each_sample(self) -> None:
        """What scores look at is a row of finite numbers for each sample, whatever it comes with."""
        modality, x = self.modality(), self.samples().samples
        if not modality.features:
            return  # scores look at the values
        together = np.asarray(modality.featured(x, self.spec), np.float64)
        assert together.ndim == 2 and len(together) == len(x), f"Promise broken: features have shape {together.shape}."
        assert np.isfinite(together).all(), "Promise broken: features are not finite."
        alone = np.concatenate([modality.featured(x[i : i + 1], self.spec) for i in range(len(x))])
        same = together.shape == alone.shape and np.allclose(together, alone, 1e-5, 1e-6)
        assert same, "Promise broken: the features of a sample depend on the others."

    def test_a_picture_is_drawn_where_one_is_promised(self) -> None:
        """A picture has pixels; where there is none it is refused by name."""
        modality, drawn = self.modality(), self.samples()
        if modality.pictured(self.spec):
            assert min(modality.picture(drawn.samples, self.spec).size) > 0, "Promise broken: an empty picture."
            return
        with pytest.raises(ConfigError):
            modality.picture(drawn.samples, self.spec)
