"""Denoising diffusion as a GenLoom model: one phase, one network, any process, target, weighting and sampler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import DataSpec, GenerativeModel, Phase, random
from genloom.errors import ConfigError
from genloom.layers import guided, hide_labels
from genloom.model.networks import takes_labels
from genloom_diffusion.bound import variational_bound
from genloom_diffusion.coupling import transported
from genloom_diffusion.likelihood import flow_log_prob
from genloom_diffusion.networks import OwnDenoiser, denoiser_for
from genloom_diffusion.options import (
    DenoisingOptions,
    DiffusionOptions,
    DistilOptions,
    DiTOptions,
    EDMOptions,
    FlowOptions,
)
from genloom_diffusion.parameterisation import predictions, target_of
from genloom_diffusion.process import add_noise, log_snr, process_named
from genloom_diffusion.samplers import SAMPLERS, evaluations, prior
from genloom_diffusion.transformer import transformer_for
from genloom_diffusion.walk import Walk
from genloom_diffusion.weighting import weight

__all__ = ["EDM", "DiT", "Diffusion", "Flow"]

_SURE = 1.0 - 1e-6  # Bounds 2u - 1: a normal of u = 0 or 1 is infinite.
_LEVELS = 4  # Noise levels per held-out sample; stratified, so that their mean is steady.


class Diffusion(GenerativeModel):
    """Denoising diffusion (Ho et al. 2020), in continuous time (Kingma et al. 2021).

    Args:
        spec: what one sample is.
        options: a `DiffusionOptions`, or None to make one from `values`.
        denoiser: your own network of [x, t] or [x, t, one-hot labels]; None builds a dense one for vectors, else a
            U-Net.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: options out of range, or a denoiser that does not fit the data.
    """

    Options: ClassVar[type] = DiffusionOptions
    own_networks: ClassVar = {"denoiser": denoiser_for}
    times: ClassVar[int] = 1
    """How many times the network is given."""
    validation: ClassVar[tuple[str, ...]] = ("loss", "bound")
    """Held-out `loss` as trained, and `bound`, the variational bound in nats per dimension, in the data's own units."""

    def __init__(
        self, spec: DataSpec, options: Any = None, *, denoiser: keras.Layer | None = None, **values: Any
    ) -> None:
        super().__init__(spec, options, **values)
        _check(self.options)
        classes = spec.classes if self.options.conditional else 0
        network = self.network_of("denoiser", denoiser, [spec.shape, (self.times,)], spec.shape, classes)
        self.denoiser = network if denoiser is None else OwnDenoiser(network, classes, self.times)
        self.conditional = bool(classes) and (denoiser is None or takes_labels(network, 2))
        self.process = process_named(self.options.process, self.options.sigma_max, self.options.sigma_min)

    def default_optimizers(self) -> keras.optimizers.Optimizer:
        """Return Adam with the second-moment decay that noisy regression likes."""
        return keras.optimizers.Adam(self.options.learning_rate, beta_2=0.99)

    def phases(self) -> list[Phase]:
        """Return the one phase: denoise."""
        return [Phase("denoiser", lambda: self.denoiser.trainable_variables, self._loss)]

    def scaled(self, batch: dict[str, Any]) -> Any:
        """Return the data of a batch as they are noised: normalised, over `data_deviation`."""
        return self.normalised(batch["x"]) / self.options.data_deviation

    def _loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        x = self.scaled(batch)
        n = x.shape[0]
        u = self._positions(n)
        label = self._training_label(batch, n)
        errors = self._errors(x, u, self._noise_for(x, batch), label, training=True)
        return ops.mean(errors), {}, float(n)

    def taught(self, batch: dict[str, Any], teacher: Diffusion, options: DistilOptions) -> Any:
        """Return the loss, metrics and weight of a step that learns from a teacher of the same process and target.

        Here progressive distillation (Salimans and Ho 2022, algorithm 2): each of this model's `steps` even DDIM steps
        goes where two of the teacher's go.
        """
        x = self.scaled(batch)
        n, steps = x.shape[0], self.options.steps
        i = ops.minimum(ops.floor(self._positions(n) * steps), steps - 1)
        t, middle, s = (self.process.time((i + share) / steps) for share in (1.0, 0.5, 0.0))
        z = add_noise(self.process, x, self.normal(tuple(x.shape)), t)
        label = self._training_label(batch, n)
        output = teacher.answers(options.guidance)
        end = teacher.moved(output, teacher.moved(output, z, t, middle, label), middle, s, label)
        (alpha, sigma), (alpha_s, sigma_s) = self._scales(t), self._scales(s)
        ratio = sigma_s / sigma
        taught = ops.stop_gradient((end - ratio * z) / (alpha_s - ratio * alpha))  # x̂ of one step to the same place
        target = target_of(self.options.target, taught, (z - alpha * taught) / sigma, alpha, sigma)
        return ops.mean(self._weighed(self._network(z, t, label, True) - target, t)), {}, float(n)

    def answers(self, guidance: float = 1.0) -> Callable[[Any, Any, Any], Any]:
        """Return the network (z, t, label) -> its target (n, …), with classifier-free guidance."""
        return guided(self._network, guidance, self.spec.classes) if self.conditional else self._network

    def moved(self, output: Callable[[Any, Any, Any], Any], z: Any, t: Any, s: Any, label: Any) -> Any:
        """Return z at times s (n,) by a DDIM step from z at t (n,)."""
        x, noise = predictions(self.options.target, output(z, t, label), z, *self._scales(t))
        alpha, sigma = self._scales(s)
        return alpha * x + sigma * noise

    def _noise_for(self, x: Any, batch: dict[str, Any]) -> Any:
        """Return the noise (n, …) that scaled data of a batch are trained with."""
        return self.normal(tuple(x.shape))

    def _positions(self, n: int) -> Any:
        """Return n uniforms, a regular grid shifted by one: a batch sees all levels (Kingma et al. 2021, app. I.1)."""
        return (self.uniform((1,)) + ops.arange(n, dtype=keras.config.floatx()) / n) % 1.0

    def _training_label(self, batch: dict[str, Any], n: int) -> Any:
        label = self.labels_of(batch)
        if not self.conditional or self.options.label_dropout == 0.0:
            return label
        return hide_labels(label, self.uniform((n,)), self.options.label_dropout, self.spec.classes)

    def _errors(self, x: Any, u: Any, noise: Any, label: Any, training: bool = False) -> Any:
        """Return the weighted squared error of the target per sample (n,), averaged over its dimensions."""
        t = self._training_time(u)
        z = add_noise(self.process, x, noise, t)
        output = self._network(z, t, label, training)
        return self._weighed(output - target_of(self.options.target, x, noise, *self._scales(t)), t)

    def _training_time(self, u: Any) -> Any:
        """Return the times that training visits for uniform u (n,): even, or with a normal log σ/α."""
        if self.options.levels == "uniform":
            return self.process.time(u)
        normal = math.sqrt(2.0) * ops.erfinv(ops.clip(2.0 * u - 1.0, -_SURE, _SURE))
        log_ratio = self.options.level_mean + self.options.level_deviation * normal
        return self.process.time_of_log_snr(ops.clip(-2.0 * log_ratio, *self.process.log_snr_range()))

    def _weighed(self, error: Any, t: Any) -> Any:
        """Return squared errors (n, …) averaged over all dimensions and weighed by the noise level at t: (n,)."""
        error = ops.mean(ops.reshape(ops.square(error), (error.shape[0], -1)), axis=-1)
        return error * weight(self.options.weighting, self.options.target, log_snr(self.process, t))

    def _scales(self, t: Any) -> tuple[Any, Any]:
        """Return α and σ at t (n,), shaped to broadcast against samples."""
        shape = (-1,) + (1,) * len(self.spec.shape)
        return ops.reshape(self.process.alpha(t), shape), ops.reshape(self.process.sigma(t), shape)

    def _network(self, z: Any, t: Any, label: Any, training: bool = False) -> Any:
        """Run the denoiser on inputs of unit variance, conditioned on the position along the process."""
        alpha, sigma = self._scales(t)
        return self.denoiser(
            z / ops.sqrt(alpha * alpha + sigma * sigma), self.process.position(t), label, training=training
        )

    def distillation_loss(self, batch: dict[str, Any], teacher: Any, temperature: float) -> Any:
        """Return how far the network's outputs are from a teacher's at the same noise, weighted as in the loss.

        Args:
            batch: "x", and "label" where the model is conditional.
            teacher: a model of the same process and target.
            temperature: not used; the outputs are no distributions.
        """
        x = self.scaled(batch)
        t = self._training_time(self.uniform((x.shape[0],)))
        z, label = add_noise(self.process, x, self.normal(tuple(x.shape)), t), self._training_label(batch, x.shape[0])
        taught = ops.stop_gradient(teacher._network(z, t, label))
        return ops.mean(self._weighed(self._network(z, t, label, True) - taught, t))

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the training loss and the variational bound per sample (n,), at keyed noise."""
        x, label, keys = self.scaled(batch), self.labels_of(batch), self.validation_keys(batch)
        offsets = ops.arange(_LEVELS, dtype="float32")[None]
        u = (random.uniform(random.fold(keys, 0), (_LEVELS,)) + offsets) / _LEVELS  # (n, k)
        noise = random.normal(random.fold(keys, 1), (_LEVELS, *self.spec.shape))

        def predict_noise(z: Any, t: Any) -> Any:
            return predictions(self.options.target, self._network(z, t, label), z, *self._scales(t))[1]

        errors = [self._errors(x, u[:, j], noise[:, j], label) for j in range(_LEVELS)]
        bound = variational_bound(predict_noise, self.process, x, u, noise)
        # A density in the data's own units instead of normalised ones.
        bound = (ops.reshape(bound, (-1,)) + self.spec.log_volume) / self.spec.size
        bound = bound + math.log(self.options.data_deviation)
        return {"loss": sum(errors) / _LEVELS, "bound": bound}

    def log_prob(self, x: Any, label: Any = None, *, steps: int = 64) -> Any:
        """Return the log density (n,) of samples (n, *shape), in nats, by the probability flow.

        Of the data blurred by the least noise of the process; with an estimated divergence beyond 8 dimensions.

        Args:
            x: samples in the spec's units.
            label: their classes (n,); None asks a conditional model for the density without labels.
            steps: levels of Heun's rule; each asks the network twice per derivative.
        """
        x = self.scaled({"x": x})
        keys = random.keys(0, x.shape[0])
        held = self._held(keys, {} if label is None else {"label": label})

        def denoise(z: Any, t: Any, held: dict[str, Any]) -> Any:
            return predictions(self.options.target, self._network(z, t, held.get("label")), z, *self._scales(t))[0]

        found = flow_log_prob(denoise, Walk(self.process, steps, "log_snr"), x, keys, held)
        return found - self.spec.log_volume - self.spec.size * math.log(self.options.data_deviation)

    def draw(
        self,
        keys: Any,
        condition: dict[str, Any],
        *,
        sampler: str | None = None,
        steps: int | None = None,
        spacing: str | None = None,
        eta: float | None = None,
        churn: float | None = None,
        guidance: float | None = None,
        guidance_from: float | None = None,
        guidance_to: float | None = None,
    ) -> Any:
        """Return samples (n, *spec.shape) in the value range.

        Args:
            keys: per-sample keys (n, 2).
            condition: {"label": (n,) int32}, or {} for unlabelled samples.
            sampler: one of `SAMPLERS`; None takes the option's, as below.
            steps: noise levels at which the network is called.
            spacing: where they lie, one of `SPACINGS`.
            eta: noise that DDIM adds, in [0, 1].
            churn: noise that heun adds.
            guidance: classifier-free guidance, 1 for none.
            guidance_from: the position from which guidance acts, in [0, 1], 0 the data.
            guidance_to: the position to which it acts.

        Raises:
            ConfigError: an unknown sampler or spacing, or a value out of range.
        """
        chosen = self._chosen(
            sampler=sampler, steps=steps, spacing=spacing, eta=eta, churn=churn,
            guidance=guidance, guidance_from=guidance_from, guidance_to=guidance_to,
        )  # fmt: skip
        held = self._held(keys, condition)
        output: Any = self._network
        if self.conditional and "label" in condition:
            output = guided(self._network, chosen.guidance, self.spec.classes, self._within(chosen))
        most = 1.0 / self.options.data_deviation

        def denoise(z: Any, t: Any, held: dict[str, Any]) -> Any:
            x, _ = predictions(self.options.target, output(z, t, held.get("label")), z, *self._scales(t))
            return ops.clip(x, -most, most) if self._clips else x

        walk = Walk(self.process, chosen.steps, chosen.spacing, chosen.eta, chosen.churn)
        z = prior(self.process, keys, self.spec.shape)
        x = SAMPLERS[chosen.sampler](denoise, walk, z, keys, held)
        return self.denormalised(x * self.options.data_deviation)

    def _chosen(self, **asked: Any) -> Any:
        """Return the options with those of sampling that are asked for, none contradicting another."""
        chosen = self.options_with(**asked)
        _check(chosen)
        return chosen

    def _held(self, keys: Any, condition: dict[str, Any]) -> dict[str, Any]:
        """Return what varies between draws: the label of each sample, or the one that means none."""
        if not self.conditional:
            return {}
        null = ops.full((keys.shape[0],), self.spec.classes, dtype="int32")
        return {"label": ops.cast(condition.get("label", null), "int32")}

    def _within(self, chosen: DenoisingOptions) -> Callable[[Any], Any] | None:
        """Return whether guidance acts at times t (n,); None where it always does (Kynkäänniemi et al. 2024, eq. 5)."""
        first, last = chosen.guidance_from, chosen.guidance_to
        if (first, last) == (0.0, 1.0):
            return None

        def within(t: Any) -> Any:
            # Rounding puts the first and the last level a little beyond the ends.
            place = ops.clip(self.process.position(t if len(t.shape) == 1 else t[:, 0]), 0.0, 1.0)
            return ops.logical_and(place >= first, place <= last)

        return within

    def evaluations(self, **asked: Any) -> int:
        """Return network evaluations per sample under sampling options; guidance doubles them."""
        chosen = self.options_with(**asked)
        return evaluations(chosen.sampler, chosen.steps) * (2 if self.conditional and chosen.guidance != 1.0 else 1)

    @property
    def _clips(self) -> bool:
        return bool(self.options.clip) and self.spec.value_range is not None


class EDM(Diffusion):
    """Diffusion with the choices of Karras et al. 2022."""

    Options: ClassVar[type] = EDMOptions


class Flow(Diffusion):
    """Rectified flow: the same with a straight process, and a choice of which noise goes with which data."""

    Options: ClassVar[type] = FlowOptions

    def taught(self, batch: dict[str, Any], teacher: Diffusion, options: DistilOptions) -> Any:
        """Return the loss on noise and where the teacher's flow takes it: reflow (Liu et al. 2023, algorithm 1)."""
        n = batch["x"].shape[0]
        label = self._training_label(batch, n)
        noise = self.normal((n, *self.spec.shape))
        output, z = teacher.answers(options.guidance), noise * self.process.prior_deviation
        for i in range(options.steps, 0, -1):
            t, s = (self.process.time(ops.full((n,), j / options.steps)) for j in (i, i - 1))
            z = teacher.moved(output, z, t, s, label)
        errors = self._errors(ops.stop_gradient(z), self._positions(n), noise, label, training=True)
        return ops.mean(errors), {}, float(n)

    def _noise_for(self, x: Any, batch: dict[str, Any]) -> Any:
        noise = super()._noise_for(x, batch)
        if self.options.coupling == "independent":
            return noise
        label = self.labels_of(batch) if self.conditional else None
        return ops.stop_gradient(transported(x, noise, self.uniform((x.shape[0],)), label))


class DiT(Diffusion):
    """The same with a transformer for a network (Peebles and Xie 2023)."""

    Options: ClassVar[type] = DiTOptions
    own_networks: ClassVar = {"denoiser": transformer_for}


def _check(options: DenoisingOptions) -> None:
    """Refuse options that contradict each other."""
    if options.guidance_from > options.guidance_to:
        raise ConfigError(
            f"guidance_from must not be above guidance_to, got {options.guidance_from} and {options.guidance_to}.",
        )
    if options.process == "exploding" and options.sigma_min >= options.sigma_max:
        raise ConfigError(f"sigma_min must be below sigma_max, got {options.sigma_min} and {options.sigma_max}.")
