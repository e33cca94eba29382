"""Seeded initial weights: the same seed gives the same network on every backend, first-party layers or your own.

Keras draws initial weights from the backend's generator, so they differ between engines. `reseed` draws them again
with Threefry in NumPy, from the distribution that each layer's own initialiser describes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from genloom.model.naming import own_layers
from genloom.random import threefry

__all__ = ["draw", "reseed"]

_TRUNCATION = 0.87962566103423978  # Standard deviation of a standard normal cut at two.


def _uniforms(seed: int, name: str, size: int) -> np.ndarray:
    """Return float64 uniforms in (0, 1) that depend on (seed, name) only."""
    words = np.array([seed & 0xFFFFFFFF, zlib.crc32(name.encode())], "uint32").view("int32")
    counter = np.arange((size + 1) // 2, dtype="int32")
    with np.errstate(over="ignore"):
        pair = np.concatenate(threefry((words[:1], words[1:]), (counter, np.zeros_like(counter)), xp=np))
    return (pair[:size].view("uint32").astype("float64") + 0.5) / 2.0**32


def _normals(seed: int, name: str, size: int) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri(_uniforms(seed, name, size)))


def _truncated(seed: int, name: str, size: int) -> np.ndarray:
    """Standard normals conditioned on [-2, 2], by the inverse distribution function."""
    from scipy.special import ndtr, ndtri

    low = ndtr(-2.0)
    return np.asarray(ndtri(low + _uniforms(seed, name, size) * (1.0 - 2.0 * low)))


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Fan-in and fan-out of a kernel whose last two axes are (in, out)."""
    if len(shape) < 2:
        return float(math.prod(shape) or 1), float(math.prod(shape) or 1)
    receptive = math.prod(shape[:-2])
    return float(receptive * shape[-2]), float(receptive * shape[-1])


def _variance_scaling(config: dict[str, Any], shape: tuple[int, ...], seed: int, name: str) -> np.ndarray:
    """Glorot, He and LeCun initialisation (Glorot and Bengio 2010; He et al. 2015)."""
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[config["mode"]]
    variance, size = config["scale"] / max(1.0, fan), math.prod(shape)
    if config["distribution"] == "uniform":
        return (2.0 * _uniforms(seed, name, size) - 1.0) * math.sqrt(3.0 * variance)
    if config["distribution"] == "untruncated_normal":
        return _normals(seed, name, size) * math.sqrt(variance)
    return _truncated(seed, name, size) * (math.sqrt(variance) / _TRUNCATION)


_NAMED_SCALING = {
    "GlorotUniform": (1.0, "fan_avg", "uniform"),
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
}


def _orthogonal(gain: float, shape: tuple[int, ...], seed: int, name: str) -> np.ndarray:
    """Orthogonal initialisation (Saxe et al. 2014)."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    flat = _normals(seed, name, rows * columns).reshape(max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))
    return gain * (q.T if rows < columns else q)


def draw(initializer: Any, shape: tuple[int, ...], seed: int, name: str) -> np.ndarray | None:
    """Draw what a Keras initialiser describes, from (seed, name); None when it is not random or not known."""
    kind, size = type(initializer).__name__, math.prod(shape)
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    if kind in _NAMED_SCALING:
        config = dict(zip(("scale", "mode", "distribution"), _NAMED_SCALING[kind], strict=True))
        return _variance_scaling(config, shape, seed, name).reshape(shape)
    if kind == "VarianceScaling":
        return _variance_scaling(config, shape, seed, name).reshape(shape)
    if kind == "RandomNormal":
        return (config["mean"] + config["stddev"] * _normals(seed, name, size)).reshape(shape)
    if kind == "TruncatedNormal":
        return (config["mean"] + config["stddev"] * _truncated(seed, name, size)).reshape(shape)
    if kind == "RandomUniform":
        low, high = config["minval"], config["maxval"]
        return (low + (high - low) * _uniforms(seed, name, size)).reshape(shape)
    if kind in ("Orthogonal", "OrthogonalInitializer"):
        return _orthogonal(config["gain"], shape, seed, name).reshape(shape)
    return None


def _weight(layer: keras.Layer, stem: str) -> Any:
    """The weight that `<stem>_initializer` belongs to: `stem`, or `<stem>_kernel` in recurrent layers."""
    return getattr(layer, f"{stem}_kernel", getattr(layer, stem, None))


def reseed(layer: keras.Layer, seed: int, keep: Iterable[keras.Layer] = ()) -> None:
    """Draw the random weights of a built layer or model again from `seed`, the same on every backend.

    Args:
        layer: what to draw again, with everything below it.
        seed: any integer; 32 bits are used.
        keep: layers inside it whose weights stay, such as a network that is trained already.

    A weight `kernel` of a layer is drawn as that layer's `kernel_initializer` says; constants, and weights whose
    layer names no initialiser, stay as they are.
    """
    kept = {id(part) for given in keep for _, part in own_layers(given)}
    for path, part in own_layers(layer):
        if id(part) in kept:
            continue
        for name, initializer in vars(part).items():
            stem = name.removesuffix("_initializer")
            variable = _weight(part, stem) if stem != name else None
            if not isinstance(variable, keras.Variable):
                continue
            value = draw(initializer, tuple(variable.shape), seed, f"{path}/{stem}")
            if value is not None:
                variable.assign(value.astype("float32"))
