"""The JAX peer of the diffusion transformer: the same network and loss in plain JAX, one jitted step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peers.by_hand_jax import Weights, adam, fresh
from tasks import DIT, DIT_EPSILON, Task, frequencies, patches_in, places
from windows import Windows, step_by_step


def dense(w: Weights, name: str, x: Any) -> Any:
    """A dense layer."""
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def modulated(x: Any, shift: Any, scale: Any) -> Any:
    """A norm without weights of its own, scaled and shifted."""
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + DIT_EPSILON) * (1 + scale) + shift


def block(w: Weights, name: str, x: Any, e: Any) -> Any:
    """Attention and a network, gated."""
    n, p, width = x.shape
    shift, scale, gate, shift2, scale2, gate2 = jnp.split(dense(w, f"{name}/modulation", e)[:, None], 6, axis=-1)
    parts = dense(w, f"{name}/query_key_value", modulated(x, shift, scale)).reshape(n, p, 3, DIT["heads"], -1)
    mixed = jax.nn.dot_product_attention(parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]).reshape(n, p, width)
    x = x + gate * dense(w, f"{name}/mix", mixed)
    hidden = jax.nn.gelu(dense(w, f"{name}/up", modulated(x, shift2, scale2)), approximate=True)
    return x + gate2 * dense(w, f"{name}/down", hidden)


def network(w: Weights, x: Any, t: Any) -> Any:
    """The transformer."""
    width, split, back = w["stem/bias"].shape[0], *patches_in(x.shape)
    angle = t[:, None] * frequencies(width)
    e = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
    e = jax.nn.silu(dense(w, "embedding/second", jax.nn.silu(dense(w, "embedding/first", e))))
    y = x.reshape(split).transpose(0, 1, 3, 2, 4, 5)
    y = dense(w, "stem", y.reshape(x.shape[0], split[1] * split[3], -1)) + places(split[1], width)
    for i in range(DIT["depth"]):
        y = block(w, f"blocks/{i}", y, e)
    y = dense(w, "head", modulated(y, *jnp.split(dense(w, "modulation", e)[:, None], 2, axis=-1)))
    return y.reshape(back).transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)


def denoising_loss(w: Weights, x: Any, noise: Any, t: Any) -> Any:
    """Mean squared error of the predicted noise on the cosine path."""
    s = (np.pi / 2) * t[:, None, None, None]
    return jnp.mean((network(w, jnp.cos(s) * x + jnp.sin(s) * noise, t) - noise) ** 2)


def update(state: tuple[Any, ...], batch: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
    w = {name.removeprefix("network/"): jnp.asarray(value) for name, value in np.load(weights).items()}
    carry: dict[str, Any] = {"state": (w, fresh(w), jax.random.key(0))}
    moved = jax.jit(update, donate_argnums=0)

    def step(batch: dict[str, Any]) -> None:
        carry["state"], carry["losses"] = moved(carry["state"], batch)

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
