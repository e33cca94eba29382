"""A plugin in one file: a Gaussian of any covariance with an option and a preset, and a post-processor.

    genloom -p examples/one_file_plugin.py train gaussian --data digits --preset quick --out runs/gaussian
    genloom -p examples/one_file_plugin.py sample runs/gaussian -n 64 --post invert --out gaussian.png

A few seconds on two CPU cores; the loss ends near 67 after 3 epochs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from genloom import Component, GenerativeModel, Phase, Preset, hookimpl, option, random
from genloom.objectives import standard_normal_log_prob


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the Gaussian."""

    blur: float = option(0.1, "noise added to training data, in units of [-1, 1]", minimum=0.0)


class Gaussian(GenerativeModel):
    """log p(x) = log N(A (x - b); 0, I) + log det A, with A lower triangular."""

    Options = Options

    def __init__(self, spec: Any, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.b = self.add_weight(shape=(spec.size,), initializer="zeros", name="b")
        self.a = self.add_weight(shape=(spec.size, spec.size), initializer="zeros", name="a")

    def triangle(self) -> Any:
        return ops.tril(self.a, -1) + ops.diag(ops.exp(ops.diagonal(self.a)))

    def phases(self) -> list[Phase]:
        return [Phase("likelihood", lambda: [self.a, self.b], self.negative_log_likelihood)]

    def negative_log_likelihood(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        x = ops.reshape(self.normalised(batch["x"]), (-1, self.spec.size))
        x = x + self.options.blur * self.normal(tuple(x.shape))  # pixels that are always black have no density
        noise = ops.matmul(x - self.b, ops.transpose(self.triangle()))
        return -ops.mean(standard_normal_log_prob(noise) + ops.sum(ops.diagonal(self.a))), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        noise = random.normal(keys, (self.spec.size,))
        x = self.b + ops.transpose(ops.solve_triangular(self.triangle(), ops.transpose(noise), lower=True))
        return self.denormalised(x)


def invert(samples: Any, spec: Any, options: Any) -> tuple[Any, Any]:
    """Turn black to white."""
    low, high = spec.value_range
    return low + high - samples, spec


@hookimpl
def genloom_components() -> list[Component]:
    """Return the model and the post-processor."""
    model = Component(
        kind="model", id="mine/gaussian", target="one_file_plugin:Gaussian", summary="A Gaussian of any covariance.",
        options=Options, presets={"quick": Preset({"blur": 0.1}, {"epochs": 3, "sample_every": 0})}, accepts=("image",),
    )  # fmt: skip
    inverted = Component(
        "postprocessor", "mine/invert", "one_file_plugin:invert", "Exchange black and white.", accepts=("image",)
    )
    return [model, inverted]
