"""Our arms of whole trainings: an epoch is a window, between whose end and the next beginning the parent is asked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from ours.models import build
from tasks import ADAM, Task, random_pictures
from windows import CHECKED, Windows

import genloom
from genloom.data import ArraySplit, Dataset, DataSpec, Loader
from genloom.model.naming import variable_names

ENDLESS = 1_000_000  # epochs; the parent ends the process


class Epochs(keras.callbacks.Callback):
    """Show the first epoch's loss, then run one epoch for each window asked for."""

    def __init__(self, windows: Windows, shows: bool = True) -> None:
        super().__init__()
        self.windows, self.shows = windows, shows

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Wait to be asked; everything that belongs to the epoch before is done here."""
        if epoch > 0:
            next(self.windows)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the loss of the first epoch, which also compiles."""
        if epoch == 0 and self.shows:
            self.windows.show({"loss": [float(logs["loss"])]})


def pictures(task: Task) -> Dataset:
    """Random pictures as a data set."""
    x = random_pictures(task)
    spec = DataSpec(task.shape, kind="image" if len(task.shape) == 3 else "signal", value_range=(0.0, 1.0))
    split = ArraySplit(x)
    return Dataset("random", spec, split, ArraySplit(x[:64]), "r4nd0m")


def run(task: Task, weights: Path, windows: Windows) -> None:
    """A run as users start one: its log, moving average, a picture and a checkpoint each epoch."""
    data = pictures(task)
    settings = {"batch_size": task.batch, "ema": 0.999, "log_every": 100, "validation": 0.0, "progress": "none"}
    with tempfile.TemporaryDirectory() as folder:
        model = genloom.create("vae/mlp", data.spec, seed=1)
        genloom.train(model, data, epochs=ENDLESS, out=Path(folder, "run"), callbacks=[Epochs(windows)], **settings)


def bare_fit(task: Task, weights: Path, windows: Windows) -> None:
    """The same model and batches in Keras's `fit`, with nothing else."""
    data = pictures(task)
    model = genloom.create("vae/mlp", data.spec, seed=1)
    model.compile()
    _fit(model, Loader(data.train, task.batch, seed=0), windows)


def one_at_a_time(task: Task, weights: Path, windows: Windows) -> None:
    """Keras's `fit` with a call of the engine for each step."""
    _small(task, windows, 1)


def sixteen_at_once(task: Task, weights: Path, windows: Windows) -> None:
    """Keras's `fit` with a call of the engine for sixteen steps."""
    _small(task, windows, 16)


def as_pythae(task: Task, weights: Path, windows: Windows) -> None:
    """A run on the network, optimizer and data of pythae's."""
    model = build(task)
    names = variable_names(model)
    np.savez(weights, **{name: ops.convert_to_numpy(v.value) for name, v in names.items() if v.trainable})
    batches = task.batches(fixed_noise=True)
    losses = []
    for _ in range(CHECKED):
        batch = {name: ops.convert_to_tensor(value) for name, value in next(batches).items()}
        losses.append(float(ops.convert_to_numpy(model.loss_of(batch)[0])))
    windows.show({"loss": losses})
    model.compile(keras.optimizers.Adam(ADAM["learning_rate"]))
    settings = {"batch_size": task.batch, "validation": 0.0, "progress": "none", "sample_every": 0}
    with tempfile.TemporaryDirectory() as folder:
        epochs = Epochs(windows, shows=False)
        genloom.train(model, pictures(task), epochs=ENDLESS, out=Path(folder, "run"), callbacks=[epochs], **settings)


def _small(task: Task, windows: Windows, steps: int) -> None:
    model = build(task)
    model.compile(keras.optimizers.Adam(**ADAM), steps_per_execution=steps)
    _fit(model, ((batch,) for batch in task.batches(fixed_noise=False)), windows, task.window)


def _fit(model: Any, batches: Any, windows: Windows, steps: int | None = None) -> None:
    if isinstance(batches, Loader):
        batches, steps = batches.stream(), batches.steps_per_epoch
    model.fit(batches, steps_per_epoch=steps, epochs=ENDLESS, shuffle=False, verbose=0, callbacks=[Epochs(windows)])
