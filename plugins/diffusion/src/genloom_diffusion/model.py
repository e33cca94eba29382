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
from genloom_diffusion.checks import check_changed, check_guidance, check_guides, check_options
from genloom_diffusion.coupling import transported
from genloom_diffusion.guidance import autoguided, between, classifier_guided, thresholded
from genloom_diffusion.likelihood import flow_log_prob
from genloom_diffusion.networks import OwnDenoiser, denoiser_for
from genloom_diffusion.options import DiffusionOptions, DistilOptions, DiTOptions, EDMOptions, FlowOptions
from genloom_diffusion.parameterisation import predictions, target_of
from genloom_diffusion.process import add_noise, even_positions, log_snr, process_named
from genloom_diffusion.samplers import SAMPLERS, evaluations, prior
from genloom_diffusion.stepping import Denoise
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
        check_changed(self.options, spec)
        classes = spec.classes if self.options.conditional else 0
        network = self.network_of("denoiser", denoiser, [spec.shape, (self.times,)], spec.shape, classes)
        self.denoiser = network if denoiser is None else OwnDenoiser(network, classes, self.times)
        self.conditional = bool(classes) and (denoiser is None or takes_labels(network, 2))
        self.process = process_named(self.options.process, self.options.sigma_max, self.options.sigma_min)
        self._weaker: Denoise | None = None
        self._classifier: Callable[[Any, Any], Any] | None = None

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
        """Return the positions (n,) along the process that a step trains at."""
        return even_positions(self.uniform((1,)), n)

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

        found = flow_log_prob(self.denoiser_of(self._network), Walk(self.process, steps, "log_snr"), x, keys, held)
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
        tolerance: float | None = None,
        threshold: float | None = None,
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
            tolerance: error of a step that rk45 allows.
            threshold: share of a sample's values that dynamic thresholding keeps, 0 for none.
            guidance: by labels, 1 for none; or by what `guided_by` named.
            guidance_from: the position from which guidance acts, in [0, 1], 0 the data.
            guidance_to: the position to which it acts.

        Raises:
            ConfigError: an unknown sampler or spacing, a value out of range, or one that nothing heeds.
        """
        chosen = self._chosen(
            sampler=sampler, steps=steps, spacing=spacing, eta=eta, churn=churn, tolerance=tolerance,
            threshold=threshold, guidance=guidance, guidance_from=guidance_from, guidance_to=guidance_to,
        )  # fmt: skip
        z = prior(self.process, keys, self.spec.shape)
        return self.denormalised(self._walked(z, keys, condition, chosen) * self.options.data_deviation)

    def trajectory(self, keys: Any, condition: dict[str, Any] | None = None, **asked: Any) -> Any:
        """Return the way from noise to samples: (steps + 1, n, *spec.shape), in the data's units.

        Rows are z at each noise level, the most first, and last the samples, as `draw` returns them.

        Args:
            keys: per-sample keys (n, 2), such as `genloom.random.keys(seed, n)`.
            condition: as for `draw`.
            **asked: as for `draw`.

        Raises:
            ConfigError: as `draw`; or the sampler visits no levels that all samples share.
        """
        chosen = self._chosen(**asked)
        if chosen.sampler in ("rk45", "mean"):
            raise ConfigError(f"sampler={chosen.sampler} keeps no trajectory.", mend="Use sampler=heun, or another.")
        z = prior(self.process, keys, self.spec.shape)
        path = self._walked(z, keys, condition or {}, chosen, kept=True) * self.options.data_deviation
        return ops.concatenate([self.spec.denormalise(path[:-1]), self.denormalised(path[-1])[None]])

    def _walked(self, z: Any, keys: Any, condition: dict[str, Any], chosen: Any, **more: Any) -> Any:
        """Return what the chosen sampler makes of z (n, *shape), scaled; `more` are fields of `Walk`."""
        walk = Walk(self.process, chosen.steps, chosen.spacing, chosen.eta, chosen.churn, chosen.tolerance, **more)
        denoise = self.guided_denoiser(chosen, "label" in condition)
        return SAMPLERS[chosen.sampler](denoise, walk, z, keys, self._held(keys, condition))

    def guided_by(
        self, *, weaker: Diffusion | None = None, classifier: Callable[[Any, Any], Any] | None = None
    ) -> None:
        """Name what samples are guided by from now on in the place of labels; nothing named ends it.

        The sampling option `guidance` is its strength, between `guidance_from` and `guidance_to`.

        Args:
            weaker: a model of the same data, process and scale that has learnt less, such as a smaller one or one of
                fewer steps; guidance above 1 pushes away from it (autoguidance, Karras et al. 2024).
            classifier: `classifier(z, t)` -> logits (n, classes) of noised data z (n, *shape), α x + σ ε for data x
                over `data_deviation`, at times t (n,) of the process. With guidance=1 samples follow its labels
                (Dhariwal and Nichol 2021).

        Raises:
            ConfigError: both, a weaker model of another process, or a classifier of data without classes.
        """
        check_guides(self, weaker, classifier)
        # Functions, for Keras would take networks for parts of this model.
        self._weaker = None if weaker is None else weaker.denoiser_of(weaker._network)
        self._classifier = None if classifier is None else lambda z, t: classifier(z, t)
        self.forget_samplers()

    @property
    def takes_labels(self) -> bool:
        """Whether samples are asked for by class: the network has learnt them, or a classifier knows them."""
        return super().takes_labels or self._classifier is not None

    def guided_denoiser(self, chosen: Any, labelled: bool) -> Denoise:
        """Return `denoise(z, t, held)` -> x̂ as sampling options have it, for samples with labels or without."""
        scale, within = chosen.guidance, between(self.process, chosen.guidance_from, chosen.guidance_to)
        denoise = self.denoiser_of(self._network)
        if self._weaker is not None:
            denoise = autoguided(denoise, self._weaker, scale, within)
        elif self._classifier is not None and labelled:
            denoise = self.denoiser_of(lambda z, t, label: self._network(z, t, self._hidden(label)))
            denoise = classifier_guided(denoise, self.process, self._classifier, scale, within)
        elif self.conditional and labelled:
            denoise = self.denoiser_of(guided(self._network, scale, self.spec.classes, within))
        if not self.options.clip or self.spec.value_range is None:
            return denoise
        return thresholded(denoise, 1.0 / self.options.data_deviation, chosen.threshold)

    def denoiser_of(self, output: Callable[[Any, Any, Any], Any]) -> Denoise:
        """Return `denoise(z, t, held)` -> x̂ for the outputs `output(z, t, label)` of a network."""

        def denoise(z: Any, t: Any, held: dict[str, Any]) -> Any:
            label = held.get("label") if self.conditional else None
            return predictions(self.options.target, output(z, t, label), z, *self._scales(t))[0]

        return denoise

    def _chosen(self, **asked: Any) -> Any:
        """Return the options with those of sampling that are asked for, none contradicting another."""
        chosen = self.options_with(**asked)
        asked = {name: value for name, value in asked.items() if value is not None}
        check_options(chosen, self.spec, asked)
        if asked.get("guidance", 1.0) != 1.0 and self._weaker is None and self._classifier is None:
            check_guidance(chosen, bool(self.conditional))
        return chosen

    def _held(self, keys: Any, condition: dict[str, Any]) -> dict[str, Any]:
        """Return what varies between draws: the label of each sample, or the one that means none."""
        if not self.takes_labels:
            return {}
        null = ops.full((keys.shape[0],), self.spec.classes, dtype="int32")
        return {"label": ops.cast(condition.get("label", null), "int32")}

    def _hidden(self, label: Any) -> Any:
        """Return the label that means none in the place of each (n,)."""
        # full_like() reads its value on the host on torch: no capture.
        return None if label is None else ops.zeros_like(label) + self.spec.classes

    def evaluations(self, **asked: Any) -> int:
        """Return network evaluations per sample under sampling options; guidance doubles them."""
        chosen = self.options_with(**asked)
        twice = chosen.guidance != 1.0 and (self._weaker is not None or (self.conditional and self._classifier is None))
        return evaluations(chosen.sampler, chosen.steps) * (2 if twice else 1)


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
            t, s = (self.process.time(ops.ones((n,)) * (j / options.steps)) for j in (i, i - 1))
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
