"""Generative adversarial networks: a discriminator and a generator, each moved by its own phase."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.model import GenerativeModel, Phase
from genloom.model.networks import full_precision, run_network, takes_labels
from genloom.objectives import ADVERSARIAL_LOSSES, gradient_penalty, r1_penalty, r2_penalty
from genloom_gan.networks import conv_critic, conv_discriminator, conv_generator, mlp_discriminator, mlp_generator
from genloom_gan.options import DCGANOptions, GANOptions, MLPOptions, WGANGPOptions

__all__ = ["DCGAN", "GAN", "MLPGAN", "WGANGP"]


class GAN(GenerativeModel):
    """A generator and a discriminator that play a game (Goodfellow et al. 2014).

    Phases, in order: `discriminator` and `generator`. A high logit means real. The discriminator is logged with the
    share of real and of generated samples it tells rightly or, where its loss looks at differences within pairs alone,
    with the share of pairs in which the real sample's logit is the higher one.

    Args:
        spec: what one sample is.
        options: an instance of `Options`, or None.
        generator: maps noise (n, latent) to normalised samples (n, *shape).
        discriminator: maps normalised samples to logits (n, 1).
            A network of two inputs also gets one-hot labels (n, classes).
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: a network whose shapes do not fit or that is missing, or an unknown option.
    """

    Options: ClassVar[type] = GANOptions

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        generator: keras.Layer | None = None,
        discriminator: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        super().__init__(spec, options, **values)
        latent, classes = (self.options.latent,), spec.classes if self.options.conditional else 0
        self.generator = self.network_of("generator", generator, [latent], spec.shape, classes)
        self.discriminator = self.network_of("discriminator", discriminator, [spec.shape], (1,), classes)
        self.conditional = takes_labels(self.generator)

    # Training.

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Return one Adam per phase, with the options `learning_rate` and `beta_1`."""
        rate, beta_1 = self.options.learning_rate, self.options.beta_1
        return {
            name: keras.optimizers.Adam(rate, beta_1=beta_1, beta_2=0.99) for name in ("discriminator", "generator")
        }

    def phases(self) -> list[Phase]:
        """Return the phases `discriminator` and `generator`."""
        return [
            Phase(
                "discriminator",
                lambda: self.discriminator.trainable_variables,
                self.discriminator_loss,
                self.discriminator_metrics,
                repeats=self.discriminator_repeats,
            ),
            Phase("generator", lambda: self.generator.trainable_variables, self.generator_loss),
        ]

    @property
    def discriminator_metrics(self) -> tuple[str, ...]:
        """What the discriminator is logged with."""
        told = ("pair_accuracy",) if self.loss_name == "relativistic" else ("real_accuracy", "fake_accuracy")
        return (*told, "penalty")

    @property
    def discriminator_repeats(self) -> int:
        """Updates of the discriminator per update of the generator."""
        return 1

    @property
    def loss_name(self) -> str:
        """Name of the adversarial loss."""
        return "non-saturating"

    def penalty_of(self, real: Any, fake: Any, labels: Any) -> Any:
        """Return the discriminator's penalty: none."""
        return ops.zeros(())

    def gradient_penalties(self, real: Any, fake: Any, labels: Any, r1: float, r2: float) -> Any:
        """Return γ₁ R1 + γ₂ R2 (Mescheder et al. 2018); one with γ = 0 is not computed."""
        total = ops.zeros(())
        if r1:
            total = total + r1 * r1_penalty(lambda x: self.judge(x, labels), real)
        if r2:
            total = total + r2 * r2_penalty(lambda x: self.judge(x, labels), fake)
        return total

    def discriminator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the discriminator's loss and penalty on a batch, with fresh generated samples."""
        real, labels, n = self._real(batch)
        fake = ops.stop_gradient(self._fake(labels, n))
        on_real, on_fake = self.judge(real, labels), self.judge(fake, labels)
        penalty = self.penalty_of(real, fake, labels)
        metrics = {**self._told_rightly(on_real, on_fake), "penalty": penalty}
        return ADVERSARIAL_LOSSES[self.loss_name][0](on_real, on_fake) + penalty, metrics, float(n)

    def _told_rightly(self, on_real: Any, on_fake: Any) -> dict[str, Any]:
        """Return shares of what the discriminator tells rightly; a relativistic loss gives single logits no meaning."""
        if self.loss_name == "relativistic":
            return {"pair_accuracy": _share(on_real > on_fake)}
        return {"real_accuracy": _share(on_real > 0), "fake_accuracy": _share(on_fake < 0)}

    def generator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return the generator's loss on fresh generated samples."""
        real, labels, n = self._real(batch)
        on_fake = self.judge(self._fake(labels, n), labels)
        on_real = self.judge(real, labels) if self.loss_name == "relativistic" else on_fake
        return ADVERSARIAL_LOSSES[self.loss_name][1](on_real, on_fake), {}, float(n)

    def judge(self, x: Any, labels: Any, training: bool = True) -> Any:
        """Return the discriminator's logits (n, 1) for normalised samples and one-hot labels."""
        return run_network(self.discriminator, x, labels=labels, training=training)

    def discriminator_logits(self, x: Any, label: Any = None) -> Any:
        """Return how real samples look to the discriminator: logits (n,), high for real.

        Args:
            x: (n, *shape), in the data's value range.
            label: integer labels (n,); only a discriminator of two inputs looks at them.
        """
        return ops.reshape(self.judge(self.normalised(x), self.one_hot_of({"label": label}), training=False), (-1,))

    def _real(self, batch: dict[str, Any]) -> tuple[Any, Any, int]:
        """Return normalised samples, one-hot labels or None, and their number."""
        return self.normalised(batch["x"]), self.one_hot_of(batch), int(batch["x"].shape[0])

    def _fake(self, labels: Any, n: int) -> Any:
        return run_network(self.generator, self.normal((n, self.options.latent)), labels=labels, training=True)

    # Sampling.

    def draw(self, keys: Any, condition: dict[str, Any], *, truncation: float = 1.0) -> Any:
        """Return samples (n, *shape) in the spec's range.

        Args:
            keys: int32 (n, 2).
            condition: {"label": int32 (n,)} when the model is conditional.
            truncation: scales the noise; below 1 trades variety for fidelity (Brock et al. 2019, §3.1).
        """
        z = float(truncation) * random.normal(keys, (self.options.latent,))
        return self.denormalised(run_network(self.generator, z, labels=self.one_hot_of(condition)))


def _share(flags: Any) -> Any:
    return ops.mean(full_precision(flags))


class MLPGAN(GAN):
    """`gan/mlp`: the classic digits GAN with dense networks, for any shape."""

    Options: ClassVar[type] = MLPOptions
    own_networks: ClassVar = {"generator": mlp_generator, "discriminator": mlp_discriminator}

    @property
    def loss_name(self) -> str:
        """Name of the adversarial loss."""
        return str(self.options.loss)

    def penalty_of(self, real: Any, fake: Any, labels: Any) -> Any:
        """Return the discriminator's penalty: γ₁ R1 + γ₂ R2."""
        return self.gradient_penalties(real, fake, labels, self.options.r1, self.options.r2)


class DCGAN(GAN):
    """`gan/dcgan`: convolutional networks with batch normalisation (Radford et al. 2016)."""

    Options: ClassVar[type] = DCGANOptions
    own_networks: ClassVar = {"generator": conv_generator, "discriminator": conv_discriminator}

    def penalty_of(self, real: Any, fake: Any, labels: Any) -> Any:
        """Return the discriminator's penalty: γ₁ R1."""
        return self.gradient_penalties(real, fake, labels, self.options.r1, 0.0)


class WGANGP(GAN):
    """`gan/wgan-gp`: the Wasserstein loss with a gradient penalty (Gulrajani et al. 2017, algorithm 1).

    The critic is updated `n_critic` times per step, each on its own slice of real data and fresh noise, and has no
    batch normalisation, for the penalty is one of each sample. `critic` is another name of `discriminator`.
    """

    Options: ClassVar[type] = WGANGPOptions
    own_networks: ClassVar = {"generator": conv_generator, "discriminator": conv_critic}
    loss_name = "wasserstein"
    discriminator_metrics = ("wasserstein", "penalty")

    def __init__(
        self,
        spec: DataSpec,
        options: Any = None,
        *,
        generator: keras.Layer | None = None,
        critic: keras.Layer | None = None,
        discriminator: keras.Layer | None = None,
        **values: Any,
    ) -> None:
        if critic is not None and discriminator is not None:
            raise ConfigError("critic and discriminator name the same network, got both.", mend="Give one.")
        judge = discriminator if critic is None else critic
        super().__init__(spec, options, generator=generator, discriminator=judge, **values)

    @property
    def discriminator_repeats(self) -> int:
        """The option `n_critic`."""
        return int(self.options.n_critic)

    def discriminator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Return E[D(G(z))] − E[D(x)] + λ GP, logged with the distance it estimates and the penalty."""
        real, labels, n = self._real(batch)
        fake = ops.stop_gradient(self._fake(labels, n))
        value = ADVERSARIAL_LOSSES[self.loss_name][0](self.judge(real, labels), self.judge(fake, labels))
        penalty = gradient_penalty(lambda x: self.judge(x, labels), real, fake, self.uniform((n,)))
        return value + self.options.penalty * penalty, {"wasserstein": -value, "penalty": penalty}, float(n)
