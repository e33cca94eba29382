"""Adapters as a preparation: put on a frozen model by name, taken off, and merged into its weights."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from genloom import initializers
from genloom.arguments import instance
from genloom.errors import ConfigError
from genloom.model import Phase, Preparation, Start
from genloom.model.naming import own_layers, variable_names
from genloom_adapt.adapter import matrix_shape, put_on, take_off, targets
from genloom_adapt.ia3 import IA3, sides
from genloom_adapt.lora import DoRA, LoRA
from genloom_adapt.options import AdapterOptions, DoRAOptions, IA3Options, PrefixOptions, SoftOptions

if TYPE_CHECKING:
    from genloom import GenerativeModel

__all__ = ["Adapters", "adapt", "adapters", "detach", "merge", "unmerge"]

_SLOT = "adapt"


class Adapters(Preparation):
    """Adapters beside a model's frozen weights; each phase goes on with those of the layers that it moved.

    Args:
        options: which adapters, and of which layers.
        made: adapters by the paths of their layers, ready to be put on, in place of new ones.
    """

    kept = True

    def __init__(self, options: Any = None, made: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self.adapters: dict[str, Any] = {}
        self._made: Callable[[], Mapping[str, Any] | None] = lambda: made
        self._owned: dict[str, list[str]] = {}

    @property
    def prompt(self) -> Any:
        """The learned prompt among the adapters, None without one."""
        return self.adapters.get("prompt")

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Freeze the model, and let the adapters change what its layers compute.

        What belongs to no layer, a prompt, is moved by every phase.
        """
        made = self._made()
        made = _new(model, self.options, start.seed) if made is None else made
        layers: dict[str, Any] = dict(own_layers(model))
        moved = {phase.name: {id(v) for v in phase.resolve()} for phase in model.training_phases()}
        self._owned = {
            name: [_dotted(path) for path in made if path not in layers or id(layers[path].kernel) in ids]
            for name, ids in moved.items()
        }
        for variable in model.trainable_variables:
            variable.trainable = False
        for path, adapter in made.items():
            if path in layers:
                put_on(layers[path], adapter)
        self.adapters = {_dotted(path): adapter for path, adapter in made.items()}

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Return the phases with the adapters' variables; one without any is left out."""
        return [
            dataclasses.replace(phase, variables=self._variables(phase.name))
            for phase in phases
            if self._owned.get(phase.name)
        ]

    def _variables(self, phase: str) -> Callable[[], list[Any]]:
        return lambda: [v for name in self._owned[phase] for v in self.adapters[name].trainable_variables]

    def merge(self, model: GenerativeModel) -> None:
        """Add the adapters to the weights and set them back."""
        for layer, adapter in self.pairs(model):
            bias = layer.bias if layer.use_bias else None
            kernel, shifted = adapter.effective(layer.kernel.value, None if bias is None else bias.value)
            layer.kernel.assign(kernel)
            if bias is not None:
                bias.assign(shifted)
            adapter.settle(layer.kernel.value)

    def pairs(self, model: GenerativeModel) -> list[tuple[Any, Any]]:
        """Return (layer, its adapter) for all of them.

        Raises:
            ConfigError: a prompt, which no weights can stand in for.
        """
        if self.prompt is not None:
            raise ConfigError("The prompt of this model cannot be merged: it is no change of its weights.")
        layers = {_dotted(path): layer for path, layer in own_layers(model)}
        return [(layers[name], adapter) for name, adapter in self.adapters.items()]


def adapt(model: GenerativeModel, options: AdapterOptions, seed: int = 0) -> None:
    """Freeze a model and put adapters on it; with those of layers it computes what it did until they are trained.

    A model that was compiled must be compiled again.

    Args:
        model: any family's; soft prompts and prefixes need one that takes them.
        options: which adapters, and of which layers.
        seed: of the adapters' initial weights.

    Raises:
        ConfigError: it is adapted already, no linear layer has such a name, ia3 is to scale both sides of one, or the
            family takes no prompts.
    """
    instance("options", options, AdapterOptions, "options of adapters", mend="Make some: LoRAOptions(rank=8).")
    model.prepare(_SLOT, Adapters(options), Start(seed=seed))


def adapters(model: GenerativeModel) -> dict[str, Any]:
    """Return a model's adapters by the paths of their layers, dots in place of slashes, a prompt as "prompt".

    Raises:
        ConfigError: the model has no adapters.
    """
    return dict(_of(model).adapters)


def detach(model: GenerativeModel) -> None:
    """Take the adapters off: the model computes what it did before, and stays frozen.

    Raises:
        ConfigError: the model has no adapters.
    """
    found = _of(model)
    layers: dict[str, Any] = {_dotted(path): layer for path, layer in own_layers(model)}
    for name in found.adapters:
        if name in layers:
            take_off(layers[name])
    del model.preparations[_SLOT]
    model.forget_samplers()


def merge(model: GenerativeModel) -> dict[str, np.ndarray[Any, Any]]:
    """Put what the adapters learned into the weights and set the adapters back: the model computes the same.

    Returns:
        What `unmerge` needs to undo it: the weights that change, by their names, as they were.

    Raises:
        ConfigError: the model has no adapters, or a prompt, which no weights can stand in for.
    """
    found = _of(model)
    ids = {id(v) for layer, adapter in found.pairs(model) for v in [*layer.variables, *adapter.variables]}
    before = {
        name: np.array(ops.convert_to_numpy(v.value)) for name, v in variable_names(model).items() if id(v) in ids
    }
    found.merge(model)
    return before


def unmerge(model: GenerativeModel, before: dict[str, np.ndarray[Any, Any]]) -> None:
    """Undo a `merge`, to the bit: the weights are the frozen ones again, and the adapters beside them.

    Args:
        model: the one that was merged.
        before: what `merge` returned.

    Raises:
        ConfigError: it is another model's.
    """
    named = variable_names(model)
    for name, value in before.items():
        if name not in named or tuple(named[name].shape) != value.shape:
            raise ConfigError(f"This model has no {name} of shape {value.shape}.", mend="Unmerge what was merged.")
    for name, value in before.items():
        named[name].assign(value)


def _of(model: GenerativeModel) -> Adapters:
    found = model.preparations.get(_SLOT)
    if not isinstance(found, Adapters):
        raise ConfigError("This model has no adapters.", mend="Call adapt(model, LoRAOptions()) first.")
    return found


def _new(model: GenerativeModel, options: AdapterOptions, seed: int) -> dict[str, Any]:
    """Return new adapters by the paths of their layers; a prompt is the family's own to make."""
    if isinstance(options, SoftOptions):
        kind = "prefix" if isinstance(options, PrefixOptions) else "soft"
        return {"prompt": model.new_prompt(kind, options.vectors, seed)}
    found: dict[str, Any]
    if isinstance(options, IA3Options):
        found = {path: IA3(layer, side) for path, (layer, side) in sides(model, options).items()}
    else:
        kind_of = DoRA if isinstance(options, DoRAOptions) else LoRA
        found = {
            # A layer of few outputs has no more ranks than those.
            path: kind_of(layer, min(options.rank, *matrix_shape(layer)), options.scale, options.dropout)
            for path, layer in targets(model, options.target).items()
        }
    for path, adapter in found.items():
        initializers.reseed(adapter, seed ^ zlib.crc32(path.encode()))
    return found


def _dotted(path: str) -> str:
    return path.replace("/", ".")
