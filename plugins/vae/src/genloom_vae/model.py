"""Variational autoencoders: one objective of weighted terms moves encoder, decoder, prior and noise together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.model import Alarm, GenerativeModel, Phase
from genloom.model.networks import check_network, run_network, takes_labels
from genloom.objectives import non_saturating_discriminator
from genloom_vae import terms
from genloom_vae.alarms import inactive_units, vanishing_kl
from genloom_vae.bits import bits_of, dequantised, level_nats
from genloom_vae.correlation import permuted
from genloom_vae.imputation import impute
from genloom_vae.likelihoods import decoder_shape, likelihood_of
from genloom_vae.networks import conv_decoder, conv_encoder, encoder_width, latent_critic, mlp_decoder, mlp_encoder
from genloom_vae.objective import Pass, Term, means, tiled, total
from genloom_vae.options import ConvOptions, MLPOptions, RAEOptions, VAEOptions, WAEOptions
from genloom_vae.posteriors import POSTERIORS, Q
from genloom_vae.priors import Prior, StandardPrior, prior_of

__all__ = ["MLPVAE", "RAE", "VAE", "WAE", "ConvVAE"]

_HASTE = 5.0  # of the phase `prior`: its target moves
_AT_ONCE = 16  # draws of z that the decoder takes in one call, for `log_prob`


class VAE(GenerativeModel):
    """A variational autoencoder (Kingma and Welling 2014) around an encoder and a decoder.

    Loss: −ELBO = E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z|y)), mean over the batch, in nats of the normalised data; its
    two terms are logged as `reconstruction` and `kl`, beside those that options add. Likelihood, posterior and prior
    are objects of one interface each; `objective` lists the terms.

    Args:
        spec: what one sample is.
        options: an instance of `Options`, or None.
        encoder: maps normalised samples (n, *shape) to what describes q(z|x): of a Gaussian (n, 2 latent), mean and
            log-variance.
        decoder: maps (n, latent) to what the likelihood reads: (n, *shape), the mean of a Gaussian or logits of a
            Bernoulli; (n, *decoder_shape) of others. A network of two inputs also gets one-hot labels (n, classes).
        critic: maps codes (n, latent) to logits (n, 1), where an option asks for a critic.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit or that is missing, a likelihood that the data cannot have, an
            unknown option, or options that contradict each other.
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
        critic: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        super().__init__(spec, options, **values)
        o = self.options
        likelihood, decoded = likelihood_of(spec, o), decoder_shape(spec, o)
        size, classes = o.latent, spec.classes if o.conditional else 0
        self.encoder = self.network_of("encoder", encoder, [spec.shape], (encoder_width(o),), classes)
        self.decoder = self.network_of("decoder", decoder, [(size,)], decoded, classes)
        self.conditional = takes_labels(self.decoder)
        self.likelihood = likelihood
        self.posterior = POSTERIORS[o.posterior](size)
        self.prior = prior_of(o, classes if self.conditional else 0, spec.shape, self.infer)
        self.critic = self._critic(critic)
        counted = level_nats(spec, o, likelihood)
        # A point has no KL to count, and a prior that is fitted to the codes is another than the KL's.
        self.level_nats = counted if o.posterior != "point" and o.prior_fit == "joint" else None
        if self.level_nats is not None:
            self.validation = (*type(self).validation, "bits")  # type: ignore[misc]

    def _critic(self, given: keras.Layer | None) -> keras.Layer | None:
        """Return the critic where an option asks for one, the caller's or the family's own."""
        o = self.options
        if o.adversarial or (o.tc and o.tc_by == "critic"):
            critic = latent_critic(o.latent) if given is None else given
            check_network("critic", critic, [(o.latent,)], (1,))
            return critic
        if given is not None:
            raise ConfigError(
                "critic= is given, and no option asks for one.", mend="Give adversarial= or tc_by=critic."
            )
        return None

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: an unbounded vector (latent,), with the data's labels."""
        return DataSpec((self.options.latent,), "signal", value_range=None, classes=self.spec.classes)

    @property
    def target_prior(self) -> Prior:
        """What the codes are drawn towards in training: the prior, unless that is fitted to the codes."""
        return self.prior if self.options.prior_fit == "joint" else StandardPrior(self.options.latent)

    # Training.

    def objective(self) -> list[Term]:
        """Return the terms whose weighted sum is minimised; those that `validation` names are measured by sample."""
        return [
            Term("reconstruction", lambda p: -self.likelihood.log_prob(p.x, p.output, p.seen)),
            *terms.divergences(self),
            *terms.penalties(self),
        ]

    def phases(self) -> list[Phase]:
        """Return the phase `elbo`; before it `critic` where there is one, after it `prior` where codes fit it."""
        found = [Phase("elbo", self._moved_by_the_bound, self.loss_of, tuple(term.name for term in self.objective()))]
        critic = self.critic
        if critic is not None:
            found.insert(0, Phase("critic", lambda: critic.trainable_variables, self.critic_loss, ("accuracy",)))
        if self.options.prior_fit == "codes":
            found.append(Phase("prior", lambda: self.prior.trainable_variables, self.prior_loss))
        return found

    def _moved_by_the_bound(self) -> list[keras.Variable]:
        others = [] if self.critic is None else [*self.critic.trainable_variables]
        if self.options.prior_fit == "codes":
            others += self.prior.trainable_variables
        apart = {id(variable) for variable in others}
        return [variable for variable in self.trainable_variables if id(variable) not in apart]

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Return Adam at the option `learning_rate`; a prior that follows the codes takes five times its steps."""
        rate = self.options.learning_rate
        rates = {phase.name: _HASTE * rate if phase.name == "prior" else rate for phase in self.phases()}
        return {name: keras.optimizers.Adam(rate) for name, rate in rates.items()}

    def alarms(self) -> list[Alarm]:
        """Return those of posterior collapse; a KL that nothing asks for, or of a point, tells none."""
        asked = self.options.beta > 0.0 and self.options.posterior != "point"
        return [inactive_units(self), *([vanishing_kl()] if asked else [])]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the mean objective of a batch, its terms, and the number of samples."""
        passed, listed = self.training_pass(batch), self.objective()
        values = means({term.name: term.value(passed) for term in listed})
        return total(listed, values, self.step), values, float(batch["x"].shape[0])

    def critic_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the cross-entropy of the critic, and the share that it tells rightly.

        A high logit means a code of the prior where codes are to become like it, and a code of the encoder, against
        codes with permuted dimensions, for the total correlation (Kim and Mnih 2018, algorithm 2).
        """
        z = ops.stop_gradient(self.drawn_codes(batch))
        if self.options.adversarial:
            high, low = ops.stop_gradient(self.prior_codes(int(z.shape[0]), self.one_hot_of(batch))), z
        else:
            high, low = z, permuted(z, self.uniform(tuple(z.shape)))
        on_high, on_low = self.judge(high), self.judge(low)
        right = 0.5 * (ops.mean(ops.cast(on_high > 0, "float32")) + ops.mean(ops.cast(on_low < 0, "float32")))
        return non_saturating_discriminator(on_high, on_low), {"accuracy": right}, float(z.shape[0])

    def prior_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return −log p(z|y) of the batch's codes in nats; the codes stay where they are."""
        z = ops.stop_gradient(self.drawn_codes(batch))
        return -ops.mean(self.prior.log_prob(z, self.one_hot_of(batch))), {}, float(z.shape[0])

    def judge(self, z: Any) -> Any:
        """Return the critic's logits (n,) of codes (n, latent)."""
        return ops.reshape(run_network(self.critic, z, training=True), (-1,))

    def drawn_codes(self, batch: dict[str, Any]) -> Any:
        """Draw codes (n, latent) of a batch's samples from q(z|x), as training does."""
        x, labels = self.normalised(self.samples_of(batch)), self.one_hot_of(batch)
        return self.infer(x, labels, training=True).sample(self.normal((int(x.shape[0]), self.options.latent)))[0]

    def prior_codes(self, n: int, labels: Any) -> Any:
        """Draw codes (n, latent), for one-hot labels or None, from what the codes are drawn towards in training."""
        return self.target_prior.sample(ops.cast(self.uniform((n, 2)) * 2.0**31, "int32"), labels)

    def training_pass(self, batch: dict[str, Any]) -> Pass:
        """Pass a batch through the model, with what training hides from the encoder."""
        x, labels = self.normalised(self.samples_of(batch)), self.one_hot_of(batch)
        noise = self.normal((int(x.shape[0]), self.options.latent))
        shown, seen = self.hidden(x)
        return self._passed(x, shown, labels, noise, seen, training=True)

    def hidden(self, x: Any) -> tuple[Any, Any]:
        """Return what the encoder sees of normalised x in training, and which values of it count, None for all."""
        shown, seen = x, None
        if self.options.corruption:
            shown = shown + self.options.corruption * self.normal(tuple(x.shape))
        if self.options.missing:
            seen = ops.cast(self.uniform(tuple(x.shape)) >= self.options.missing, x.dtype)
            shown = shown * seen
        return shown, seen

    def passed(self, x: Any, labels: Any, noise: Any) -> Pass:
        """Pass samples (n, *shape) in the spec's units through encoder and decoder, z drawn by noise (n, d)."""
        x = self.normalised(x)
        return self._passed(x, x, labels, noise)

    def _passed(self, x: Any, shown: Any, labels: Any, noise: Any, seen: Any = None, training: bool = False) -> Pass:
        q = self.infer(shown, labels, training)
        z, log_q = q.sample(noise)
        return Pass(x, labels, q, z, log_q, run_network(self.decoder, z, labels=labels, training=training), seen)

    def infer(self, x: Any, labels: Any, training: bool = False) -> Q:
        """Return q(z|x) of normalised x (n, *shape)."""
        return self.posterior.of(run_network(self.encoder, x, labels=labels, training=training))

    def terms(self, x: Any, labels: Any, noise: Any) -> dict[str, Any]:
        """Return the terms that `validation` names per sample (n,), of x in the spec's units and noise (n, d)."""
        passed = self.passed(x, labels, noise)
        return {term.name: term.value(passed) for term in self._held_out()}

    def _held_out(self) -> list[Term]:
        return [term for term in self.objective() if term.name in self.validation]

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the objective at its full weights, its terms and, where they can be counted, `bits` per sample (n,).

        One draw of z each.
        """
        keys = self.validation_keys(batch)
        noise = random.normal(keys, (self.options.latent,))
        values = self.terms(self.samples_of(batch, keys), self.one_hot_of(batch), noise)
        found = {"loss": total(self._held_out(), values), **values}
        return found if self.level_nats is None else {**found, "bits": bits_of(values, self.level_nats, self.spec.size)}

    def samples_of(self, batch: dict[str, Any], keys: Any = None) -> Any:
        """Return a batch's samples in the spec's units, dequantised where asked: with training noise, or by keys."""
        x = batch["x"]
        if not self.options.dequantise:
            return x
        shape = tuple(x.shape)
        noise = self.uniform(shape) if keys is None else random.uniform(random.fold(keys, 1), shape[1:])
        return dequantised(x, noise, self.spec)

    # Sampling and codes.

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
        """Return the code that stands for q(z|x), a Gaussian's mean: (n, *shape) in the spec's range → (n, latent)."""
        return self.infer(self.normalised(x), self.one_hot_of({"label": label})).code()

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
        q, weights = self.infer(x, labels), []
        for first in range(0, draws, _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, draws))
            weights.append(self.weighed(x, q, labels, random.keys(seed, int(x.shape[0])), some)[0])
        nats = ops.logsumexp(ops.concatenate(weights, axis=0), axis=0) - math.log(draws)
        # Change of units, from the normalised data's to the spec's.
        return nats - (self.spec.log_volume if self.likelihood.density else 0.0)

    def weighed(self, x: Any, q: Q, labels: Any, keys: Any, draws: range, seen: Any = None) -> tuple[Any, Any]:
        """Return log p(x, z) − log q(z|x) (k, n) for k draws of z, and what the decoder gives for them (k, n, …).

        Args:
            x: normalised samples (n, *shape).
            q: q(z|x).
            labels: one-hot, or None.
            keys: int32 (n, 2).
            draws: k numbers; each has noise of its own.
            seen: which values of x count, see `Pass`.
        """
        k, numbers = len(draws), ops.repeat(ops.arange(draws.start, draws.stop, dtype="int32"), int(x.shape[0]))
        noise = random.normal(random.fold(tiled(keys, k), numbers), (self.options.latent,))
        z, log_q = q.repeated(k).sample(noise)
        labels = None if labels is None else tiled(labels, k)
        output = run_network(self.decoder, z, labels=labels)
        likelihood = self.likelihood.log_prob(tiled(x, k), output, None if seen is None else tiled(seen, k))
        weights = likelihood + self.prior.log_prob(z, labels) - log_q
        return ops.reshape(weights, (k, -1)), ops.reshape(output, (k, -1, *output.shape[1:]))

    def impute(self, x: Any, label: Any = None, *, draws: int = 64, seed: int = 0) -> Any:
        """Fill values that are NaN with their mean under p(x_missing|x_seen); see `genloom_vae.imputation.impute`."""
        return impute(self, x, label, draws=draws, seed=seed)


class MLPVAE(VAE):
    """`vae/mlp`: dense encoder and decoder, for any shape."""

    Options: ClassVar[type] = MLPOptions
    own_networks: ClassVar = {"encoder": mlp_encoder, "decoder": mlp_decoder}


class WAE(MLPVAE):
    """`vae/wae`: no KL of each code; all codes of a batch together are drawn towards the prior.

    WAE-MMD (Tolstikhin et al. 2018) by the default options; the adversarial autoencoder (Makhzani et al. 2016) with
    mmd=0, adversarial=1; InfoVAE (Zhao et al. 2019, eq. 6) with posterior=gaussian, beta=1 − α, mmd=α + λ − 1.
    """

    Options: ClassVar[type] = WAEOptions


class RAE(MLPVAE):
    """`vae/rae`: a deterministic autoencoder with a smooth decoder, sampled by a prior fitted to its codes.

    Loss: reconstruction + β ½‖z‖² + a penalty of the decoder (Ghosh et al. 2020, eq. 11); the phase `prior` fits the
    prior by likelihood to the codes as they are.
    """

    Options: ClassVar[type] = RAEOptions


class ConvVAE(VAE):
    """`vae/conv`: convolutional encoder and decoder, for images of any size."""

    Options: ClassVar[type] = ConvOptions
    own_networks: ClassVar = {"encoder": conv_encoder, "decoder": conv_decoder}
