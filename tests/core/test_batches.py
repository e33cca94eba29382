"""What `fit`, `evaluate` and `train` are given is held against the model's spec before the first step."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, GenerativeModel, Phase
from genloom.data import ArraySplit, Dataset, Loader
from genloom.errors import ConfigError, DataError
from genloom.sampling.latents import opened_for

PICTURES = DataSpec((4, 4, 1), classes=3, condition=("label",))
TOKENS = DataSpec((6,), kind="text", dtype="int32", value_range=None, vocabulary=9)


class Mean(GenerativeModel):
    """Learns the mean of its samples."""

    validation = ("loss",)

    def __init__(self, spec, options=None, **kwargs):
        super().__init__(spec, options, **kwargs)
        self.mean = self.add_weight(shape=(), initializer="zeros", name="mean")

    def phases(self):
        return [Phase("mean", [self.mean], self._loss)]

    def _loss(self, batch):
        x = self.spec.normalise(batch["x"]) if not self.spec.holds_tokens else ops.cast(batch["x"], "float32")
        return ops.mean(ops.square(x - self.mean)), {}, 1.0

    def validate(self, batch):
        return {"loss": ops.mean(ops.reshape(batch["x"], (batch["x"].shape[0], -1)), axis=1)}

    def draw(self, keys, condition):
        return ops.zeros((keys.shape[0], *self.spec.shape)) + self.mean


class Rows(keras.utils.PyDataset):
    """A data set of Keras: one batch, twice."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (self.batch,)


def model(spec=PICTURES):
    made = Mean(spec)
    made.compile(keras.optimizers.SGD(0.1))
    return made


def pictures(n=8):
    x = np.random.default_rng(0).uniform(0, 1, (n, 4, 4, 1)).astype(np.float32)
    return {"x": x, "label": np.arange(n) % 3}


def changed(**arrays):
    return {name: value for name, value in {**pictures(), **arrays}.items() if value is not None}


X = pictures()["x"]
NAN = X.copy()
NAN[[2, 5], 0, 0, 0] = np.nan, np.inf

WRONG = {
    "no channels": (
        changed(x=X[..., 0]),
        r"x has the shape \(8, 4, 4\), the model's samples \(4, 4, 1\)\. Add the axis",
    ),
    "one sample": (changed(x=X[0]), r"x has the shape \(4, 4, 1\), .* Add the axis of samples: x\[None\]"),
    "flat": (changed(x=X.reshape(8, 16)), r"x has the shape \(8, 16\), .* Give x.reshape\(-1, 4, 4, 1\)"),
    "larger": (changed(x=np.zeros((8, 5, 5, 1))), r"x has the shape \(8, 5, 5, 1\), .* build the model from the spec"),
    "empty": (changed(x=X[:0], label=None), r"x has no samples: its shape is \(0, 4, 4, 1\)"),
    "bytes": (
        changed(x=(X * 255).astype(np.uint8)),
        r"x has values outside 0 to 1 in 8 of 8 samples, the farthest 25\d\. Rescale them, or give",
    ),
    "NaN": (changed(x=NAN), "x has NaN or infinite values in 2 of 8 samples"),
    "text": (changed(x=X.astype(str)), "x holds <U.*, where the model reads numbers"),
    "list": (changed(x=X.tolist()), "'x' is of type list, no array. Give numpy.asarray"),
    "labels beyond": (changed(label=np.arange(8)), "label has 3 in 5 of 8 rows, the model has 3 classes, 0 to 2"),
    "a column of labels": (changed(label=np.zeros((8, 1), int)), r"label is int64 of shape \(8, 1\).* label\[:, 0\]"),
    "one-hot labels": (changed(label=np.eye(3)[np.arange(8) % 3]), r"float64 of shape \(8, 3\).*argmax\(axis=1\)"),
    "broken labels": (changed(label=np.full(8, 1.5)), r"label is float64 of shape \(8,\).* Give label.astype"),
    "fewer labels": (changed(label=np.zeros(7, int)), r"x has 8 rows, and 'label' the shape \(7,\)"),
    "one number": (changed(weight=np.float32(2)), r"x has 8 rows, and 'weight' the shape \(\)"),
    "no labels": (changed(label=None), "takes one of 3 classes, and the data have no labels, only x"),
    "no samples": ({"label": np.zeros(8, int)}, r"A batch has \['label'\] and no 'x'"),
}
FORMS = {
    "arrays": lambda batch: {"x": batch},
    "stream": lambda batch: {"x": ((batch,) for _ in range(3)), "steps_per_epoch": 2},
    "data set": lambda batch: {"x": Rows(batch)},
    "held out": lambda batch: {"x": pictures(), "validation_data": batch},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", WRONG)
def test_fit_refuses_what_its_spec_does_not_say(what, form):
    batch, words = WRONG[what]
    made = model()
    with pytest.raises(DataError, match=words):
        made.fit(**FORMS[form](batch), batch_size=8, verbose=0, shuffle=False)
    assert int(ops.convert_to_numpy(made.step)) == 0  # before the first step
    with pytest.raises(DataError, match=words):
        made.evaluate(batch, batch_size=8, verbose=0)


LATER = {what: WRONG[what] for what in ("flat", "text", "NaN", "bytes", "labels beyond", "no labels")} | {
    "another type": (
        changed(x=X.astype(np.float64)),
        r"It has x \(float64\), label \(int64\), and the first x \(float3",
    ),
    "another name": (
        changed(weight=np.ones(8)),
        r"It has x .*, weight \(float64\), and the first x .* Give all batches",
    ),
    "two": ((X, X), "A batch is a tuple of 2"),
}


def fourth(batch, kind=lambda good: (good,)):
    """A stream whose fourth batch is another; Keras itself looks at two before it begins."""
    for each in (*[pictures()] * 3, batch, pictures()):
        yield kind(each)


@pytest.mark.parametrize("what", LATER)
def test_each_batch_of_a_generator_is_held_against_the_spec(what):
    batch, words = LATER[what]
    kind = (lambda each: each) if isinstance(batch, tuple) else (lambda each: (each,))
    for use in (
        lambda made: made.fit(fourth(batch, kind), steps_per_epoch=5, verbose=0),
        lambda made: made.fit(pictures(), validation_data=fourth(batch, kind), verbose=0),
        lambda made: made.evaluate(fourth(batch, kind), verbose=0),
    ):
        made = model()
        with pytest.raises(ConfigError, match=f"^Batch 4: .*{words}"):
            use(made)
        assert int(ops.convert_to_numpy(made.step)) <= 3


def test_an_error_of_a_generator_is_raised_as_it_is():
    def broken():
        yield from ((pictures(),) for _ in range(3))
        raise KeyError("picture 25")

    with pytest.raises(KeyError, match="picture 25"):
        model().fit(broken(), steps_per_epoch=5, verbose=0)


@pytest.mark.parametrize(("number", "what"), [(4, "flat"), (65, "NaN"), (65, "labels beyond")])
def test_values_of_tensors_are_read_in_one_batch_of_64(number, what):
    good, (wrong, words) = pictures(), WRONG[what]
    batches = [good] * (number - 1) + [wrong, good]
    stream = ({name: ops.convert_to_tensor(values) for name, values in batch.items()} for batch in batches)
    with pytest.raises(DataError, match=f"^Batch {number}: {words}"):
        model().fit(stream, steps_per_epoch=number + 1, verbose=0)


@pytest.mark.parametrize("form", FORMS)
def test_what_fits_is_read_whole(form):
    made = model()
    made.fit(**FORMS[form](pictures()), batch_size=4, verbose=0, shuffle=False)
    assert int(ops.convert_to_numpy(made.step)) == 2  # no batch is lost to the check


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16", "float16", "float64"])
def test_numbers_of_any_type_train_the_same(dtype):
    """A picture in whole numbers, or in double precision, is what it is in float32, in arrays and in streams."""
    spec, x = DataSpec((4, 4, 1), value_range=(0.0, 255.0)), np.round(X * 255)
    means = []
    for given in (x.astype(np.float32), x.astype(dtype)):
        for form in ("arrays", "stream"):
            made = model(spec)
            made.fit(**FORMS[form]({"x": given}), batch_size=8, epochs=1, verbose=0, shuffle=False)
            means.append((form, float(ops.convert_to_numpy(made.mean))))
    assert dict(means[:2]) == dict(means[2:]) and abs(means[0][1]) > 1e-3


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((4, 6), 9, np.int32), "x has tokens outside 0 to 8 in 4 of 4 samples, the farthest 9. Use the tok"),
        (np.full((4, 6), -1, np.int64), "x has tokens outside 0 to 8 in 4 of 4 samples, the farthest -1"),
        (np.zeros((4, 6), np.float32), "x holds float32, where the model reads numbers. Give x.astype.'int32'"),
        (np.zeros((4, 7), np.int32), r"x has the shape \(4, 7\), the model's samples \(6,\)"),
    ],
)
def test_tokens_are_whole_numbers_of_the_vocabulary(x, words):
    with pytest.raises(DataError, match=words):
        model(TOKENS).fit({"x": x}, verbose=0)


def test_shorter_texts_are_read():
    made = model(TOKENS)
    made.fit({"x": np.full((4, 3), 8, np.int64)}, batch_size=4, verbose=0)
    assert float(ops.convert_to_numpy(made.mean)) == pytest.approx(1.6)  # 2 · 0.1 · 8


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": X, "y": np.zeros(8, int)}, "y of type ndarray would not be read"),
        ({"x": X, "class_weight": {0: 1.0}}, "class_weight of type dict would not be read"),
        ({"x": ((X, np.zeros(8, int)) for _ in range(2))}, "A batch is a tuple of 2, of which only the first"),
        ({"x": [X, X]}, "list holds no batches"),
        ({"x": "digits"}, "str holds no batches"),
        ({"x": iter(())}, "has no batch"),
        ({"x": None}, "NoneType holds no batches"),
    ],
)
def test_what_would_not_be_read_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        model().fit(**given, verbose=0)


@pytest.mark.parametrize("form", [lambda loader: loader, lambda loader: (dict(batch) for batch in loader)])
def test_a_loader_and_a_generator_of_batches_are_read(form):
    split = ArraySplit(X, np.zeros(8, int))
    made, again = model(), model()
    made.fit(form(Loader(split, 4, seed=0)), steps_per_epoch=3, verbose=0)
    again.fit(Loader(split, 4, seed=0).stream(), steps_per_epoch=3, verbose=0, shuffle=False)
    assert ops.convert_to_numpy(made.mean) == ops.convert_to_numpy(again.mean) != 0


def test_rounding_may_leave_the_range():
    made = model()
    made.fit(changed(x=np.where(X > 0.5, np.float32(1.0005), X)), batch_size=8, verbose=0)
    assert int(ops.convert_to_numpy(made.step)) == 1


def dataset(x, spec=PICTURES, label=True):
    split = ArraySplit(x, np.arange(len(x)) % 3 if label else None)
    return Dataset("mine", spec, split, split, "0" * 16)


def test_training_counts_the_values_outside_a_declared_range(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (40, 4, 4, 1))
    x[3, 0, 0], x[17] = 3.0, -1.5
    np.savez(tmp_path / "data.npz", x=x, x_test=x)
    address = f"npz:{tmp_path / 'data.npz'}?value_range=-1,1"
    words = "outside -1 to 1 in 2 of 40 samples, the farthest 3. Rescale them, or give"
    for data in (address, dataset(x, DataSpec((4, 4, 1), value_range=(-1.0, 1.0)), label=False)):
        with pytest.raises(DataError, match=words):
            genloom.train("vae/mlp", data, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((X[..., 0][:, :3], np.arange(8) % 3), r"x has the shape .*, 3, 4, 1\), the model's samples \(4, 4, 1\)"),
        (((X * 255).astype(np.int64), np.arange(8) % 3), "has values outside 0 to 1 in 7 of 7 samples"),
        (X, "takes one of 3 classes, and the data have no labels"),
        ((X, np.arange(8)), r"label has \d in \d of 7 rows, the model has 3 classes"),
    ],
)
def test_training_a_model_on_other_arrays_is_refused(tmp_path, data, words):
    with pytest.raises(DataError, match=words):
        genloom.train(model(), data, steps=1, batch_size=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_encoding_data_of_another_range_is_refused(tmp_path):
    """`encode`, and `sample --mode reconstruct`, read data by an address of its own."""
    np.savez(tmp_path / "data.npz", x=np.round(X * 255).astype(np.int64), x_test=np.round(X * 255).astype(np.int64))
    with pytest.raises(DataError, match=r"npz:.* has values outside 0 to 1 in 8 of 8 samples, the farthest 25\d"):
        opened_for(model(), f"npz:{tmp_path / 'data.npz'}")
    assert (
        len(opened_for(model(DataSpec((4, 4, 1), value_range=(0.0, 255.0))), f"npz:{tmp_path / 'data.npz'}").test) == 8
    )


def test_held_out_samples_outside_the_range_are_refused_before_training(tmp_path: Path) -> None:
    x, label = np.random.default_rng(0).random((40, 8, 8, 1), "float32"), np.zeros(40, "int64")
    with pytest.raises(DataError, match="held out"):
        genloom.train("vae/mlp", ((x, label), (x[:10] * 255, label[:10])), preset="tiny", epochs=1, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_one_batch_alone_is_trained_and_tested_on_and_held_against_the_spec() -> None:
    data = genloom.data.open("digits")
    model = genloom.create("vae/mlp", data.spec, preset="tiny")
    batch = data.train.take(range(32))
    losses = [model.train_on_batch(batch, return_dict=True)["loss"] for _ in range(8)]
    assert losses[-1] < losses[0] and int(model.step.value) == 8
    assert model.test_on_batch(batch, return_dict=True)["loss"] > 0
    for on_batch in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(DataError, match="has values outside 0 to 1 in 32 of 32"):
            on_batch({**batch, "x": batch["x"] * 255})
        with pytest.raises(ConfigError, match="would not be read"):
            on_batch(batch["x"], batch["label"])
