"""The TensorFlow peer of the diffusion transformer: the same network and loss in plain TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from peers.by_hand_tensorflow import Adam, Weights
from tasks import DIT, DIT_EPSILON, Task, frequencies, patches_in, places
from windows import Windows, step_by_step


def dense(w: Weights, name: str, x: Any) -> Any:
    """A dense layer."""
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def modulated(x: Any, shift: Any, scale: Any) -> Any:
    """A norm without weights of its own, scaled and shifted."""
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + DIT_EPSILON) * (1 + scale) + shift


def block(w: Weights, name: str, x: Any, e: Any) -> Any:
    """Attention and a network, gated."""
    n, p, width = x.shape
    shift, scale, gate, shift2, scale2, gate2 = tf.split(dense(w, f"{name}/modulation", e)[:, None], 6, axis=-1)
    parts = dense(w, f"{name}/query_key_value", modulated(x, shift, scale))
    q, k, v = tf.unstack(tf.transpose(tf.reshape(parts, (n, p, 3, DIT["heads"], -1)), (2, 0, 3, 1, 4)))
    scores = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * (width // DIT["heads"]) ** -0.5)
    mixed = tf.reshape(tf.transpose(tf.matmul(scores, v), (0, 2, 1, 3)), (n, p, width))
    x = x + gate * dense(w, f"{name}/mix", mixed)
    hidden = tf.nn.gelu(dense(w, f"{name}/up", modulated(x, shift2, scale2)), approximate=True)
    return x + gate2 * dense(w, f"{name}/down", hidden)


def network(w: Weights, x: Any, t: Any) -> Any:
    """The transformer."""
    width, split, back = w["stem/bias"].shape[0], *patches_in(tuple(x.shape))
    angle = t[:, None] * frequencies(width)
    e = tf.concat([tf.sin(angle), tf.cos(angle)], axis=1)
    e = tf.nn.silu(dense(w, "embedding/second", tf.nn.silu(dense(w, "embedding/first", e))))
    y = tf.transpose(tf.reshape(x, split), (0, 1, 3, 2, 4, 5))
    y = dense(w, "stem", tf.reshape(y, (x.shape[0], split[1] * split[3], -1))) + places(split[1], width)
    for i in range(DIT["depth"]):
        y = block(w, f"blocks/{i}", y, e)
    y = dense(w, "head", modulated(y, *tf.split(dense(w, "modulation", e)[:, None], 2, axis=-1)))
    return tf.reshape(tf.transpose(tf.reshape(y, back), (0, 1, 3, 2, 4, 5)), x.shape)


def denoiser(w: Weights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One update of the denoiser."""
    move = Adam(w)

    @tf.function(autograph=False)
    def update(batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["x"]
        noise = batch["noise"] if "noise" in batch else tf.random.normal(x.shape)
        t = batch["t"] if "t" in batch else tf.random.uniform(x.shape[:1])
        s = (np.pi / 2) * t[:, None, None, None]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(w, tf.cos(s) * x + tf.sin(s) * noise, t) - noise) ** 2)
        move.apply(tape.gradient(loss, list(w.values())))
        return {"loss": loss}

    return update


def run(task: Task, weights: Path, windows: Windows) -> None:
    """Run the arm."""
    step_by_step(start, task, weights, windows)


def start(task: Task, weights: Path) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, float]]]:
    """Return step(batch) from the first weights in `weights`, and a function that reads the last losses."""
    update = denoiser({n.removeprefix("network/"): tf.Variable(value) for n, value in np.load(weights).items()})
    carry: dict[str, Any] = {}

    def step(batch: dict[str, Any]) -> None:
        carry["losses"] = update({name: tf.convert_to_tensor(a) for name, a in batch.items()})

    return step, lambda: {name: float(value) for name, value in carry["losses"].items()}
