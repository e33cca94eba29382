"""Latent diffusion: a diffusion model of the codes that another run's trained autoencoder gives (Rombach et al. 2022).

`genloom train diffusion/latent --data X --set autoencoder=RUN`: any registered model with `encode`, `decode` and
`latent` will do. It is frozen, and its weights become part of the new run.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import DataSpec, GenerativeModel, Phase
from genloom.errors import ConfigError
from genloom.model.networks import full_precision
from genloom_diffusion.model import Diffusion
from genloom_diffusion.options import DiffusionOptions, LatentOptions

__all__ = ["CodeScale", "Latent"]

_MEASURED_STEPS = 100  # of a training: the scale is known to a percent, and later steps may count on it


class Latent(GenerativeModel):
    """Diffusion of codes: z = encode(x) is noised and denoised, and samples are decode(z).

    Args:
        spec: what one sample is.
        options: a `LatentOptions`, or None to make one from `values`.
        autoencoder: the trained model; `genloom.create` and `genloom.train` open the run that the option of this name
            gives. It is frozen.
        denoiser: your own network of codes, as for `Diffusion`.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: options out of range, an autoencoder without codes or of other classes, or a denoiser that does not
            fit the codes.
    """

    Options: ClassVar[type] = LatentOptions
    validation: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        autoencoder: GenerativeModel | None = None,
        denoiser: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        super().__init__(spec, options, **values)
        self.autoencoder, self.latent = _checked(autoencoder, spec)
        self.autoencoder.trainable = False
        codes = self.latent.replace(**{name: getattr(spec, name) for name in _OF_CLASSES})
        chosen = {field.name: getattr(self.options, field.name) for field in dataclasses.fields(DiffusionOptions)}
        self.diffusion = Diffusion(
            codes, DiffusionOptions(**chosen), denoiser=denoiser, seed=self.seed, noise=self.noise
        )
        self.conditional = self.diffusion.takes_labels or self.autoencoder.takes_labels
        self.scale = CodeScale(codes)

    def phases(self) -> list[Phase]:
        """Return the phases of the diffusion, their losses on codes."""
        return [dataclasses.replace(phase, loss=self._on_codes(phase.loss)) for phase in self.diffusion.phases()]

    def _on_codes(self, loss: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def on_codes(batch: dict[str, Any]) -> Any:
            z = self._encoded(batch)
            self.scale.learn(z, self.step < _MEASURED_STEPS)
            return loss({**batch, "x": self.scale.over(z)})

        return on_codes

    def default_optimizers(self) -> Any:
        """Return those of the diffusion."""
        return self.diffusion.default_optimizers()

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the training loss per sample (n,), at keyed noise."""
        return {"loss": self.diffusion.validate({**batch, "x": self.encode(batch["x"], batch.get("label"))})["loss"]}

    @functools.wraps(Diffusion.draw, assigned=())  # whose sampling options it takes
    def draw(self, keys: Any, condition: dict[str, Any], **asked: Any) -> Any:  # type: ignore[override]
        """Return samples (n, *spec.shape) in the value range: codes drawn as by `Diffusion.draw`, decoded."""
        return self.decode(self.diffusion.draw(keys, condition, **asked), condition.get("label"))

    def evaluations(self, **asked: Any) -> int:
        """Return evaluations of the denoiser per sample; the decoder's one is not counted."""
        return self.diffusion.evaluations(**asked)

    def encode(self, x: Any, label: Any = None) -> Any:
        """Return the codes (n, *latent) that are diffused: the autoencoder's, over their mean and deviation."""
        return self.scale.over(self._encoded({"x": x, "label": label}))

    def decode(self, z: Any, label: Any = None) -> Any:
        """Return the samples (n, *spec.shape) of codes (n, *latent)."""
        z = self.scale.times(ops.convert_to_tensor(z))
        return self.autoencoder.decode(z, **self._labels_for("decode", label))

    def _encoded(self, batch: dict[str, Any]) -> Any:
        """Return the autoencoder's own codes of a batch; nothing is learnt through them."""
        labels = self._labels_for("encode", batch.get("label"))
        return full_precision(ops.stop_gradient(self.autoencoder.encode(batch["x"], **labels)))

    def _labels_for(self, method: str, label: Any) -> dict[str, Any]:
        """Return the labels for `encode` or `decode` of an autoencoder that takes them there."""
        takes = "label" in inspect.signature(getattr(self.autoencoder, method)).parameters
        return {"label": label} if takes and self.autoencoder.takes_labels else {}


class CodeScale(keras.layers.Layer):
    """Mean and deviation of codes, one for each place of their last axis, learnt in the first steps of a training.

    Codes whose spec has a range or a scale keep theirs. Not trainable, and no statistic that is averaged: codes of all
    steps but the first ones are on one scale.

    Args:
        spec: of the codes.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(trainable=False, dtype="float32")
        self.spec = spec
        places = int(spec.shape[-1])
        zeros = {"initializer": "zeros", "trainable": False}
        self.count = self.add_weight(shape=(), name="count", **zeros)
        self.mean = self.add_weight(shape=(places,), name="mean", **zeros)
        self.variance = self.add_weight(shape=(places,), name="variance", **zeros)
        self.built = True

    def learn(self, z: Any, learning: Any) -> None:
        """Take codes (n, *latent) into account where `learning`, a boolean scalar of the engine (Chan et al. 1983)."""
        if self.spec.value_range is not None or self.spec.scale:
            return
        rows = ops.cast(ops.reshape(z, (-1, z.shape[-1])), "float32")
        count = self.count + ops.cast(learning, "float32") * rows.shape[0]
        share = (count - self.count) / ops.maximum(count, 1.0)
        off = ops.mean(rows, axis=0) - self.mean
        self.variance.assign((1.0 - share) * (self.variance + share * off**2) + share * ops.var(rows, axis=0))
        self.mean.assign(self.mean + share * off)
        self.count.assign(count)

    def over(self, z: Any) -> Any:
        """Return codes (n, *latent) with mean 0 and deviation 1, or as they are where their spec says their scale."""
        return (z - self._like(self.mean, z)) / self._like(self.deviation, z)

    def times(self, z: Any) -> Any:
        """Return codes on the autoencoder's own scale: the inverse of `over`."""
        return z * self._like(self.deviation, z) + self._like(self.mean, z)

    @property
    def deviation(self) -> Any:
        """Standard deviation (places,), 1 where codes do not vary or none were seen."""
        return ops.where(self.variance > 0.0, ops.sqrt(self.variance), 1.0)

    @staticmethod
    def _like(value: Any, z: Any) -> Any:
        return ops.cast(value, z.dtype)


_OF_CLASSES = ("classes", "class_names", "class_frequencies", "condition")


def _checked(autoencoder: Any, spec: DataSpec) -> tuple[GenerativeModel, DataSpec]:
    """Return an autoencoder of such data, and what a code of it is.

    Raises:
        ConfigError: none is given, or one that has no continuous codes or asks for other classes.
    """
    if not isinstance(autoencoder, GenerativeModel):
        raise ConfigError(
            f"Latent diffusion needs a trained autoencoder, got {type(autoencoder).__name__}.",
            mend="Train one, then name its run: genloom.create('diffusion/latent', spec, autoencoder=RUN).",
        )
    name, latent = type(autoencoder).__name__, autoencoder.latent
    if latent is None or latent.holds_tokens:
        raise ConfigError(
            f"{name} has no {'codes' if latent is None else 'continuous codes'} to diffuse.",
            mend="Use a model with a continuous latent space, such as vae/conv.",
        )
    if autoencoder.takes_labels and autoencoder.spec.classes != spec.classes:
        raise ConfigError(
            f"{name} asks for labels of {autoencoder.spec.classes} classes; these data have {spec.classes}.",
            mend="Train it with conditional=false, or on the same classes.",
        )
    return autoencoder, latent
