"""A linear autoencoder with weights that are given, for the tests of latent diffusion beside; `genloom -p` loads it."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import Component, DataSpec, GenerativeModel, Phase, hookimpl, option, random


@dataclasses.dataclass(frozen=True)
class LinearOptions:
    """Codes z = gain · x + shift."""

    gain: float = option(2.0, "What samples are multiplied by.")
    shift: float = option(-0.5, "What is added.")
    labelled: bool = option(False, "Whether the label is added, too.")
    bounded: bool = option(True, "Whether codes have a range.")


class Linear(GenerativeModel):
    """Codes of three places for two: the mean of a sample's last axis is appended to it."""

    Options: ClassVar[type] = LinearOptions

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.conditional = self.options.labelled
        self.gain = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.options.gain), name="gain")
        size = spec.shape[-1]
        self.latent = DataSpec(
            (*spec.shape[:-1], size + 1), spec.kind, value_range=(-3.0, 3.0) if self.options.bounded else None
        )

    def phases(self) -> list[Phase]:
        return [Phase("fit", lambda: [self.gain], self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> Any:
        return ops.square(self.gain - self.options.gain) + 0.0 * ops.mean(batch["x"]), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return self.denormalised(random.normal(keys, self.spec.shape))

    def encode(self, x: Any, label: Any = None) -> Any:
        z = self.gain * ops.cast(x, "float32") + self.options.shift + self._offset(label)
        return ops.concatenate([z, ops.mean(z, axis=-1, keepdims=True)], axis=-1)

    def decode(self, z: Any, label: Any = None) -> Any:
        x = (z[..., :-1] - self.options.shift - self._offset(label)) / self.gain
        return x if self.spec.value_range is None else ops.clip(x, *self.spec.value_range)

    def _offset(self, label: Any) -> Any:
        if not self.options.labelled:
            return 0.0
        return ops.reshape(ops.cast(label, "float32"), (-1,) + (1,) * len(self.spec.shape))


class Blind(Linear):
    """The same without a latent space to train on."""

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.latent = None


@hookimpl
def genloom_components() -> list[Component]:
    module = Linear.__module__
    return [
        Component("model", f"linear/{name}", f"{module}:{name.capitalize()}", "Linear codes.", options=LinearOptions)
        for name in ("linear", "blind")
    ]
