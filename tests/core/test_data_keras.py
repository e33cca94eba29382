"""Where data meet Keras: its `fit` trains on the loader's stream, and its failed downloads become one clear line."""

from __future__ import annotations

import hashlib

import keras
import numpy as np
import pytest

from genloom.data import ArraySplit, Loader
from genloom.data.sources.keras_sets import fetch, open_fashion_mnist, open_mnist
from genloom.errors import DataError


class Recorder(keras.Model):
    """Logs the sum of each batch's labels, to show which batch `fit` handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True

    def call(self, x):
        return x

    def train_step(self, *args):
        state, data = args if len(args) == 2 else (None, args[0])
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        logs = {"labels": keras.ops.sum(batch["label"]), "x": keras.ops.mean(batch["x"])}
        return logs if state is None else (logs, state)


def test_fit_trains_on_the_batches_of_its_steps():
    loader = Loader(ArraySplit(np.arange(40.0)[:, None], np.arange(40)), 6, 3, repeats=2)
    model, labels = Recorder(), []
    model.compile(optimizer="sgd")
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: labels.append(float(logs["labels"])))
    for start, steps, epochs in ((0, 4, 2), (8, 3, 1)):
        stream = loader.stream(start)
        model.fit(stream, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0, callbacks=[note])
    assert labels == [float(loader.batch(step)["label"].sum()) for step in range(11)]


@pytest.mark.parametrize(("name", "opener"), [("mnist", open_mnist), ("fashion_mnist", open_fashion_mnist)])
def test_a_failed_download_names_the_alternative(monkeypatch, capsys, name, opener):
    def fail():
        print("Downloading data")
        raise Exception("URL fetch failure on https://example.org: None -- unreachable")

    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: None)
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)
    with pytest.raises(DataError, match=rf"^{name} could not be read.*unreachable.*idx:DIR"):
        opener()
    assert capsys.readouterr().out == ""


def test_keras_arrays_become_pictures(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    label = np.arange(6, dtype=np.uint8)
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: None)
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: ((x, label), (x[:2], label[:2])))
    dataset = open_fashion_mnist()
    np.testing.assert_array_equal(dataset.train.arrays()["x"][..., 0], (x / 255).astype(np.float32))
    assert dataset.test.arrays()["label"].tolist() == [0, 1]
    assert dataset.spec.class_names[9] == "ankle boot"


def test_a_download_is_checked_and_one_that_was_cut_off_is_fetched_anew(tmp_path):
    right = b"a file of pictures"
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "some.gz").write_bytes(right)
    sums, origin = {"some.gz": hashlib.md5(right).hexdigest()}, (tmp_path / "there").as_uri() + "/"
    kept = tmp_path / "cache" / "sets" / "some.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(right[:5])
    fetch(sums, origin, "sets", tmp_path / "cache")
    assert kept.read_bytes() == right
    (tmp_path / "there" / "some.gz").write_bytes(b"something else")
    fetch(sums, origin, "sets", tmp_path / "cache")  # what is there and right is not asked for again
    kept.unlink()
    with pytest.raises(Exception, match="Incomplete or corrupted file detected"):
        fetch(sums, origin, "sets", tmp_path / "cache")


def test_keras_sets_take_no_argument():
    with pytest.raises(DataError, match="takes nothing after it, got 'small'"):
        open_mnist("small")
