"""A plugin in one file for the tests of training: four small models, a callback and a data set of 200 points."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

import genloom
from genloom.data import ArraySplit, Dataset, DataSpec
from genloom.layers import Dropout
from genloom.objectives import gradient_penalty
from genloom.plugins.offers import Component, Preset

SPEC = DataSpec(
    shape=(4,),
    kind="signal",
    value_range=(0.0, 1.0),
    classes=2,
    class_frequencies=(0.25, 0.75),
    condition=("label",),
)


def points(n: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    label = (np.arange(n) % 4 > 0).astype("int32")
    x = np.clip(0.3 + 0.4 * label[:, None] + 0.1 * rng.normal(size=(n, 4)), 0, 1).astype("float32")
    split = ArraySplit(x, label)
    return Dataset("points", SPEC, split, ArraySplit(x[:20], label[:20]), "f1d0")


@dataclasses.dataclass(frozen=True)
class Options:
    latent: int = genloom.option(2, "Size of the latent code.", minimum=1)
    rate: float = genloom.option(0.2, "Dropout rate.")
    conditional: bool = genloom.option(False, "Whether labels are used.")


def dense(inputs: int, outputs: int, last: str | None = None, rate: float = 0.0) -> keras.Sequential:
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((inputs,)), layers.Dense(8, "tanh"), Dropout(rate), layers.Dense(outputs, last)]
    )


class Small(genloom.GenerativeModel):
    Options = Options

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.conditional = self.options.conditional


class VAE(Small):
    validation = ("loss",)

    def __init__(self, spec: DataSpec, options: Any = None, *, encoder: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        latent = self.options.latent
        self.encoder = encoder or dense(spec.size, 2 * latent, rate=self.options.rate)
        self.decoder = dense(latent, spec.size, "sigmoid")

    def phases(self) -> list[genloom.Phase]:
        return [genloom.Phase("vae", lambda: self.trainable_variables, self.loss_of, ("kl",))]

    def terms(self, x: Any, noise: Any, training: bool) -> tuple[Any, Any]:
        mean, log_variance = ops.split(ops.cast(self.encoder(x, training=training), "float32"), 2, axis=-1)
        z = mean + ops.exp(0.5 * log_variance) * noise
        x_again = ops.cast(self.decoder(z, training=training), "float32")
        kl = 0.5 * ops.sum(ops.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=-1)
        return ops.sum((x_again - x) ** 2, axis=-1), kl

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        n = batch["x"].shape[0]
        distance, kl = self.terms(batch["x"], self.normal((n, self.options.latent)), True)
        return ops.mean(distance + kl), {"kl": ops.mean(kl)}, float(n)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        noise = genloom.random.normal(self.validation_keys(batch), (self.options.latent,))
        distance, kl = self.terms(batch["x"], noise, False)
        return {"loss": distance + kl}

    def distillation_loss(self, batch: dict[str, Any], teacher: Any, temperature: float) -> Any:
        z = batch["x"][:, : self.options.latent] / temperature
        return ops.mean((self.decoder(z) - ops.stop_gradient(teacher.decoder(z))) ** 2)

    def draw(self, keys: Any, condition: dict[str, Any], *, scale: float = 1.0) -> Any:
        z = scale * genloom.random.normal(keys, (self.options.latent,))
        if "label" in condition:
            z = z + ops.cast(condition["label"], "float32")[:, None]
        return ops.cast(self.decoder(z), "float32")


class GAN(Small):
    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.generator = self.generator_of(spec)
        self.critic = dense(spec.size, 1, rate=self.options.rate)

    def generator_of(self, spec: DataSpec) -> keras.Sequential:
        return dense(self.options.latent, spec.size, "sigmoid")

    def phases(self) -> list[genloom.Phase]:
        return [
            genloom.Phase("critic", lambda: self.critic.trainable_variables, self.critic_loss, ("real",), repeats=2),
            genloom.Phase("generator", lambda: self.generator.trainable_variables, self.generator_loss),
        ]

    def default_optimizers(self) -> Any:
        return {"critic": keras.optimizers.Adam(4e-3), "generator": keras.optimizers.Adam(1e-3, beta_1=0.5)}

    def fakes(self, n: int) -> Any:
        return ops.cast(self.generator(self.normal((n, self.options.latent))), "float32")

    def critic_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        real = ops.cast(self.critic(batch["x"], training=True), "float32")
        fake = ops.cast(self.critic(self.fakes(batch["x"].shape[0]), training=True), "float32")
        mean = ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))
        return mean, {"real": ops.mean(real)}, 1.0

    def generator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        fake = ops.cast(self.critic(self.fakes(batch["x"].shape[0]), training=True), "float32")
        return ops.mean(ops.softplus(-fake)), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return ops.cast(self.generator(genloom.random.normal(keys, (self.options.latent,))), "float32")


class WGAN(GAN):
    """Batch statistics in the generator, dropout and a second derivative in the critic, fresh data per critic step."""

    def generator_of(self, spec: DataSpec) -> keras.Sequential:
        layers = keras.layers
        hidden = [layers.Dense(8), layers.BatchNormalization(momentum=0.9), layers.Activation("tanh")]
        return keras.Sequential([layers.Input((self.options.latent,)), *hidden, layers.Dense(spec.size, "sigmoid")])

    def fakes(self, n: int) -> Any:
        return ops.cast(self.generator(self.normal((n, self.options.latent)), training=True), "float32")

    def judge(self, x: Any) -> Any:
        return ops.cast(self.critic(x, training=True), "float32")

    def critic_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        n = batch["x"].shape[0]
        fake = ops.stop_gradient(self.fakes(n))
        penalty = gradient_penalty(self.judge, batch["x"], fake, self.uniform((n,)))
        real = ops.mean(self.judge(batch["x"]))
        return ops.mean(self.judge(fake)) - real + 10.0 * penalty, {"real": real}, 1.0

    def generator_loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        return -ops.mean(self.judge(self.fakes(batch["x"].shape[0]))), {}, 1.0


class Peek(keras.callbacks.Callback):
    """Draws samples in the middle of every epoch."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.drawn: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 4:
            self.drawn.append(genloom.sample(self.model, 3, seed=1).samples)


class Plain(Small):
    """An autoencoder without noise, whose loss is the same however a batch is cut."""

    validation = ("loss",)

    def __init__(self, spec: DataSpec, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        self.net = dense(spec.size, spec.size)

    def phases(self) -> list[genloom.Phase]:
        return [genloom.Phase("plain", lambda: self.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        return ops.mean((self.net(batch["x"]) - batch["x"]) ** 2), {}, float(batch["x"].shape[0])

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"loss": ops.mean((self.net(batch["x"]) - batch["x"]) ** 2, axis=-1)}

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return genloom.random.normal(keys, (self.spec.size,))  # leaves the value range


@genloom.hookimpl
def genloom_components() -> list[Component]:
    return [
        Component(
            "model",
            f"tests/{name.lower()}",
            f"training_models:{name}",
            "A small model.",
            Options,
            presets={"quick": Preset({"latent": 1}, {"epochs": 1, "ema": 0.9})},
            accepts=("signal",),
            training={"batch_size": 20, "epochs": 3},
        )
        for name in ("VAE", "GAN", "WGAN", "Plain")
    ]
