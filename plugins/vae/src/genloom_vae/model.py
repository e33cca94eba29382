"""Variational autoencoders: one negative evidence lower bound moves encoder, decoder, prior and noise together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.model import GenerativeModel, Phase
from genloom.model.networks import run_network, takes_labels
from genloom.objectives import gaussian_log_prob
from genloom_vae.likelihoods import BernoulliLikelihood, GaussianLikelihood
from genloom_vae.networks import conv_decoder, conv_encoder, mlp_decoder, mlp_encoder
from genloom_vae.options import ConvOptions, MLPOptions, VAEOptions
from genloom_vae.priors import MixturePrior, StandardPrior

__all__ = ["MLPVAE", "VAE", "ConvVAE"]

_LOG_VARIANCE_BOUND = 10.0  # |log σ²| of q(z|x); keeps exp() finite before the encoder has settled.


class VAE(GenerativeModel):
    """A variational autoencoder (Kingma and Welling 2014) around an encoder and a decoder.

    Loss: −ELBO = E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z|y)), mean over the batch, in nats of the normalised data; its
    two terms are logged as `reconstruction` and `kl`.

    Args:
        spec: what one sample is.
        options: an instance of `Options`, or None.
        encoder: maps normalised samples (n, *shape) to (n, 2 latent): mean and log-variance.
        decoder: maps (n, latent) to (n, *shape): the mean of a Gaussian, or logits of a Bernoulli.
            A network of two inputs also gets one-hot labels (n, classes).
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit or that is missing, a Bernoulli of data without a range, or an
            unknown option.
    """

    Options: ClassVar[type] = VAEOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "kl")
    directions: ClassVar[Mapping[str, bool | None]] = {"reconstruction": None, "kl": None}

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
        if self.options.likelihood == "bernoulli" and spec.value_range is None:
            raise ConfigError("likelihood=bernoulli needs data with a value range.", mend="Use likelihood=gaussian.")
        size, classes = self.options.latent, spec.classes if self.options.conditional else 0
        self.encoder = self.network_of("encoder", encoder, [spec.shape], (2 * size,), classes)
        self.decoder = self.network_of("decoder", decoder, [(size,)], spec.shape, classes)
        self.conditional = takes_labels(self.decoder)
        self.likelihood = GaussianLikelihood() if self.options.likelihood == "gaussian" else BernoulliLikelihood()
        mixture = self.options.prior == "mixture"
        known = classes if self.conditional else 0
        self.prior = MixturePrior(size, self.options.components, known) if mixture else StandardPrior()

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: an unbounded vector (latent,), with the data's labels."""
        return DataSpec((self.options.latent,), "signal", value_range=None, classes=self.spec.classes)

    def phases(self) -> list[Phase]:
        """Return the one phase `elbo`, which moves every variable."""
        return [Phase("elbo", lambda: self.trainable_variables, self.loss_of, ("reconstruction", "kl"))]

    def default_optimizers(self) -> keras.optimizers.Optimizer:
        """Return Adam at the option `learning_rate`."""
        return keras.optimizers.Adam(self.options.learning_rate)

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the mean negative bound of a batch, its two terms, and the number of samples."""
        n = int(batch["x"].shape[0])
        noise = self.normal((n, self.options.latent))
        reconstruction, kl = self.terms(batch["x"], self.one_hot_of(batch), noise, training=True)
        terms = {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}
        return terms["reconstruction"] + self.options.beta * terms["kl"], terms, float(n)

    def terms(self, x: Any, labels: Any, noise: Any, training: bool = False) -> tuple[Any, Any]:
        """Return −log p(x|z) and the KL term per sample (n,), at z = μ + σ ε for noise ε (n, latent)."""
        x = self.normalised(x)
        mean, log_variance = self.posterior(x, labels, training)
        z = mean + ops.exp(0.5 * log_variance) * noise
        output = run_network(self.decoder, z, labels=labels, training=training)
        log_q = gaussian_log_prob(z, mean, log_variance)
        kl = self.prior.kl(mean, log_variance, z, log_q, labels)
        return -self.likelihood.log_prob(x, output), kl

    def posterior(self, x: Any, labels: Any, training: bool = False) -> tuple[Any, Any]:
        """Return mean and log-variance (n, latent) of q(z|x) for normalised x."""
        output = run_network(self.encoder, x, labels=labels, training=training)
        mean, log_variance = ops.split(output, 2, axis=-1)
        return mean, _LOG_VARIANCE_BOUND * ops.tanh(log_variance / _LOG_VARIANCE_BOUND)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the negative bound and its terms per sample (n,), one draw of z each."""
        noise = random.normal(self.validation_keys(batch), (self.options.latent,))
        reconstruction, kl = self.terms(batch["x"], self.one_hot_of(batch), noise)
        return {"loss": reconstruction + self.options.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def draw(self, keys: Any, condition: dict[str, Any], *, observation_noise: float | None = None) -> Any:
        """Return samples (n, *shape) in the spec's range: z from the prior, then the likelihood's mean.

        Args:
            keys: int32 (n, 2).
            condition: {"label": int32 (n,)} when the model is conditional.
            observation_noise: share of the likelihood's own noise to add; the option of that name when None.
        """
        share = self.options_with(observation_noise=observation_noise).observation_noise
        labels = self.one_hot_of(condition)
        z = self.prior.sample(random.fold(keys, 0), labels, self.options.latent)
        output = run_network(self.decoder, z, labels=labels)
        return self.denormalised(self.likelihood.sample(random.fold(keys, 1), output, share))

    def encode(self, x: Any, label: Any = None) -> Any:
        """Return the posterior mean of z: (n, *shape) in the spec's range → (n, latent)."""
        return self.posterior(self.normalised(x), self.one_hot_of({"label": label}))[0]

    def decode(self, z: Any, label: Any = None) -> Any:
        """Return E[x|z]: (n, latent) → (n, *shape) in the spec's range."""
        output = run_network(self.decoder, ops.convert_to_tensor(z), labels=self.one_hot_of({"label": label}))
        return self.denormalised(self.likelihood.mean(output))

    def log_prob(self, x: Any, label: Any = None, *, draws: int = 64, seed: int = 0) -> Any:
        """Estimate log p(x|y) by importance sampling from q(z|x) (IWAE, Burda et al. 2016, eq. 8).

        Args:
            x: samples (n, *shape) in the spec's range.
            label: int (n,), when the model is conditional.
            draws: k; in expectation a lower bound that never falls as k grows.
            seed: fixes the draws.

        Returns:
            (n,) nats: a density over the spec's own units with a Gaussian likelihood.
        """
        x, labels = self.normalised(x), self.one_hot_of({"label": label})
        keys = random.keys(seed, int(x.shape[0]))
        mean, log_variance = self.posterior(x, labels)
        weights = []
        for k in range(draws):
            noise = random.normal(random.fold(keys, k), (self.options.latent,))
            z = mean + ops.exp(0.5 * log_variance) * noise
            likelihood = self.likelihood.log_prob(x, run_network(self.decoder, z, labels=labels))
            weights.append(likelihood + self.prior.log_prob(z, labels) - gaussian_log_prob(z, mean, log_variance))
        nats = ops.logsumexp(ops.stack(weights), axis=0) - math.log(draws)
        # Change of units, from the normalised data's to the spec's.
        return nats - (self.spec.log_volume if self.options.likelihood == "gaussian" else 0.0)


class MLPVAE(VAE):
    """`vae/mlp`: dense encoder and decoder, for any shape."""

    Options: ClassVar[type] = MLPOptions
    own_networks: ClassVar = {"encoder": mlp_encoder, "decoder": mlp_decoder}


class ConvVAE(VAE):
    """`vae/conv`: convolutional encoder and decoder, for images of any size."""

    Options: ClassVar[type] = ConvOptions
    own_networks: ClassVar = {"encoder": conv_encoder, "decoder": conv_decoder}
