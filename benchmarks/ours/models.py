"""The tasks as GenLoom models, on the engine of KERAS_BACKEND."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from ours.unet2d import UNet2D
from tasks import (
    ADAM,
    BETAS,
    CODE,
    DIT,
    FREQUENCIES,
    GROUPS,
    HIDDEN,
    LATENT,
    NANO,
    NANO_ADAMW,
    PENALTY,
    PIXELS,
    PYTHAE_HIDDEN,
    TIMES,
    VAE_HIDDEN,
    VOCABULARY,
    Task,
)

from genloom import backend, create, random
from genloom.data.spec import DataSpec
from genloom.layers import GroupNorm
from genloom.model import GenerativeModel, Phase
from genloom.objectives import bernoulli_log_prob
from genloom_diffusion.transformer import DiffusionTransformer


def mlp(inputs: int, outputs: int) -> keras.Model:
    """Two hidden layers with leaky rectifiers."""
    hidden = [layer for _ in range(2) for layer in (layers.Dense(HIDDEN), layers.LeakyReLU(0.2))]
    return keras.Sequential([layers.Input((inputs,)), *hidden, layers.Dense(outputs)])


class Wgan(GenerativeModel):
    """WGAN-GP (Gulrajani et al. 2017, algorithm 1) with five critic updates a step."""

    def __init__(self, task: Task) -> None:
        super().__init__(DataSpec(task.shape, kind="signal", value_range=None))
        self.repeats = task.slices
        self.generator, self.critic = mlp(LATENT, PIXELS), mlp(PIXELS, 1)

    def phases(self) -> list[Phase]:
        """The critic's five updates, then the generator's."""
        return [
            Phase("critic", self.critic.trainable_variables, self.critic_loss, repeats=self.repeats),
            Phase("generator", self.generator.trainable_variables, self.generator_loss),
        ]

    def critic_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """E D(fake) - E D(real) + λ E (|∇D(x̂)| - 1)²."""
        x, n = batch["x"], batch["x"].shape[0]
        z = batch["z"] if "z" in batch else self.normal((n, LATENT))
        e = batch["e"] if "e" in batch else self.uniform((n, 1))
        fake = self.generator(z)
        slope = backend.grad(self.critic)(e * x + (1.0 - e) * fake)
        penalty = ops.mean((ops.sqrt(ops.sum(slope * slope, axis=1) + 1e-12) - 1.0) ** 2)
        return ops.mean(self.critic(fake)) - ops.mean(self.critic(x)) + PENALTY * penalty, {}, 1.0

    def generator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """-E D(fake)."""
        z = batch["z"] if "z" in batch else self.normal((batch["x"].shape[0], LATENT))
        return -ops.mean(self.critic(self.generator(z))), {}, 1.0


class Vae(GenerativeModel):
    """A variational autoencoder (Kingma and Welling 2014) with one hidden layer on each side.

    Args:
        task: the shape of a sample.
        hidden: units of the hidden layers.
        bernoulli: whether the decoder gives logits of pixels, or their means under a Gaussian of variance 1.
    """

    def __init__(self, task: Task, hidden: int, bernoulli: bool) -> None:
        super().__init__(DataSpec(task.shape, kind="signal", value_range=None))
        self.bernoulli, last = bernoulli, None if bernoulli else "sigmoid"
        pixels = int(np.prod(task.shape))
        self.encoder = keras.Sequential([layers.Input((pixels,)), layers.Dense(hidden, "relu"), layers.Dense(2 * CODE)])
        self.decoder = keras.Sequential(
            [layers.Input((CODE,)), layers.Dense(hidden, "relu"), layers.Dense(pixels, last)]
        )

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("elbo", lambda: self.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """-E log p(x|z) + KL(q(z|x) || N(0, 1))."""
        x = batch["x"]
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        noise = batch["noise"] if "noise" in batch else self.normal((x.shape[0], CODE))
        output = self.decoder(mean + ops.exp(0.5 * log_variance) * noise)
        distance = 0.5 * ops.sum((output - x) ** 2, -1) if not self.bernoulli else -bernoulli_log_prob(x, output)
        kl = 0.5 * ops.sum(ops.exp(log_variance) + mean * mean - 1.0 - log_variance, axis=-1)
        return ops.mean(distance + kl), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        """Decode codes of the prior."""
        output = self.decoder(random.normal(keys, (CODE,)))
        return ops.sigmoid(output) if self.bernoulli else output


def conv(channels: int, size: int = 3, strides: int = 1) -> layers.Conv2D:
    """A convolution in the engine's fastest layout."""
    return layers.Conv2D(channels, size, strides, padding="same", data_format=backend.image_layout())


def channel_axis() -> int:
    """Where the channels are inside the U-Net."""
    return 1 if backend.image_layout() == "channels_first" else -1


class Block(layers.Layer):
    """Normalise, activate, convolve, twice, with the time added between and a projected shortcut."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = GroupNorm(GROUPS, channel_axis()), GroupNorm(GROUPS, channel_axis())
        self.conv1, self.conv2, self.skip = conv(outputs), conv(outputs), conv(outputs, 1)
        self.time = layers.Dense(outputs)

    def call(self, x: Any, t: Any) -> Any:
        """X in the fast layout, t (B, embedding) -> the same with `outputs` channels."""
        t = self.time(t)
        h = self.conv1(ops.silu(self.norm1(x)))
        h = h + (t[:, :, None, None] if channel_axis() == 1 else t[:, None, None])
        return self.conv2(ops.silu(self.norm2(h))) + self.skip(x)


class UNet(keras.Model):
    """Two resolutions, three blocks, one skip connection: 0.3 million parameters at a width of 44, 3 at 140."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.stem, self.first, self.shrink = conv(width), Block(width), conv(2 * width, strides=2)
        self.low, self.last, self.head = Block(2 * width), Block(width), conv(shape[-1])
        self.enlarge = layers.UpSampling2D(2, data_format=backend.image_layout())
        self(ops.zeros((1, *shape)), ops.zeros((1,)))

    def call(self, x: Any, t: Any) -> Any:
        """X (B, H, W, C), t (B,) -> (B, H, W, C)."""
        angle = t[:, None] * ops.convert_to_tensor(FREQUENCIES)
        t = ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=1)
        first_layout = channel_axis() == 1
        first = self.first(self.stem(ops.transpose(x, (0, 3, 1, 2)) if first_layout else x), t)
        low = self.enlarge(self.low(self.shrink(first), t))
        y = self.head(self.last(ops.concatenate([low, first], axis=channel_axis()), t))
        return ops.transpose(y, (0, 2, 3, 1)) if first_layout else y


class Diffusion(GenerativeModel):
    """ε-prediction at a uniform time on the cosine path: x_t = cos(πt/2) x + sin(πt/2) ε."""

    def __init__(self, task: Task, network: keras.Model) -> None:
        super().__init__(DataSpec(task.shape, value_range=(-1.0, 1.0)))
        self.network = network

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("denoiser", self.network.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Mean squared error of the predicted noise."""
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else self.normal(tuple(x.shape))
        t = batch["t"] if "t" in batch else self.uniform((x.shape[0],))
        s = (np.pi / 2) * t[:, None, None, None]
        predicted = self.network(ops.cos(s) * x + ops.sin(s) * noise, t)
        return ops.mean((predicted - noise) ** 2), {}, 1.0


class NoisePredictor(GenerativeModel):
    """ε-prediction at a time of a thousand (Ho et al. 2020, algorithm 1) with diffusers' U-Net."""

    def __init__(self, task: Task) -> None:
        super().__init__(DataSpec(task.shape, value_range=(-1.0, 1.0)))
        self.network = UNet2D(task.shape)
        kept = np.cumprod(1.0 - BETAS)
        self.scales = [np.sqrt(values).astype("float32") for values in (kept, 1.0 - kept)]

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("denoiser", self.network.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Mean squared error of the predicted noise."""
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else self.normal(tuple(x.shape))
        u = batch["t"] if "t" in batch else self.uniform((x.shape[0],))
        t = ops.cast(u * TIMES, "int32")
        signal, spread = (ops.take(ops.convert_to_tensor(s), t)[:, None, None, None] for s in self.scales)
        predicted = self.network(signal * x + spread * noise, t)
        return ops.mean((predicted - noise) ** 2), {}, 1.0


def build(task: Task) -> GenerativeModel:
    """Return the compiled model of a task."""
    model = {
        "vae": lambda: Vae(task, VAE_HIDDEN, bernoulli=True),
        "pythae": lambda: Vae(task, PYTHAE_HIDDEN, bernoulli=False),
        "multi-step": lambda: Vae(task, 32, bernoulli=False),
        "wgan-gp": lambda: Wgan(task),
        "unet": lambda: Diffusion(task, UNet(task.shape, task.width)),
        "unet-3m": lambda: Diffusion(task, UNet(task.shape, task.width)),
        "dit": lambda: Diffusion(task, dit(task)),
        "diffusers-unet": lambda: NoisePredictor(task),
        "language-train": lambda: gpt(task),
    }[task.name]()
    model.compile(_adamw(model) if task.name == "language-train" else keras.optimizers.Adam(**ADAM))
    return model


def dit(task: Task) -> keras.Model:
    """The transformer of genloom-diffusion, without the zeros that it starts with: they would hide what differs."""
    network = DiffusionTransformer(task.shape, task.width, **DIT)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(variable + 0.05 * rng.standard_normal(variable.shape).astype("float32"))
    return network


def gpt(task: Task) -> GenerativeModel:
    """The transformer of genloom-language in nanoGPT's shape."""
    spec = DataSpec(task.shape, kind="text", dtype="int32", value_range=None, vocabulary=VOCABULARY)
    return create("language/transformer", spec, compile=False, **NANO)


def _adamw(model: GenerativeModel) -> keras.optimizers.Optimizer:
    """AdamW with the decay of matrices only, clipped by the norm of all gradients."""
    rates = {name: value for name, value in NANO_ADAMW.items() if name != "clip"}
    optimizer = keras.optimizers.AdamW(**rates, epsilon=ADAM["epsilon"], global_clipnorm=NANO_ADAMW["clip"])
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
