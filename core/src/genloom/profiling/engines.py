"""Three small training steps, timed on the engine of KERAS_BACKEND: `python -m genloom.profiling.engines`.

A child process of `genloom doctor --bench`. It prints one line of JSON: kind of work → milliseconds of a step and
their spread, each from steps that were waited for.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import keras
import numpy as np
from keras import layers

from genloom import backend
from genloom.data.spec import DataSpec
from genloom.layers import GroupNorm
from genloom.model import GenerativeModel, Phase

__all__ = ["measure"]

_WARM_UP, _MOST_STEPS, _SECONDS = 3, 40, 3.0


class _Reconstruction(GenerativeModel):
    """A network that learns to give its input back."""

    def __init__(self, shape: tuple[int, ...], network: keras.Model) -> None:
        super().__init__(DataSpec(shape, kind="signal", value_range=None))
        self.network = network

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("network", self.network.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Mean squared error."""
        return keras.ops.mean((self.network(batch["x"]) - batch["x"]) ** 2), {}, 1.0


def _convolutions() -> tuple[int, tuple[int, ...], keras.Model]:
    layout = backend.image_layout()
    axis = 1 if layout == "channels_first" else -1
    shape = (32, 32, 32)  # as many channels as the sides are long, so that it is the same in either layout
    x = keras.Input(shape)
    y = x
    for _ in range(4):
        y = layers.Conv2D(32, 3, padding="same", data_format=layout)(keras.ops.silu(GroupNorm(8, axis)(y)))
    return 16, shape, keras.Model(x, y)


def _attention() -> tuple[int, tuple[int, ...], keras.Model]:
    shape = (64, 128)  # tokens, width
    x = keras.Input(shape)
    y = x
    for _ in range(2):
        normal = layers.LayerNormalization()(y)
        y = y + layers.MultiHeadAttention(4, 32)(normal, normal)
        y = y + layers.Dense(128)(layers.Dense(512, "gelu")(layers.LayerNormalization()(y)))
    return 16, shape, keras.Model(x, y)


def _dense() -> tuple[int, tuple[int, ...], keras.Model]:
    shape = (784,)
    return 128, shape, keras.Sequential(
        [layers.Input(shape), layers.Dense(400, "relu"), layers.Dense(20), layers.Dense(400, "relu"), layers.Dense(784)]
    )  # fmt: skip


_KINDS = {"convolution": _convolutions, "attention": _attention, "dense": _dense}


def measure() -> dict[str, dict[str, float]]:
    """Return for each kind of work the median, lowest and highest milliseconds of a step, and seconds of the first."""
    return {kind: _measured(*make()) for kind, make in _KINDS.items()}


def _measured(batch_size: int, shape: tuple[int, ...], network: keras.Model) -> dict[str, float]:
    model, clock = _Reconstruction(shape, network), _Clock()
    model.compile(keras.optimizers.Adam(1e-3))
    batch = {"x": np.random.default_rng(0).standard_normal((batch_size, *shape)).astype("float32")}
    stream = ((batch,) for _ in iter(int, 1))
    model.fit(stream, steps_per_epoch=_WARM_UP + _MOST_STEPS, callbacks=[clock], shuffle=False, verbose=0)
    first, steps = clock.seconds[0], [1e3 * s for s in clock.seconds[_WARM_UP:]]
    return {"ms": statistics.median(steps), "lowest": min(steps), "highest": max(steps), "first_s": first}


class _Clock(keras.callbacks.Callback):
    """Time each step to its loss, and end once enough time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait for the loss and stop the clock."""
        float(logs["loss"])
        self.seconds.append(time.perf_counter() - self.began)
        if len(self.seconds) > _WARM_UP and sum(self.seconds[1:]) > _SECONDS:
            self.model.stop_training = True


if __name__ == "__main__":
    print(json.dumps(measure()))
