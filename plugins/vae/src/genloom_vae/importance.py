"""`vae/iwae`: importance-weighted bounds, of which more draws never make a looser one (Burda et al. 2016)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
from keras import ops

from genloom.metrics import bits_per_dimension
from genloom.model import Phase
from genloom.model.networks import run_network
from genloom_vae.model import VAE
from genloom_vae.networks import mlp_decoder, mlp_encoder
from genloom_vae.objective import tiled
from genloom_vae.options import IWAEOptions

__all__ = ["IWAE", "weighted_bound"]


def weighted_bound(log_weights: Any) -> Any:
    """Return log 1/k Σ w per sample: log-weights (k, n) → (n,) nats (Burda et al. 2016, eq. 8)."""
    return ops.logsumexp(log_weights, axis=0) - math.log(int(log_weights.shape[0]))


class IWAE(VAE):
    """A VAE whose loss is an importance-weighted bound of k draws, which the decoder takes in one call.

    `bound=iwae` is that of Burda et al. 2016; `ciwae` mixes in the ELBO, β ELBO + (1 − β) IWAE; `piwae` gives the
    encoder the mean of several bounds of fewer draws and the decoder the bound of all (Rainforth et al. 2018, §4).
    """

    Options: ClassVar[type] = IWAEOptions
    own_networks: ClassVar = {"encoder": mlp_encoder, "decoder": mlp_decoder}

    def phases(self) -> list[Phase]:
        """Return the phase `elbo`, or with `piwae` the phases `encoder` and `decoder`."""
        if self.options.bound != "piwae":
            return [Phase("elbo", lambda: self.trainable_variables, self.loss_of, ("reconstruction", "kl"))]
        return [
            Phase("encoder", lambda: self._of_the_encoder(True), self.encoder_loss),
            Phase("decoder", lambda: self._of_the_encoder(False), self.loss_of, ("reconstruction", "kl")),
        ]

    def _of_the_encoder(self, inside: bool) -> list[keras.Variable]:
        own = {id(v) for part in (self.encoder, self.posterior) for v in part.trainable_variables}
        return [v for v in self.trainable_variables if (id(v) in own) == inside]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the mean negative bound of a batch, its mean reconstruction and KL, and the number of samples."""
        o = self.options
        values, log_weights = self._drawn(batch)
        bound = ops.mean(weighted_bound(log_weights))
        if o.gradient == "dreg":
            share = ops.stop_gradient(ops.softmax(log_weights, axis=0))
            surrogate = ops.mean(ops.sum(share * log_weights, axis=0))
            bound = surrogate + ops.stop_gradient(bound - surrogate)
        if o.bound == "ciwae":
            bound = o.elbo_share * ops.mean(log_weights) + (1.0 - o.elbo_share) * bound
        return -bound, values, float(batch["x"].shape[0])

    def encoder_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return minus the mean of `groups` bounds, each of draws/groups draws (Rainforth et al. 2018, eq. 8)."""
        log_weights = self._drawn(batch)[1]
        parts = ops.split(log_weights, self.options.groups, axis=0)
        return -sum(ops.mean(weighted_bound(part)) for part in parts) / len(parts), {}, float(batch["x"].shape[0])

    def _drawn(self, batch: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Return the two terms' means and the log-weights (k, n) of a batch, in training."""
        x, labels, k = self.normalised(self.samples_of(batch)), self.one_hot_of(batch), self.options.draws
        shown, seen = self.hidden(x)
        q = self.infer(shown, labels, training=True).repeated(k)
        x = tiled(x, k)
        labels, seen = (None if each is None else tiled(each, k) for each in (labels, seen))
        z, log_q = q.sample(self.normal((int(x.shape[0]), self.options.latent)))
        if self.options.gradient == "dreg":
            z = self._with_scaled_gradient(x, z, log_q, labels, seen, k)
            log_q = q.stopped().log_prob(z)
        reconstruction, kl = self._parts(x, z, log_q, labels, seen)
        values = {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}
        return values, ops.reshape(-reconstruction - kl, (k, -1))

    def _parts(self, x: Any, z: Any, log_q: Any, labels: Any, seen: Any) -> tuple[Any, Any]:
        """Return −log p(x|z) and log q(z|x) − log p(z) of each draw (k n,)."""
        output = run_network(self.decoder, z, labels=labels, training=True)
        return -self.likelihood.log_prob(x, output, seen), log_q - self.prior.log_prob(z, labels)

    def _with_scaled_gradient(self, x: Any, z: Any, log_q: Any, labels: Any, seen: Any, k: int) -> Any:
        """Return z whose gradient is multiplied by each draw's share of the weight.

        Under a loss Σ w̃ log w with q's parameters stopped, the encoder then gets Σ w̃² ∂log w/∂z ∂z/∂φ, the doubly
        reparameterised gradient (Tucker et al. 2019, eq. 8), and the decoder its own.
        """
        fixed = ops.stop_gradient(z)
        reconstruction, kl = self._parts(x, fixed, ops.stop_gradient(log_q), labels, seen)
        share = ops.softmax(ops.reshape(-reconstruction - kl, (k, -1)), axis=0)
        return fixed + ops.stop_gradient(ops.reshape(share, (-1, 1))) * (z - fixed)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the negative bound of k draws per sample (n,), and the mean of its two terms over the draws."""
        keys = self.validation_keys(batch)
        x, labels = self.normalised(self.samples_of(batch, keys)), self.one_hot_of(batch)
        q, k = self.infer(x, labels), self.options.draws
        log_weights, output = self.weighed(x, q, labels, keys, range(k))
        flat = ops.reshape(output, (-1, *output.shape[2:]))
        reconstruction = ops.mean(ops.reshape(-self.likelihood.log_prob(tiled(x, k), flat), (k, -1)), axis=0)
        kl = -ops.mean(log_weights, axis=0) - reconstruction
        found = {"loss": -weighted_bound(log_weights), "reconstruction": reconstruction, "kl": kl}
        if self.level_nats is None:
            return found
        return {**found, "bits": bits_per_dimension(found["loss"] + self.level_nats, self.spec.size)}
