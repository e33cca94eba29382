"""The JAX peer: the same networks, losses and Adam in plain JAX, one jitted step with donated state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from tasks import ADAM, CODE, CRITIC_STEPS, FREQUENCIES, GROUP_EPSILON, GROUPS, LATENT, PENALTY, Task
from windows import Windows, step_by_step

Weights = dict[str, Any]


def adam(w: Weights, g: Weights, state: tuple[Weights, Weights, Any]) -> tuple[Weights, tuple[Weights, Weights, Any]]:
    """Kingma and Ba 2015, section 2's second form, as Keras has it: ε beside the uncorrected root."""
    m, v, count = state
    count = count + 1
    b1, b2 = ADAM["beta_1"], ADAM["beta_2"]
    m = jax.tree.map(lambda a, b: a + (b - a) * (1 - b1), m, g)
    v = jax.tree.map(lambda a, b: a + (b * b - a) * (1 - b2), v, g)
    rate = ADAM["learning_rate"] * jnp.sqrt(1 - b2**count) / (1 - b1**count)
    w = jax.tree.map(lambda x, a, b: x - rate * a / (jnp.sqrt(b) + ADAM["epsilon"]), w, m, v)
    return w, (m, v, count)


def fresh(w: Weights) -> tuple[Weights, Weights, Any]:
    """Adam's state before the first step."""
    return jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w), jnp.zeros(())


def mlp(w: Weights, x: Any) -> Any:
    """Two hidden layers with leaky rectifiers."""
    *hidden, last = [(w[f"{i}/kernel"], w[f"{i}/bias"]) for i in (0, 2, 4)]
    for kernel, bias in hidden:
        x = jax.nn.leaky_relu(x @ kernel + bias, 0.2)
    return x @ last[0] + last[1]


def critic_loss(c: Weights, g: Weights, x: Any, z: Any, e: Any) -> Any:
    """Gulrajani et al. 2017, eq. 3."""
    fake = mlp(g, z)
    slope = jax.grad(lambda y: jnp.sum(mlp(c, y)))(e * x + (1 - e) * fake)
    penalty = jnp.mean((jnp.sqrt(jnp.sum(slope**2, axis=1) + 1e-12) - 1) ** 2)
    return jnp.mean(mlp(c, fake)) - jnp.mean(mlp(c, x)) + PENALTY * penalty


def generator_loss(g: Weights, c: Weights, z: Any) -> Any:
    """-E D(fake)."""
    return -jnp.mean(mlp(c, mlp(g, z)))


def wgan_step(state: tuple[Any, ...], batch: dict[str, Any], size: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Five critic updates on fresh slices, then one of the generator."""
    g, c, g_state, c_state, key = state
    key, *draws = jax.random.split(key, 2 * CRITIC_STEPS + 2)
    loss = None
    for i in range(CRITIC_STEPS):
        part = {name: a[i * size : (i + 1) * size] for name, a in batch.items()}
        z = part["z"] if "z" in part else jax.random.normal(draws[2 * i], (size, LATENT))
        e = part["e"] if "e" in part else jax.random.uniform(draws[2 * i + 1], (size, 1))
        loss, gradient = jax.value_and_grad(critic_loss)(c, g, part["x"], z, e)
        c, c_state = adam(c, gradient, c_state)
    z = batch["z"][:size] if "z" in batch else jax.random.normal(draws[-1], (size, LATENT))
    g_loss, gradient = jax.value_and_grad(generator_loss)(g, c, z)
    g, g_state = adam(g, gradient, g_state)
    return (g, c, g_state, c_state, key), {"critic_loss": loss, "generator_loss": g_loss}


def elbo(w: Weights, x: Any, noise: Any) -> Any:
    """The negative bound of Kingma and Welling 2014, with Bernoulli pixels."""
    h = jax.nn.relu(x @ w["encoder/0/kernel"] + w["encoder/0/bias"])
    mean, log_variance = jnp.split(h @ w["encoder/1/kernel"] + w["encoder/1/bias"], 2, axis=-1)
    h = jax.nn.relu((mean + jnp.exp(0.5 * log_variance) * noise) @ w["decoder/0/kernel"] + w["decoder/0/bias"])
    logits = h @ w["decoder/1/kernel"] + w["decoder/1/bias"]
    distance = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=-1)
    return jnp.mean(distance + 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1))


def vae_step(state: tuple[Any, ...], batch: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One update."""
    w, w_state, key = state
    x = batch["x"]
    key, for_noise = jax.random.split(key)
    noise = batch["noise"] if "noise" in batch else jax.random.normal(for_noise, (x.shape[0], CODE))
    loss, gradient = jax.value_and_grad(elbo)(w, x, noise)
    w, w_state = adam(w, gradient, w_state)
    return (w, w_state, key), {"loss": loss}


def conv(w: Weights, name: str, x: Any, strides: int = 1) -> Any:
    """A convolution, channels last."""
    kernel = w[f"{name}/kernel"]
    y = lax.conv_general_dilated(x, kernel, (strides, strides), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + w[f"{name}/bias"]


def norm(w: Weights, name: str, x: Any) -> Any:
    """Group normalisation, channels last."""
    n, height, width, channels = x.shape
    y = x.reshape(n, height, width, GROUPS, channels // GROUPS)
    mean = jnp.mean(y, axis=(1, 2, 4), keepdims=True)
    variance = jnp.mean((y - mean) ** 2, axis=(1, 2, 4), keepdims=True)
    y = ((y - mean) * lax.rsqrt(variance + GROUP_EPSILON)).reshape(x.shape)
    return y * w[f"{name}/gamma"] + w[f"{name}/beta"]


def block(w: Weights, name: str, x: Any, t: Any) -> Any:
    """A residual block under a time."""
    h = conv(w, f"{name}/conv1", jax.nn.silu(norm(w, f"{name}/norm1", x)))
    h = h + (t @ w[f"{name}/time/kernel"] + w[f"{name}/time/bias"])[:, None, None]
    return conv(w, f"{name}/conv2", jax.nn.silu(norm(w, f"{name}/norm2", h))) + conv(w, f"{name}/skip", x)


def unet(w: Weights, x: Any, t: Any) -> Any:
    """The U-Net."""
    first = block(w, "first", conv(w, "stem", x), t)
    low = block(w, "low", conv(w, "shrink", first, 2), t)
    low = jnp.repeat(jnp.repeat(low, 2, axis=1), 2, axis=2)
    return conv(w, "head", block(w, "last", jnp.concatenate([low, first], axis=-1), t))


def denoising_loss(w: Weights, x: Any, noise: Any, t: Any) -> Any:
    """Mean squared error of the predicted noise on the cosine path."""
    angle = t[:, None] * FREQUENCIES
    embedding = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
    s = (np.pi / 2) * t[:, None, None, None]
    return jnp.mean((unet(w, jnp.cos(s) * x + jnp.sin(s) * noise, embedding) - noise) ** 2)


def unet_step(state: tuple[Any, ...], batch: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One update."""
    w, w_state, key = state
    x = batch["x"]
    key, for_noise, for_time = jax.random.split(key, 3)
    noise = batch["noise"] if "noise" in batch else jax.random.normal(for_noise, x.shape)
    t = batch["t"] if "t" in batch else jax.random.uniform(for_time, x.shape[:1])
    loss, gradient = jax.value_and_grad(denoising_loss)(w, x, noise, t)
    w, w_state = adam(w, gradient, w_state)
    return (w, w_state, key), {"loss": loss}


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    loaded = {name: jnp.asarray(value) for name, value in np.load(weights).items()}
    key = jax.random.key(0)
    if task.name == "wgan-gp":
        g, c = ({n.removeprefix(p): v for n, v in loaded.items() if n.startswith(p)} for p in ("generator/", "critic/"))
        carry: dict[str, Any] = {"state": (g, c, fresh(g), fresh(c), key)}
        run = jax.jit(lambda state, batch: wgan_step(state, batch, task.batch), donate_argnums=0)
    else:
        w = {n.removeprefix("network/"): v for n, v in loaded.items()}
        carry = {"state": (w, fresh(w), key)}
        run = jax.jit(vae_step if task.name == "vae" else unet_step, donate_argnums=0)

    def step(batch: dict[str, Any]) -> None:
        carry["state"], carry["losses"] = run(carry["state"], batch)

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
