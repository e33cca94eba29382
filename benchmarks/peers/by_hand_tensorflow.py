"""The TensorFlow peer: the same networks, losses and Adam in plain TensorFlow, one step as a `tf.function`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tasks import ADAM, CODE, CRITIC_STEPS, FREQUENCIES, GROUP_EPSILON, GROUPS, LATENT, PENALTY, Task
from windows import Windows, step_by_step

Weights = dict[str, Any]


class Adam:
    """Kingma and Ba 2015, section 2's second form, as Keras has it: ε beside the uncorrected root."""

    def __init__(self, weights: Weights) -> None:
        self.weights = list(weights.values())
        self.m, self.v = ([tf.Variable(tf.zeros_like(w)) for w in self.weights] for _ in range(2))
        self.count = tf.Variable(0.0)

    def apply(self, gradients: list[Any]) -> None:
        """Move the weights."""
        b1, b2 = ADAM["beta_1"], ADAM["beta_2"]
        count = self.count.assign_add(1.0)
        rate = ADAM["learning_rate"] * tf.sqrt(1 - b2**count) / (1 - b1**count)
        for w, m, v, g in zip(self.weights, self.m, self.v, gradients, strict=True):
            m.assign_add((g - m) * (1 - b1))
            v.assign_add((g * g - v) * (1 - b2))
            w.assign_sub(rate * m / (tf.sqrt(v) + ADAM["epsilon"]))


def mlp(w: Weights, x: Any) -> Any:
    """Two hidden layers with leaky rectifiers."""
    for i in (0, 2):
        x = tf.nn.leaky_relu(x @ w[f"{i}/kernel"] + w[f"{i}/bias"], 0.2)
    return x @ w["4/kernel"] + w["4/bias"]


def critic_gradient(c: Weights, g: Weights, x: Any, z: Any, e: Any) -> tuple[Any, list[Any]]:
    """Loss and gradient of Gulrajani et al. 2017, eq. 3."""
    fake = mlp(g, z)
    between = e * x + (1 - e) * fake
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(between)
            value = tf.reduce_sum(mlp(c, between))
        slope = inner.gradient(value, between)
        penalty = tf.reduce_mean((tf.sqrt(tf.reduce_sum(slope * slope, axis=1) + 1e-12) - 1) ** 2)
        loss = tf.reduce_mean(mlp(c, fake)) - tf.reduce_mean(mlp(c, x)) + PENALTY * penalty
    return loss, outer.gradient(loss, list(c.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)


def wgan(g: Weights, c: Weights, size: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Five critic updates on fresh slices, then one of the generator."""
    move_g, move_c = Adam(g), Adam(c)

    @tf.function(autograph=False)
    def step(batch: dict[str, Any]) -> dict[str, Any]:
        loss = None
        for i in range(CRITIC_STEPS):
            part = {name: a[i * size : (i + 1) * size] for name, a in batch.items()}
            z = part["z"] if "z" in part else tf.random.normal((size, LATENT))
            e = part["e"] if "e" in part else tf.random.uniform((size, 1))
            loss, gradients = critic_gradient(c, g, part["x"], z, e)
            move_c.apply(gradients)
        z = batch["z"][:size] if "z" in batch else tf.random.normal((size, LATENT))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(mlp(c, mlp(g, z)))
        move_g.apply(tape.gradient(g_loss, list(g.values())))
        return {"critic_loss": loss, "generator_loss": g_loss}

    return step


def vae(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the negative bound of Kingma and Welling 2014, with Bernoulli pixels."""
    move = Adam(w)

    @tf.function(autograph=False)
    def step(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else tf.random.normal((x.shape[0], CODE))
        with tf.GradientTape() as tape:
            h = tf.nn.relu(x @ w["encoder/0/kernel"] + w["encoder/0/bias"])
            mean, log_variance = tf.split(h @ w["encoder/1/kernel"] + w["encoder/1/bias"], 2, axis=-1)
            z = mean + tf.exp(0.5 * log_variance) * noise
            h = tf.nn.relu(z @ w["decoder/0/kernel"] + w["decoder/0/bias"])
            logits = h @ w["decoder/1/kernel"] + w["decoder/1/bias"]
            distance = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), axis=-1)
            kl = 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)
            loss = tf.reduce_mean(distance + kl)
        move.apply(tape.gradient(loss, list(w.values())))
        return {"loss": loss}

    return step


def conv(w: Weights, name: str, x: Any, strides: int = 1) -> Any:
    """A convolution, channels last."""
    return tf.nn.bias_add(tf.nn.conv2d(x, w[f"{name}/kernel"], strides, "SAME"), w[f"{name}/bias"])


def norm(w: Weights, name: str, x: Any) -> Any:
    """Group normalisation, channels last."""
    n, height, width, channels = x.shape
    y = tf.reshape(x, (n, height, width, GROUPS, channels // GROUPS))
    mean = tf.reduce_mean(y, axis=(1, 2, 4), keepdims=True)
    centred = y - mean
    variance = tf.reduce_mean(centred * centred, axis=(1, 2, 4), keepdims=True)
    y = tf.reshape(centred * tf.math.rsqrt(variance + GROUP_EPSILON), x.shape)
    return y * w[f"{name}/gamma"] + w[f"{name}/beta"]


def block(w: Weights, name: str, x: Any, t: Any) -> Any:
    """A residual block under a time."""
    h = conv(w, f"{name}/conv1", tf.nn.silu(norm(w, f"{name}/norm1", x)))
    h = h + (t @ w[f"{name}/time/kernel"] + w[f"{name}/time/bias"])[:, None, None]
    return conv(w, f"{name}/conv2", tf.nn.silu(norm(w, f"{name}/norm2", h))) + conv(w, f"{name}/skip", x)


def unet(w: Weights, x: Any, t: Any) -> Any:
    """The U-Net."""
    first = block(w, "first", conv(w, "stem", x), t)
    low = block(w, "low", conv(w, "shrink", first, 2), t)
    low = tf.repeat(tf.repeat(low, 2, axis=1), 2, axis=2)
    return conv(w, "head", block(w, "last", tf.concat([low, first], axis=-1), t))


def diffusion(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the denoiser."""
    move = Adam(w)

    @tf.function(autograph=False)
    def step(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else tf.random.normal(x.shape)
        t = batch["t"] if "t" in batch else tf.random.uniform(x.shape[:1])
        angle = t[:, None] * FREQUENCIES
        s = (np.pi / 2) * t[:, None, None, None]
        with tf.GradientTape() as tape:
            embedding = tf.concat([tf.sin(angle), tf.cos(angle)], axis=1)
            loss = tf.reduce_mean((unet(w, tf.cos(s) * x + tf.sin(s) * noise, embedding) - noise) ** 2)
        move.apply(tape.gradient(loss, list(w.values())))
        return {"loss": loss}

    return step


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    loaded = {name: tf.Variable(value) for name, value in np.load(weights).items()}
    if task.name == "wgan-gp":
        g, c = ({n.removeprefix(p): v for n, v in loaded.items() if n.startswith(p)} for p in ("generator/", "critic/"))
        run = wgan(g, c, task.batch)
    elif task.name == "vae":
        run = vae(loaded)
    else:
        run = diffusion({n.removeprefix("network/"): v for n, v in loaded.items()})
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        carry["losses"] = run({name: tf.convert_to_tensor(a) for name, a in batch.items()})

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
