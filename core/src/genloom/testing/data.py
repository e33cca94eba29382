"""Small made-up data of any spec, structured enough to be learned: every class has its own smooth template."""

from __future__ import annotations

import numpy as np

from genloom.data.spec import DataSpec

__all__ = ["made_up"]


def made_up(spec: DataSpec, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return a batch: "x" (n, *spec.shape) in the spec's range, int32 tokens where it has a vocabulary, and "label".

    Args:
        spec: what one sample is.
        n: number of samples.
        seed: draws the samples; the templates of the classes stay.
    """
    rng, kinds = np.random.default_rng(seed), max(spec.classes, 2)
    x: np.ndarray
    label = rng.integers(0, kinds, n).astype("int32")
    if spec.vocabulary:
        x = (label.reshape(-1, *(1,) * len(spec.shape)) + np.arange(spec.size).reshape(spec.shape)) % spec.vocabulary
        x = x.astype("int32")
    else:
        place = np.arange(spec.size).reshape(spec.shape) / spec.size
        phase = label.reshape(-1, *(1,) * len(spec.shape)) / kinds
        x = 0.6 * np.sin(2 * np.pi * (2 * place + phase)) + 0.1 * rng.standard_normal((n, *spec.shape))
        x = spec.denormalise(np.clip(x, -1.0, 1.0)).astype("float32")
    return {"x": x, "label": label} if spec.classes else {"x": x}
