"""Our arm: the task as a GenLoom model, one training step at a time, on the engine of KERAS_BACKEND."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from tasks import ADAM, EMBEDDING, FREQUENCIES, GROUPS, HIDDEN, LATENT, PENALTY, PIXELS, WIDTH, Task

from genloom import backend
from genloom.data.spec import DataSpec
from genloom.layers import GroupNorm
from genloom.model import GenerativeModel, Phase
from genloom.naming import variable_names


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
    """Two resolutions, three blocks, one skip connection: about 0.3 million parameters."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.stem, self.first, self.shrink = conv(WIDTH), Block(WIDTH), conv(2 * WIDTH, strides=2)
        self.low, self.last, self.head = Block(2 * WIDTH), Block(WIDTH), conv(shape[-1])
        self.enlarge = layers.UpSampling2D(2, data_format=backend.image_layout())
        self(ops.zeros((1, *shape)), ops.zeros((1, EMBEDDING)))

    def call(self, x: Any, t: Any) -> Any:
        """X (B, H, W, C), t (B, embedding) -> (B, H, W, C)."""
        first_layout = channel_axis() == 1
        first = self.first(self.stem(ops.transpose(x, (0, 3, 1, 2)) if first_layout else x), t)
        low = self.enlarge(self.low(self.shrink(first), t))
        y = self.head(self.last(ops.concatenate([low, first], axis=channel_axis()), t))
        return ops.transpose(y, (0, 2, 3, 1)) if first_layout else y


class Diffusion(GenerativeModel):
    """ε-prediction at a uniform time on the cosine path: x_t = cos(πt/2) x + sin(πt/2) ε."""

    def __init__(self, task: Task) -> None:
        super().__init__(DataSpec(task.shape, value_range=(-1.0, 1.0)))
        self.network = UNet(task.shape)

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("denoiser", self.network.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Mean squared error of the predicted noise."""
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else self.normal(tuple(x.shape))
        t = batch["t"] if "t" in batch else self.uniform((x.shape[0],))
        angle = t[:, None] * ops.convert_to_tensor(FREQUENCIES)
        embedding = ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=1)
        s = (np.pi / 2) * t[:, None, None, None]
        predicted = self.network(ops.cos(s) * x + ops.sin(s) * noise, embedding)
        return ops.mean((predicted - noise) ** 2), {}, 1.0


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Write the first weights to `weights`; return step(batch), as `fit` runs it, and a function that reads the losses.

    The losses are Keras's: means over the steps so far. Reading them waits for the device.
    """
    model = build(task)
    names = variable_names(model)
    np.savez(weights, **{name: ops.convert_to_numpy(v.value) for name, v in names.items() if v.trainable})
    model.make_train_function()
    carry: dict[str, Any] = {"logs": {}}

    def jax_step(batch: dict[str, Any]) -> None:
        carry["logs"], carry["state"] = model.train_function(carry["state"], iter([(batch,)]))

    def step(batch: dict[str, Any]) -> None:
        # TensorFlow's train function takes an iterator, torch's the list of batches of one execution.
        one = [(batch,)]
        carry["logs"] = model.train_function(one if backend.name() == "torch" else iter(one))

    def losses() -> dict[str, float]:
        return {name: float(value) for name, value in carry["logs"].items()}

    if backend.name() != "jax":
        return step, losses
    groups = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    carry["state"] = model._get_jax_state(**dict.fromkeys(groups, True))
    return jax_step, losses


def build(task: Task) -> GenerativeModel:
    """Return the compiled model of a task."""
    model = (Wgan if task.name == "wgan-gp" else Diffusion)(task)
    model.compile(keras.optimizers.Adam(**ADAM))
    return model
