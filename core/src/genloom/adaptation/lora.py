"""Low-rank adaptation (Hu et al. 2022): W x + s B A x, with W frozen and B zero at first."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from genloom.errors import ConfigError, nearest
from genloom.initializers import reseed
from genloom.layers import Dropout
from genloom.naming import own_layers
from genloom.options import configure, option, parse_assignments
from genloom.phase import Phase
from genloom.random import ambient
from genloom.sampling import forget_samplers

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["LINEAR", "LoRA", "LoRAOptions", "adapt", "attach", "matrix_shape", "merge", "parse_adapter"]


@dataclasses.dataclass(frozen=True)
class LoRAOptions:
    """Options of the adapter `lora`."""

    rank: int = option(8, "rank of what is added to each matrix, at most its own", minimum=1)
    alpha: float = option(16.0, "its weight, divided by the rank", minimum=0.0)
    dropout: float = option(0.0, "share of the inputs that adapters do not see in training", minimum=0.0, maximum=0.9)
    target: str = option("*", "names of the linear layers, with * and ?; several with | between, such as *query|*value")
    scaling: str = option(
        "lora", "rslora divides by the rank's root instead (Kalajdzievski 2023)", choices=("lora", "rslora")
    )

    @property
    def scale(self) -> float:
        """What B A x is multiplied by."""
        return self.alpha / (self.rank if self.scaling == "lora" else math.sqrt(self.rank))


#: Layers that take an adapter: what they multiply their inputs by is `kernel`, outputs last.
LINEAR = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


class LoRA(keras.layers.Layer):
    """The low-rank term of one linear layer; a convolution's kernel counts as a matrix of (places · inputs, outputs).

    Args:
        layer: one of `LINEAR`.
        rank: r.
        scale: s.
        dropout: share of the inputs that it does not see in training.
    """

    def __init__(self, layer: Any, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.scale, self.kernel_shape = scale, tuple(int(side) for side in layer.kernel.shape)
        inputs, outputs = matrix_shape(layer)
        # Uniform over ± 1 / √inputs, as the authors' code has it.
        self.a_initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        self.a = self.add_weight(shape=(inputs, rank), initializer=self.a_initializer, name="a")
        self.b = self.add_weight(shape=(rank, outputs), initializer="zeros", name="b")
        self.drop = Dropout(dropout) if dropout else None
        self.built = True

    def call(self, x: Any) -> Any:
        """Return s B A x (…, outputs) for x (…, inputs), of a dense layer."""
        return self.scale * ops.matmul(ops.matmul(self.seen(x), self.a), self.b)

    def seen(self, x: Any) -> Any:
        """Return what the term sees of its inputs: all of them outside training."""
        return x if self.drop is None else self.drop(x, training=ambient() is not None)

    def delta(self) -> Any:
        """Return s B A in the shape of the kernel, to which it is added."""
        return ops.reshape(self.scale * ops.matmul(self.a, self.b), self.kernel_shape)


def matrix_shape(layer: Any) -> tuple[int, int]:
    """Return (inputs, outputs) of a linear layer's kernel as a matrix."""
    *inputs, outputs = (int(side) for side in layer.kernel.shape)
    return math.prod(inputs), outputs


def parse_adapter(text: str) -> LoRAOptions:
    """Read `lora` with its options after a colon: `lora:rank=4,target=*query|*value`.

    Raises:
        ConfigError: another adapter, or an unknown option.
    """
    name, _, rest = text.partition(":")
    if name.strip() != "lora":
        raise ConfigError(f"There is no adapter {name!r}.{nearest(name, ['lora'])}", mend="Write lora:rank=8.")
    return configure(LoRAOptions, parse_assignments(item for item in rest.split(",") if item.strip()))


def adapt(model: GenerativeModel, options: LoRAOptions, seed: int = 0) -> None:
    """Freeze a model and add a trainable term to its linear layers; it computes what it did until that is trained.

    Every phase goes on with the adapters of the layers that it moved; a phase without any is left out. A model that
    was compiled must be compiled again.

    Args:
        model: any family's.
        options: rank, weight, and which layers.
        seed: of the adapters' initial weights.

    Raises:
        ConfigError: it is adapted already, or no linear layer has such a name.
    """
    adapters = {}
    for path, layer in _targets(model, options.target).items():
        rank = min(options.rank, *matrix_shape(layer))  # a layer of one output has no more than one
        adapters[path] = LoRA(layer, rank, options.scale, options.dropout)
        reseed(adapters[path], seed ^ zlib.crc32(path.encode()))
    attach(model, adapters)


def attach(model: GenerativeModel, adapters: dict[str, LoRA]) -> None:
    """Freeze a model and let its layers, by their paths, add the terms of adapters.

    Raises:
        ConfigError: it is adapted already.
    """
    if getattr(model, "adapters", None):
        raise ConfigError("This model is adapted already.", mend="Call merge(model), and train on.")
    layers: dict[str, Any] = dict(own_layers(model))
    moved = {phase.name: {id(variable) for variable in phase.resolve()} for phase in model.phases()}
    owned = {
        name: [adapter for path, adapter in adapters.items() if id(layers[path].kernel) in ids]
        for name, ids in moved.items()
    }
    for variable in model.trainable_variables:
        variable.trainable = False
    for path, adapter in adapters.items():
        _add_to(layers[path], adapter)
    model.adapters = {path.replace("/", "."): adapter for path, adapter in adapters.items()}
    model.phases = _of_adapters(model.phases, owned)  # type: ignore[method-assign]
    forget_samplers(model)


def merge(model: GenerativeModel) -> None:
    """Add what the adapters learned to the weights and set the adapters back: the model computes the same.

    Raises:
        ConfigError: the model has no adapters.
    """
    adapters = getattr(model, "adapters", None)
    if not adapters:
        raise ConfigError("This model has no adapters to merge.", mend="Call adapt(model, LoRAOptions()) first.")
    layers: dict[str, Any] = dict(own_layers(model))
    for name, adapter in adapters.items():
        kernel = layers[name.replace(".", "/")].kernel
        kernel.assign(kernel + adapter.delta())
        adapter.b.assign(ops.zeros(adapter.b.shape))


def _targets(model: GenerativeModel, target: str) -> dict[str, Any]:
    linear = {path: layer for path, layer in own_layers(model) if isinstance(layer, LINEAR) and _plain(layer)}
    patterns = [pattern.strip() for pattern in target.split("|")]
    chosen = {p: layer for p, layer in linear.items() if any(fnmatch.fnmatchcase(p, pattern) for pattern in patterns)}
    if not chosen:
        known = ", ".join(list(linear)[:6]) or "none"
        raise ConfigError(f"No linear layer is called {target!r}.", mend=f"Linear layers: {known}, ….")
    return chosen


def _plain(layer: Any) -> bool:
    """Say whether a layer's outputs each see all inputs: groups of a convolution do not."""
    return getattr(layer, "groups", 1) == 1


def _add_to(layer: Any, adapter: LoRA) -> None:
    """Let a layer add its adapter's term, before its bias and its activation."""

    def dense(x: Any) -> Any:
        y = ops.matmul(x, layer.kernel) + adapter(x)
        return y + layer.bias if layer.use_bias else y

    def convolution(x: Any) -> Any:
        if adapter.drop is None:
            y = layer.convolution_op(x, layer.kernel + adapter.delta())
        else:
            y = layer.convolution_op(x, layer.kernel) + layer.convolution_op(adapter.seen(x), adapter.delta())
        if not layer.use_bias:
            return y
        ones = [1] * (len(y.shape) - 2)
        shape = [1, *ones, -1] if layer.data_format == "channels_last" else [1, -1, *ones]
        return y + ops.reshape(layer.bias, shape)

    linear = dense if isinstance(layer, keras.layers.Dense) else convolution

    def call(x: Any, training: Any = None) -> Any:
        y = linear(x)
        return y if layer.activation is None else layer.activation(y)

    layer.call = call


def _of_adapters(phases: Callable[[], list[Phase]], owned: dict[str, list[LoRA]]) -> Callable[[], list[Phase]]:
    def variables_of(adapters: list[LoRA]) -> Callable[[], list[Any]]:
        return lambda: [variable for adapter in adapters for variable in adapter.trainable_variables]

    def adapted() -> list[Phase]:
        return [
            dataclasses.replace(phase, variables=variables_of(owned[phase.name]))
            for phase in phases()
            if owned[phase.name]
        ]

    return adapted
