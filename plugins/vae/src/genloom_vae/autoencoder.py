"""A KL-autoencoder with a patch critic: the first stage of latent diffusion (Rombach et al. 2022, sec. 3.1, app. G)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import backend, random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.layers import sides
from genloom.model import GenerativeModel, Phase
from genloom.model.networks import full_precision, run_network
from genloom.objectives import hinge_discriminator, hinge_generator, kl_to_standard_normal
from genloom_vae.autoencoder_options import AutoencoderOptions
from genloom_vae.places import conv_grid, grow_places, patch_critic, shrink_to_places
from genloom_vae.scaling import LatentScale

__all__ = ["Autoencoder", "balanced"]

_LOG_VARIANCE_BOUND = 10.0  # |log σ²| of q(z|x); keeps exp() finite before the encoder has settled.
_LEAST_PULL = 1e-6  # of the critic, added to what divides
_MOST = 1e4  # of the weight that balances (Esser et al. 2021)


class Autoencoder(GenerativeModel):
    """`vae/autoencoder`: images to a latent (h, w, c) that keeps their places, and back.

    Loss of the phase `autoencoder`: mean |x − x̂| + w KL(q(z|x) ‖ N(0, I)) / size + λ L_G, in normalised values; the
    phase `critic` moves the patch critic along the hinge loss. Both leave the critic out before `critic_start`.

    `encode` gives latents of mean 0 and deviation 1, by moments measured in training. A sample is decoded from white
    noise: only a model that is trained on the latents, such as a diffusion, knows what latents there are.

    Args:
        spec: what one sample is, an image.
        options: an `AutoencoderOptions`, or None.
        encoder: maps normalised samples (n, *shape) to (n, h, w, 2 latent), mean and log-variance.
        decoder: maps (n, h, w, latent) to (n, *shape).
        critic: maps normalised samples to one logit for each patch.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: data that are no images, a network whose shapes do not fit, or an unknown option.
    """

    Options: ClassVar[type] = AutoencoderOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "kl")
    directions: ClassVar[Mapping[str, bool | None]] = {"kl": None}
    own_networks: ClassVar = {
        "encoder": lambda spec, options, _: shrink_to_places(spec, options, 2 * options.latent),
        "decoder": lambda spec, options, _: grow_places(spec, options, options.latent, spec.shape[-1]),
        "critic": lambda spec, options, _: patch_critic(spec, options.critic_channels),
    }
    conditional = False

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
        if len(spec.shape) != 3:
            raise ConfigError(
                f"vae/autoencoder needs images (height, width, channels), got {spec.shape}.", mend="Use vae/mlp."
            )
        grid, size = conv_grid(spec, self.options), self.options.latent
        self.encoder = self.network_of("encoder", encoder, [spec.shape], (*grid, 2 * size), 0)
        self.decoder = self.network_of("decoder", decoder, [(*grid, size)], spec.shape, 0)
        self.judged = self.options.critic_weight > 0.0
        if self.judged:
            patches = sides(spec.shape, len(self.options.critic_channels))[-1]
            self.critic = self.network_of("critic", critic, [spec.shape], (*patches, 1), 0)
        self.scale = LatentScale(size)

    @property
    def latent(self) -> DataSpec:
        """What `encode` returns: unbounded values (h, w, c) of about unit deviation, with the data's labels."""
        grid = conv_grid(self.spec, self.options)
        return self.spec.replace(shape=(*grid, self.options.latent), kind="signal", value_range=None)

    # Training.

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Return one Adam per phase at the option `learning_rate`; the critic's forgets soon, for its target moves."""
        rate = self.options.learning_rate
        own = {"autoencoder": keras.optimizers.Adam(rate)}
        return own | ({"critic": keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.9)} if self.judged else {})

    def phases(self) -> list[Phase]:
        """Return the phase `autoencoder` and, with a critic, the phase `critic`."""
        pull = ("critic_pull",) if self.judged else ()
        own = Phase("autoencoder", self._moved, self.autoencoder_loss, ("reconstruction", "kl", *pull))
        if not self.judged:
            return [own]
        return [own, Phase("critic", lambda: self.critic.trainable_variables, self.critic_loss)]

    def _moved(self) -> list[Any]:
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def autoencoder_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return error, KL term and the critic's pull on a batch, and the number of samples."""
        x, n = self.normalised(batch["x"]), int(batch["x"].shape[0])
        mean, log_variance = self.posterior(x, training=True)
        self.scale.measure(mean, self.step)
        error, again = self._error(x, mean, log_variance)
        kl = ops.mean(kl_to_standard_normal(*map(_flat, (mean, log_variance))))
        loss = error + self.options.kl_weight * kl / self.spec.size
        metrics = {"reconstruction": error, "kl": kl}
        if self.judged:
            pull = hinge_generator(None, self.judge(again))
            metrics["critic_pull"] = self._started() * self._weight(x, again) * pull
            loss = loss + metrics["critic_pull"]
        return loss, metrics, float(n)

    def critic_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the hinge loss of the critic on a batch and its reconstructions (Miyato et al. 2018, eq. 16)."""
        x, n = self.normalised(batch["x"]), int(batch["x"].shape[0])
        again = ops.stop_gradient(self._error(x, *self.posterior(x))[1])
        return self._started() * hinge_discriminator(self.judge(x), self.judge(again)), {}, float(n)

    def _error(self, x: Any, mean: Any, log_variance: Any) -> tuple[Any, Any]:
        """Return mean |x − x̂| and x̂, decoded from a draw of q(z|x)."""
        z = mean + ops.exp(0.5 * log_variance) * self.normal(tuple(int(size) for size in mean.shape))
        again = run_network(self.decoder, z, training=True)
        return ops.mean(ops.abs(x - again)), again

    def _started(self) -> Any:
        """Return 1 once the critic has joined, 0 before."""
        return full_precision(self.step.value >= self.options.critic_start)

    def _weight(self, x: Any, again: Any) -> Any:
        """Return λ, the critic's weight."""
        if not self.options.balance:
            return self.options.critic_weight
        again = ops.stop_gradient(again)
        push = backend.grad(lambda y: ops.mean(ops.abs(x - y)))(again)
        pull = backend.grad(lambda y: hinge_generator(None, self.judge(y)))(again)
        return self.options.critic_weight * balanced(push, pull)

    def posterior(self, x: Any, training: bool = False) -> tuple[Any, Any]:
        """Return mean and log-variance (n, h, w, latent) of q(z|x) for normalised x, as the encoder gives them."""
        mean, log_variance = ops.split(run_network(self.encoder, x, training=training), 2, axis=-1)
        return mean, _LOG_VARIANCE_BOUND * ops.tanh(log_variance / _LOG_VARIANCE_BOUND)

    def judge(self, x: Any) -> Any:
        """Return the critic's logits of the patches (n, h, w, 1) of normalised samples: high for real ones."""
        return run_network(self.critic, x, training=True)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss without the critic, the mean |x − x̂| at the posterior's mean, and the KL, per sample (n,)."""
        x = self.normalised(batch["x"])
        mean, log_variance = self.posterior(x)
        error = ops.mean(_flat(ops.abs(x - run_network(self.decoder, mean))), axis=-1)
        kl = kl_to_standard_normal(_flat(mean), _flat(log_variance))
        return {"loss": error + self.options.kl_weight * kl / self.spec.size, "reconstruction": error, "kl": kl}

    # Sampling.

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        """Return samples (n, *shape) in the spec's range, decoded from white noise for keys (n, 2)."""
        return self.decode(random.normal(keys, self.latent.shape))

    def encode(self, x: Any) -> Any:
        """Return the posterior mean, scaled: (n, *shape) in the spec's range → (n, h, w, latent)."""
        return self.scale.scaled(self.posterior(self.normalised(x))[0])

    def decode(self, z: Any) -> Any:
        """Return samples: (n, h, w, latent) of about unit deviation → (n, *shape) in the spec's range."""
        return self.denormalised(run_network(self.decoder, self.scale.unscaled(full_precision(z))))


def balanced(push: Any, pull: Any) -> Any:
    """Return ‖push‖ / ‖pull‖, at most 10⁴: the weight that makes two gradients of samples (n, …) equally strong.

    Esser et al. 2021, eq. 7, with the gradients taken at the decoder's output in place of its last layer. It is a
    number to the loss: no gradient flows through it.
    """
    norms = [ops.sqrt(ops.sum(ops.square(g))) for g in (push, pull)]
    return ops.stop_gradient(ops.minimum(norms[0] / (norms[1] + _LEAST_PULL), _MOST))


def _flat(x: Any) -> Any:
    return ops.reshape(x, (int(x.shape[0]), -1))
