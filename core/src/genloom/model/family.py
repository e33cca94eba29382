"""What a family says of itself: what it must implement, and what it may, with what holds where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

import keras
import numpy as np
from keras import ops

from genloom.errors import ConfigError, PluginError
from genloom.model.alarm import Alarm
from genloom.model.muon import hidden_matrices
from genloom.model.naming import own_layers
from genloom.model.networks import check_network, full_precision, one_hot
from genloom.model.phase import Phase
from genloom.options import configure

if TYPE_CHECKING:
    from genloom.data.spec import DataSpec
    from genloom.runs import Run

__all__ = ["Family"]

Optional = Literal["decode", "discriminator_logits", "distillation_loss", "encode", "log_prob", "new_prompt"]


class Family:
    """The interface of `GenerativeModel`, apart from the engine that trains it."""

    spec: DataSpec
    """What one sample is."""

    Options: ClassVar[type] = type(None)
    """The family's frozen dataclass of options; none is called as an argument of the constructor, or as `RESERVED`."""

    options: Any = None
    """An instance of `Options`; None in a family that has none."""

    own_networks: ClassVar[Mapping[str, Callable[[Any, Any, int], keras.Layer]]] = MappingProxyType({})
    """Role of a network → what builds the family's own from (spec, options, classes); see `network_of`."""

    validation: ClassVar[tuple[str, ...]] = ()
    """Names that `validate` returns."""

    directions: ClassVar[Mapping[str, bool | None]] = MappingProxyType({})
    """Of a name in `validation`, whether lower is better: True where none is given, None for a part of a loss, such as
    a divergence, of which neither less nor more is better alone."""

    loaded_step: int | None = None
    """Training steps of the checkpoint that `genloom.load` read; None for a model that it did not make."""

    conditional: bool | None = None
    """Whether samples are asked for by class; None means wherever the data have classes."""

    conditions: tuple[str, ...] = ()
    """Conditions that `draw` takes beside the label and those of the data, such as "prompt"."""

    latent: DataSpec | None = None
    """What one code of `encode` is; None without a latent space, or where nothing is to be trained on codes."""

    # What a family must implement.

    def phases(self) -> list[Phase]:
        """Return the ordered update phases of one training step."""
        raise PluginError(f"{type(self).__name__} must implement phases().")

    def draw(self, keys: Any, condition: dict[str, Any], **options: Any) -> Any:
        """Return samples (n, *spec.shape) in the spec's value range for per-sample keys (n, 2). Pure."""
        raise PluginError(f"{type(self).__name__} must implement draw().")

    # What it may use.

    def network_of(
        self, role: str, given: keras.Layer | None, shapes: Sequence[Sequence[int]], output: Sequence[int], classes: int
    ) -> keras.Layer:
        """Return the caller's network for a role, held against its shapes, or else the family's own.

        Args:
            role: its name, as in `own_networks` and in the constructor's arguments.
            given: what the caller handed over, or None.
            shapes: shape of one sample of each input, without the batch axis.
            output: shape of one output sample, without the batch axis.
            classes: width of the one-hot labels that a further input gets; 0 without labels.

        Raises:
            ConfigError: one that does not fit, or none where the family has none of its own.
        """
        if given is not None:
            check_network(role, given, shapes, output, classes)
            return given
        if role not in self.own_networks:
            raise ConfigError(f"{type(self).__name__} has no {role} of its own.", mend=f"Pass {role}=.")
        return self.own_networks[role](self.spec, self.options, classes)

    def labels_of(self, given: Mapping[str, Any]) -> Any:
        """Return the class numbers int32 (n,) in a batch or condition, None where there are none.

        Raises:
            ConfigError: the model is conditional and got none.
        """
        labels = given.get("label")
        if labels is None and self.takes_labels:
            raise ConfigError("This model is conditional and got no labels.", mend="Pass label=, or conditional=false.")
        return None if labels is None or not self.spec.classes else ops.cast(ops.convert_to_tensor(labels), "int32")

    def one_hot_of(self, given: Mapping[str, Any]) -> Any:
        """Return `labels_of` as one-hot rows (n, classes), None where there are none."""
        labels = self.labels_of(given)
        return None if labels is None else one_hot(labels, self.spec.classes)

    def normalised(self, x: Any) -> Any:
        """Map samples in the spec's units, an array or a tensor, to those the networks work in, in full precision."""
        return self.spec.normalise(full_precision(x))

    def denormalised(self, x: Any) -> Any:
        """Map what networks made, (n, *shape) or flat (n, size), to samples (n, *shape) within the spec's range."""
        x = self.spec.denormalise(x)
        if self.spec.value_range is not None:
            x = ops.clip(x, *self.spec.value_range)
        return ops.reshape(x, (-1, *self.spec.shape))

    def options_with(self, **asked: Any) -> Any:
        """Return the options with those in their place that are asked for, checked like any; None asks for nothing."""
        given = {name: value for name, value in asked.items() if value is not None}
        return configure(self.Options, vars(self.options), given)

    # What it may implement, for training.

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return held-out values (n,), one per sample, under exactly the names in `validation`."""
        return {}

    def validation_weights(self, batch: dict[str, Any]) -> Any:
        """Return how much each sample (n,) counts in the means of its held-out values, such as its tokens; one each."""
        return ops.ones((ops.shape(batch["x"])[0],), "float32")

    def after_step(self) -> None:
        """Update what has no gradient, after the phases of a step."""

    def default_optimizers(self) -> Any:
        """Return the optimizer, or one per phase, that suits the family's defaults."""
        return keras.optimizers.Adam(1e-3)

    def statistics(self) -> list[keras.Variable]:
        """Return what passes in training move without a gradient, such as the moments of batch normalisation.

        They are averaged like the weights: the float variables of layers that are trainable, made not trainable.
        """
        layers = [layer for _, layer in own_layers(self) if layer.trainable]
        return [v for layer in layers for v in layer._non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]

    def hidden_matrices(self) -> list[keras.Variable]:
        """Return what the optimizer Muon moves: the kernels of each network but its last."""
        return hidden_matrices(self)

    def alarms(self) -> list[Alarm]:
        """Return the numbers that tell while there is time that a training goes wrong, see `genloom.model.alarm`."""
        return []

    def distillation_loss(self, batch: dict[str, Any], teacher: Any, temperature: float) -> Any:
        """Return how far the predictions for a batch are from a teacher's, a scalar (Hinton et al. 2015, section 2)."""
        self._lacks("distillation_loss(batch, teacher, temperature)", "Use another remedy, such as replay.")

    def new_prompt(self, kind: str, vectors: int, seed: int) -> Any:
        """Return a layer that is a learned prompt of kind "soft" or "prefix", with `kind`, `vectors` and `memory`."""
        self._lacks(f"learned prompt of kind {kind!r}", "Use lora, dora or ia3.")

    # What it may implement, for sampling and beyond.

    def attach(self, run: Run) -> None:
        """Read what a run keeps beside the weights, such as a tokenizer; `genloom.load` calls it."""

    def read_condition(self, given: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Return the arrays that `draw` takes for what a caller wrote, such as a prompt; on the host, before checks."""
        return given

    def finish(
        self, samples: np.ndarray[Any, Any], condition: Mapping[str, Any], options: Mapping[str, Any]
    ) -> np.ndarray[Any, Any]:
        """Return samples (n, *spec.shape), drawn for a condition by sampling options, as they are to be handed out."""
        return samples

    def evaluations(self, **options: Any) -> int | None:
        """Return the network evaluations that one sample costs with these options of `draw`; None: not told."""
        return None

    def encode(self, x: Any, label: Any = None) -> Any:
        """Return the codes (n, *latent) of samples (n, *shape); an encoder without labels leaves `label` out."""
        self._lacks("encode()", _LATENT)

    def decode(self, z: Any, label: Any = None) -> Any:
        """Return the samples (n, *shape) of codes (n, *latent); a decoder without labels leaves `label` out."""
        self._lacks("decode()", _LATENT)

    def log_prob(self, x: Any) -> Any:
        """Return the log density (n,) of samples, in nats, or a lower bound of it."""
        self._lacks("log_prob()", "Use a model with a likelihood, such as vae/conv.")

    def discriminator_logits(self, x: Any, label: Any = None) -> Any:
        """Return a discriminator's logits (n,) of samples: the higher, the more real."""
        self._lacks("discriminator", "Use a model with one, such as gan/dcgan.")

    @property
    def takes_labels(self) -> bool:
        """Whether samples are asked for by class, see `conditional`."""
        wherever = "label" in self.spec.condition
        return bool(self.spec.classes) and (wherever if self.conditional is None else bool(self.conditional))

    @classmethod
    def can(cls, method: Optional) -> bool:
        """Whether the family implements a method that has no default."""
        return getattr(cls, method) is not getattr(Family, method)

    def _lacks(self, what: str, mend: str) -> NoReturn:
        raise ConfigError(f"{type(self).__name__} has no {what}.", mend=mend)


_LATENT = "Use a model with a latent space, such as vae/conv."
