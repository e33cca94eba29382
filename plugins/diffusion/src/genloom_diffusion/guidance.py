"""Guidance beside that by labels: a classifier of noised data, or a weaker model to keep away from.

Each takes a denoiser and returns one, `denoise(z, t, held)` -> x̂, so that they go with every sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import backend
from genloom.model.networks import one_hot
from genloom_diffusion.process import Process
from genloom_diffusion.stepping import Denoise

__all__ = ["Within", "autoguided", "between", "classifier_guided", "thresholded"]

Within = Callable[[Any], Any] | None


def between(process: Process, first: float, last: float) -> Within:
    """Return whether times t lie between two positions; None where all do (Kynkäänniemi et al. 2024, eq. 5)."""
    if (first, last) == (0.0, 1.0):
        return None

    def within(t: Any) -> Any:
        # Rounding puts the first and the last level a little beyond the ends.
        place = ops.clip(process.position(t if len(t.shape) == 1 else t[:, 0]), 0.0, 1.0)
        return ops.logical_and(place >= first, place <= last)

    return within


def classifier_guided(
    denoise: Denoise, process: Process, classifier: Callable[[Any, Any], Any], scale: float, within: Within = None
) -> Denoise:
    """Return x̂ + w σ²/α ∇_z log p(label | z): the score and w times a classifier's (Dhariwal and Nichol 2021, eq. 14).

    Args:
        denoise: x̂ without labels; w = 1 then gives that with labels.
        process: the noising process.
        classifier: `classifier(z, t)` -> logits (n, classes) of noised data z (n, …) at times t (n,).
        scale: w.
        within: where another w than 1 acts, as booleans (n,) of times t (n,); None for everywhere.
    """

    def push(z: Any, t: Any, held: Any) -> Any:
        def log_prob(z: Any) -> Any:
            logits = classifier(z, t)
            return ops.sum(ops.log_softmax(logits, axis=-1) * one_hot(held["label"], logits.shape[-1]), axis=-1)

        alpha, sigma = (_beside(part(t), z) for part in (process.alpha, process.sigma))
        return denoise(z, t, held) + _strength(scale, within, t, z) * sigma * sigma / alpha * backend.grad(log_prob)(z)

    return push


def autoguided(denoise: Denoise, weaker: Denoise, scale: float, within: Within = None) -> Denoise:
    """Return x̂ pushed from that of a weaker model of the same data and process (Karras et al. 2024, eq. 3)."""
    if scale == 1.0:
        return denoise

    def push(z: Any, t: Any, held: Any) -> Any:
        from_here = weaker(z, t, held)
        return from_here + _strength(scale, within, t, z) * (denoise(z, t, held) - from_here)

    return push


def thresholded(denoise: Denoise, most: float, share: float) -> Denoise:
    """Return x̂ clipped to ±most; with a share, dynamically (Saharia et al. 2022, section 2.3 and appendix C).

    The bound of a sample is then the size that this share of its values does not pass, and x̂ is scaled back to ±most.
    """

    def push(z: Any, t: Any, held: Any) -> Any:
        x = denoise(z, t, held)
        if share == 0.0:
            return ops.clip(x, -most, most)
        sizes = ops.sort(ops.reshape(ops.abs(x), (x.shape[0], -1)), axis=-1)
        bound = sizes[:, round(share * (sizes.shape[1] - 1))]
        bound = _beside(ops.maximum(bound, most), x)
        return ops.clip(x, -bound, bound) * (most / bound)

    return push


def _strength(scale: float, within: Within, t: Any, z: Any) -> Any:
    return scale if within is None else _beside(ops.where(within(t), scale, 1.0), z)


def _beside(values: Any, x: Any) -> Any:
    """Return values (n,), shaped to broadcast against x (n, …)."""
    return ops.reshape(values, (-1,) + (1,) * (len(x.shape) - 1))
