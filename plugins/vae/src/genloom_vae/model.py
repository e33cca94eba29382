"""Variational autoencoders: one negative evidence lower bound moves encoder, decoder, prior and noise together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.model import Alarm, GenerativeModel, Phase
from genloom.model.networks import run_network, takes_labels
from genloom_vae.alarms import inactive_units, vanishing_kl
from genloom_vae.bits import bits_of, dequantised, level_nats
from genloom_vae.likelihoods import decoder_shape, likelihood_of
from genloom_vae.networks import conv_decoder, conv_encoder, encoder_width, mlp_decoder, mlp_encoder
from genloom_vae.objective import Pass, Term, means, total
from genloom_vae.options import ConvOptions, MLPOptions, VAEOptions
from genloom_vae.posteriors import POSTERIORS, Q
from genloom_vae.priors import prior_of

__all__ = ["MLPVAE", "VAE", "ConvVAE"]


class VAE(GenerativeModel):
    """A variational autoencoder (Kingma and Welling 2014) around an encoder and a decoder.

    Loss: −ELBO = E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z|y)), mean over the batch, in nats of the normalised data; its
    two terms are logged as `reconstruction` and `kl`. Likelihood, posterior and prior are objects of one interface
    each; `objective` lists the terms.

    Args:
        spec: what one sample is.
        options: an instance of `Options`, or None.
        encoder: maps normalised samples (n, *shape) to what describes q(z|x): of a Gaussian (n, 2 latent), mean and
            log-variance.
        decoder: maps (n, latent) to what the likelihood reads: (n, *shape), the mean of a Gaussian or logits of a
            Bernoulli; (n, *decoder_shape) of others. A network of two inputs also gets one-hot labels (n, classes).
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit or that is missing, a likelihood that the data cannot have, or
            an unknown option.
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
        likelihood, decoded = likelihood_of(spec, self.options), decoder_shape(spec, self.options)
        size, classes = self.options.latent, spec.classes if self.options.conditional else 0
        self.encoder = self.network_of("encoder", encoder, [spec.shape], (encoder_width(self.options),), classes)
        self.decoder = self.network_of("decoder", decoder, [(size,)], decoded, classes)
        self.conditional = takes_labels(self.decoder)
        self.likelihood = likelihood
        self.posterior = POSTERIORS[self.options.posterior](size)
        self.prior = prior_of(self.options, classes if self.conditional else 0)
        self.level_nats = level_nats(spec, self.options, likelihood)
        if self.level_nats is not None:  # the likelihood says whether bits can be counted
            self.validation = (*type(self).validation, "bits")  # type: ignore[misc]

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: an unbounded vector (latent,), with the data's labels."""
        return DataSpec((self.options.latent,), "signal", value_range=None, classes=self.spec.classes)

    def objective(self) -> list[Term]:
        """Return the terms whose weighted sum is minimised; `directions` and `validation` name those of a sample."""
        return [
            Term("reconstruction", lambda p: -self.likelihood.log_prob(p.x, p.output, p.seen)),
            Term("kl", lambda p: ops.sum(self.prior.kl(p.q, p.z, p.log_q, p.labels), axis=-1), self.options.beta),
        ]

    def phases(self) -> list[Phase]:
        """Return the one phase `elbo`, which moves every variable."""
        names = tuple(term.name for term in self.objective())
        return [Phase("elbo", lambda: self.trainable_variables, self.loss_of, names)]

    def default_optimizers(self) -> keras.optimizers.Optimizer:
        """Return Adam at the option `learning_rate`."""
        return keras.optimizers.Adam(self.options.learning_rate)

    def alarms(self) -> list[Alarm]:
        """Return those of posterior collapse."""
        return [inactive_units(self), vanishing_kl()]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the mean objective of a batch, its terms, and the number of samples."""
        n = int(batch["x"].shape[0])
        noise = self.normal((n, self.options.latent))
        terms = self.objective()
        passed = self.passed(self.samples_of(batch), self.one_hot_of(batch), noise, training=True)
        values = means({term.name: term.value(passed) for term in terms})
        return total(terms, values, self.step), values, float(n)

    def terms(self, x: Any, labels: Any, noise: Any) -> dict[str, Any]:
        """Return the terms that every sample (n,) has, of x in the spec's units and noise (n, d), not in training."""
        passed = self.passed(x, labels, noise)
        return {term.name: term.value(passed) for term in self.objective() if term.by_sample}

    def passed(self, x: Any, labels: Any, noise: Any, training: bool = False) -> Pass:
        """Pass samples (n, *shape) in the spec's units through encoder and decoder, z drawn by noise (n, d)."""
        x = self.normalised(x)
        q = self.infer(x, labels, training)
        z, log_q = q.sample(noise)
        return Pass(x, labels, q, z, log_q, run_network(self.decoder, z, labels=labels, training=training))

    def infer(self, x: Any, labels: Any, training: bool = False) -> Q:
        """Return q(z|x) of normalised x (n, *shape)."""
        return self.posterior.of(run_network(self.encoder, x, labels=labels, training=training))

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the objective at its full weights, its terms and, where they can be counted, `bits` per sample (n,).

        One draw of z each.
        """
        keys = self.validation_keys(batch)
        noise = random.normal(keys, (self.options.latent,))
        values = self.terms(self.samples_of(batch, keys), self.one_hot_of(batch), noise)
        found = {"loss": total([term for term in self.objective() if term.by_sample], values), **values}
        return found if self.level_nats is None else {**found, "bits": bits_of(values, self.level_nats, self.spec.size)}

    def samples_of(self, batch: dict[str, Any], keys: Any = None) -> Any:
        """Return a batch's samples in the spec's units, dequantised where asked: with training noise, or by keys."""
        x = batch["x"]
        if not self.options.dequantise:
            return x
        shape = tuple(x.shape)
        noise = self.uniform(shape) if keys is None else random.uniform(random.fold(keys, 1), shape[1:])
        return dequantised(x, noise, self.spec)

    def draw(self, keys: Any, condition: dict[str, Any], *, observation_noise: float | None = None) -> Any:
        """Return samples (n, *shape) in the spec's range: z from the prior, then the likelihood's mean.

        Args:
            keys: int32 (n, 2).
            condition: {"label": int32 (n,)} when the model is conditional.
            observation_noise: share of the likelihood's own noise to add; the option of that name when None.
        """
        share = self.options_with(observation_noise=observation_noise).observation_noise
        labels = self.one_hot_of(condition)
        z = self.prior.sample(random.fold(keys, 0), labels)
        output = run_network(self.decoder, z, labels=labels)
        return self.denormalised(self.likelihood.sample(random.fold(keys, 1), output, share))

    def encode(self, x: Any, label: Any = None) -> Any:
        """Return the posterior mean of z: (n, *shape) in the spec's range → (n, latent)."""
        return self.infer(self.normalised(x), self.one_hot_of({"label": label})).mean

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
        q, weights = self.infer(x, labels), []
        for k in range(draws):
            z, log_q = q.sample(random.normal(random.fold(keys, k), (self.options.latent,)))
            likelihood = self.likelihood.log_prob(x, run_network(self.decoder, z, labels=labels))
            weights.append(likelihood + self.prior.log_prob(z, labels) - log_q)
        nats = ops.logsumexp(ops.stack(weights), axis=0) - math.log(draws)
        # Change of units, from the normalised data's to the spec's.
        return nats - (self.spec.log_volume if self.likelihood.density else 0.0)


class MLPVAE(VAE):
    """`vae/mlp`: dense encoder and decoder, for any shape."""

    Options: ClassVar[type] = MLPOptions
    own_networks: ClassVar = {"encoder": mlp_encoder, "decoder": mlp_decoder}


class ConvVAE(VAE):
    """`vae/conv`: convolutional encoder and decoder, for images of any size."""

    Options: ClassVar[type] = ConvOptions
    own_networks: ClassVar = {"encoder": conv_encoder, "decoder": conv_decoder}
