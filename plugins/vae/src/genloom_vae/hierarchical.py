"""`vae/hierarchical`: a ladder of two to four levels of latents, each conditioned on those above it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.model import Alarm, GenerativeModel, Phase
from genloom.model.networks import run_network, takes_labels
from genloom.objectives import gaussian_log_prob, kl_between_gaussians
from genloom_vae.alarms import inactive_units, vanishing_kl
from genloom_vae.bits import bits_of, dequantised, level_nats
from genloom_vae.hierarchical_options import HierarchicalOptions
from genloom_vae.ladder import Rung, bounded, ladder_decoder, ladder_encoder, merged
from genloom_vae.likelihoods import decoder_shape, likelihood_of

__all__ = ["HierarchicalVAE"]


class HierarchicalVAE(GenerativeModel):
    """A ladder variational autoencoder (Sønderby et al. 2016) whose features carry every level down to x.

    p(x, z) = p(x|z) p(z_L) Π p(z_i|z_>i). On the way up the encoder estimates each level from x alone; on the way down
    q(z_i|z_>i, x) is that estimate times p(z_i|z_>i), normalised, so that a level which x says nothing of is the prior.

    Loss: −ELBO = E_q[−log p(x|z)] + β Σ_i KL(q(z_i|z_>i, x) ‖ p(z_i|z_>i)), β growing from 0 over `warm_up` steps;
    each KL is exact given the levels above. `kl_1` is that of the level nearest to x.

    Args:
        spec: what one sample is.
        options: a `HierarchicalOptions`, or None.
        encoder: maps normalised samples (n, *shape) to (n, 2 Σ latents): of each level, nearest to x first, mean and
            log-variance.
        decoder: maps features (n, hidden[0]) to what the likelihood reads, (n, *shape) of a Gaussian.
            A network of two inputs also gets one-hot labels (n, classes).
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit, a likelihood that the data cannot have, convolutions
            of what is no image, or an unknown option.
    """

    Options: ClassVar[type] = HierarchicalOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "kl")
    own_networks: ClassVar = {"encoder": ladder_encoder, "decoder": ladder_decoder}

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        super().__init__(spec, options, **values)
        o, self.likelihood = self.options, likelihood_of(spec, self.options)
        if o.channels and len(spec.shape) != 3:
            raise ConfigError(
                f"channels={o.channels} are of images (height, width, channels), the data are {spec.shape}.",
                mend="Leave channels empty: the networks are dense then.",
            )
        classes = spec.classes if o.conditional else 0
        self.encoder = self.network_of("encoder", encoder, [spec.shape], (2 * sum(o.latents),), classes)
        self.decoder = self.network_of("decoder", decoder, [(o.hidden[0],)], decoder_shape(spec, o), classes)
        self.conditional = takes_labels(self.decoder)
        above, known = (*o.hidden[1:], 0), classes if self.conditional else 0
        self.rungs = [Rung(*sizes, known) for sizes in zip(above, o.hidden, o.latents, strict=True)]
        self.levels = tuple(f"kl_{level}" for level in range(1, len(o.latents) + 1))
        self.level_nats = level_nats(spec, o, self.likelihood)
        told = () if self.level_nats is None else ("bits",)
        self.validation = (*type(self).validation, *self.levels, *told)  # type: ignore[misc]
        self.directions = dict.fromkeys(("reconstruction", "kl", *self.levels))  # type: ignore[misc]

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: the levels one after the other, nearest to x first, an unbounded vector."""
        return DataSpec((sum(self.options.latents),), "signal", value_range=None, classes=self.spec.classes)

    # Training.

    def alarms(self) -> list[Alarm]:
        """Return those of posterior collapse, of all levels together."""
        return [inactive_units(self), vanishing_kl()]

    def phases(self) -> list[Phase]:
        """Return the one phase `elbo`, which moves every variable."""
        return [Phase("elbo", lambda: self.trainable_variables, self.loss_of, ("reconstruction", "kl", *self.levels))]

    def default_optimizers(self) -> keras.optimizers.Optimizer:
        """Return Adam at the option `learning_rate`."""
        return keras.optimizers.Adam(self.options.learning_rate)

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the mean objective of a batch, its terms, and the number of samples."""
        x, n = batch["x"], int(batch["x"].shape[0])
        if self.options.dequantise:
            x = dequantised(x, self.uniform(tuple(x.shape)), self.spec)
        noise = self.normal((n, self.latent.size))
        values = {name: ops.mean(value) for name, value in self.terms(x, self.one_hot_of(batch), noise, True).items()}
        return values["reconstruction"] + self.options.beta * self.warmth() * values["kl"], values, float(n)

    def warmth(self) -> Any:
        """Return the share of β that counts at this step (Sønderby et al. 2016, §2.3)."""
        if not self.options.warm_up:
            return 1.0
        return ops.minimum(ops.cast(self.step, keras.config.floatx()) / self.options.warm_up, 1.0)

    def terms(self, x: Any, labels: Any, noise: Any, training: bool = False) -> dict[str, Any]:
        """Return −log p(x|z), the KL and its levels per sample (n,), of x in the spec's units and noise (n, d)."""
        x, kls, parts = self.normalised(x), {}, self.parts(noise)
        estimates = self.estimates(x, labels, training)

        def posterior(level: int, prior: tuple[Any, Any]) -> Any:
            q = merged(estimates[level], prior)
            kls[self.levels[level]] = kl_between_gaussians(*q, *prior)
            return _drawn(q, parts[level])

        features = self.descend(int(noise.shape[0]), labels, posterior)
        output = run_network(self.decoder, features, labels=labels, training=training)
        return {"reconstruction": -self.likelihood.log_prob(x, output), "kl": sum(kls.values()), **kls}

    def estimates(self, x: Any, labels: Any, training: bool = False) -> list[tuple[Any, Any]]:
        """Return what normalised x alone says of each level, nearest to x first: mean and log-variance (n, d_i)."""
        found = run_network(self.encoder, x, labels=labels, training=training)
        return [bounded(part) for part in _split(found, [2 * size for size in self.options.latents])]

    def parts(self, z: Any) -> list[Any]:
        """Return a code (n, Σ d_i) as its levels (n, d_i), nearest to x first."""
        return _split(z, list(self.options.latents))

    def descend(self, n: int, labels: Any, choose: Callable[[int, tuple[Any, Any]], Any]) -> Any:
        """Return the features (n, hidden[0]) of latents chosen from the top down.

        Args:
            n: samples.
            labels: one-hot (n, classes), or None.
            choose: `choose(level, prior)` gives z (n, d_i); the level nearest to x is 0, the prior its mean and
                log-variance given the levels above.
        """
        given, above = labels if self.conditional else None, None
        for level in reversed(range(len(self.rungs))):
            rung = self.rungs[level]
            above = rung.down(choose(level, rung.prior_of(n, above, given)), above, given)
        return above

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the bound at β, its terms and, where they can be counted, `bits` per sample (n,); one draw each."""
        keys, x = self.validation_keys(batch), batch["x"]
        if self.options.dequantise:
            x = dequantised(x, random.uniform(random.fold(keys, 1), tuple(x.shape[1:])), self.spec)
        values = self.terms(x, self.one_hot_of(batch), random.normal(keys, self.latent.shape))
        found = {"loss": values["reconstruction"] + self.options.beta * values["kl"], **values}
        return found if self.level_nats is None else {**found, "bits": bits_of(values, self.level_nats, self.spec.size)}

    # Use.

    def draw(self, keys: Any, condition: dict[str, Any], *, observation_noise: float | None = None) -> Any:
        """Return samples (n, *shape) in the spec's range: every level from its prior, then the likelihood's mean.

        Args:
            keys: int32 (n, 2).
            condition: {"label": int32 (n,)} when the model is conditional.
            observation_noise: share of the likelihood's own noise to add; the option of that name when None.
        """
        share = self.options_with(observation_noise=observation_noise).observation_noise
        labels, noise = self.one_hot_of(condition), self.parts(random.normal(random.fold(keys, 0), self.latent.shape))
        features = self.descend(int(keys.shape[0]), labels, lambda level, prior: _drawn(prior, noise[level]))
        output = run_network(self.decoder, features, labels=labels)
        return self.denormalised(self.likelihood.sample(random.fold(keys, 1), output, share))

    def encode(self, x: Any, label: Any = None) -> Any:
        """Return the posterior means, each given those above: (n, *shape) in the spec's range → (n, Σ d_i)."""
        x, labels = self.normalised(x), self.one_hot_of({"label": label})
        estimates, means = self.estimates(x, labels), {}

        def mean(level: int, prior: tuple[Any, Any]) -> Any:
            means[level] = merged(estimates[level], prior)[0]
            return means[level]

        self.descend(int(x.shape[0]), labels, mean)
        return ops.concatenate([means[level] for level in sorted(means)], axis=-1)

    def decode(self, z: Any, label: Any = None) -> Any:
        """Return E[x|z]: (n, Σ d_i) → (n, *shape) in the spec's range."""
        z, labels = ops.convert_to_tensor(z), self.one_hot_of({"label": label})
        parts = self.parts(z)
        features = self.descend(int(z.shape[0]), labels, lambda level, _: parts[level])
        return self.denormalised(self.likelihood.mean(run_network(self.decoder, features, labels=labels)))

    def log_prob(self, x: Any, label: Any = None, *, draws: int = 64, seed: int = 0) -> Any:
        """Estimate log p(x|y) by importance sampling from q(z|x) (IWAE, Burda et al. 2016, eq. 8).

        Args:
            x: samples (n, *shape) in the spec's range.
            label: int (n,), when the model is conditional.
            draws: k; in expectation a lower bound that never falls as k grows.
            seed: fixes the draws.

        Returns:
            (n,) nats: a density over the spec's own units with a Gaussian likelihood, a probability of levels else.
        """
        x, labels = self.normalised(x), self.one_hot_of({"label": label})
        keys, estimates = random.keys(seed, int(x.shape[0])), self.estimates(x, labels)
        weights = [self._log_weight(x, labels, estimates, random.fold(keys, k)) for k in range(draws)]
        nats = ops.logsumexp(ops.stack(weights), axis=0) - math.log(draws)
        return nats - (self.spec.log_volume if self.likelihood.density else 0.0)

    def _log_weight(self, x: Any, labels: Any, estimates: list[tuple[Any, Any]], keys: Any) -> Any:
        """Return log p(x, z) − log q(z|x) (n,) of one draw of z."""
        noise, ratios = self.parts(random.normal(keys, self.latent.shape)), []

        def posterior(level: int, prior: tuple[Any, Any]) -> Any:
            q = merged(estimates[level], prior)
            z = _drawn(q, noise[level])
            ratios.append(gaussian_log_prob(z, *prior) - gaussian_log_prob(z, *q))
            return z

        features = self.descend(int(x.shape[0]), labels, posterior)
        return self.likelihood.log_prob(x, run_network(self.decoder, features, labels=labels)) + sum(ratios)


def _drawn(gaussian: tuple[Any, Any], noise: Any) -> Any:
    mean, log_variance = gaussian
    return mean + ops.exp(0.5 * log_variance) * noise


def _split(x: Any, sizes: list[int]) -> list[Any]:
    """Cut the last axis into parts of given sizes."""
    ends = list(itertools.accumulate(sizes))
    return [x[:, end - size : end] for end, size in zip(ends, sizes, strict=True)]
