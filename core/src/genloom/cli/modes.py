"""What `genloom sample --mode` does beside drawing: reconstruct held-out data, or walk between two samples."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.samples import Samples

__all__ = ["PER_WALK", "encoded", "interpolate", "reconstruct"]

PER_WALK = 8  # points of one walk, ends included: one row of a square grid of 64
SEARCHED = 1024  # held-out samples looked through for another one of a class
CHUNK = 256  # samples encoded or decoded at once


def reconstruct(model: Any, dataset: Dataset, n: int) -> Samples:
    """Return n held-out samples, each followed by its reconstruction: 2 n rows.

    Raises:
        ConfigError: the model has no `encode` and `decode`, or fewer than n samples are held out.
    """
    import numpy as np

    from genloom.samples import Samples

    _require(model, dataset, n)
    batch = dataset.test.take(np.arange(n))
    again = _mapped(model, "decode", encoded(model, batch), batch.get("label"))
    pairs = np.stack([batch["x"], again], axis=1)  # (n, 2, *shape)
    # No labels: they would sort a grid by class, and so part the pairs.
    return Samples(pairs.reshape(-1, *pairs.shape[2:]), None, np.repeat(np.arange(n), 2), model.spec)


def interpolate(model: Any, dataset: Dataset, n: int) -> Samples:
    """Return n samples on straight walks through the latent space between held-out samples.

    Walks have `PER_WALK` points (fewer for a smaller n). Walk w leads from held-out sample w to the next one; to the
    next one of the same class when the model is conditional, for a walk keeps its label.

    Raises:
        ConfigError: the model has no `encode` and `decode`, or too few samples are held out.
    """
    import numpy as np

    from genloom.samples import Samples

    points = min(PER_WALK, n)
    walks = -(-n // points)
    _require(model, dataset, walks + 1)
    starts, ends = _ends(model, dataset, walks)
    batch = dataset.test.take(starts)
    a, b = encoded(model, batch), encoded(model, dataset.test.take(ends))  # (walks, *latent)
    t = np.linspace(0.0, 1.0, points, dtype=np.float32).reshape(1, -1, *[1] * (a.ndim - 1))
    path = (a[:, None] * (1 - t) + b[:, None] * t).reshape(-1, *a.shape[1:])[:n]
    labels = np.repeat(batch["label"], points)[:n] if "label" in batch else None
    # No labels here either: the order of the walks is the picture's.
    return Samples(_mapped(model, "decode", path, labels), None, np.arange(n), model.spec)


def encoded(model: Any, batch: Mapping[str, Any]) -> Any:
    """Return the latent codes of a batch ("x", and "label" for a conditional model) as a NumPy array.

    Raises:
        ConfigError: the model has no `encode`.
    """
    _require_method(model, "encode")
    return _mapped(model, "encode", batch["x"], batch.get("label"))


def _ends(model: Any, dataset: Dataset, walks: int) -> tuple[Any, Any]:
    """Return the held-out samples that walks start from and lead to."""
    import numpy as np

    starts = np.arange(walks)
    if not _takes_labels(model, "encode"):
        return starts, starts + 1
    near = np.arange(min(len(dataset.test), walks + SEARCHED))
    labels = dataset.test.take(near)["label"]
    ends = [next((i for i in near[start + 1 :] if labels[i] == labels[start]), None) for start in starts]
    if None in ends:
        raise ConfigError(f"{dataset.address} holds out too few samples of a class to walk between.", mend="Lower -n.")
    return starts, np.asarray(ends)


def _require(model: Any, dataset: Dataset, n: int) -> None:
    _require_method(model, "encode")
    _require_method(model, "decode")
    if n > len(dataset.test):
        raise ConfigError(
            f"{dataset.address} has {len(dataset.test)} held-out samples, {n} are needed.", mend="Lower -n."
        )


def _require_method(model: Any, method: str) -> None:
    if not callable(getattr(model, method, None)):
        raise ConfigError(
            f"This model has no {method!r}.",
            mend="Use a model with a latent space, such as vae/conv, or --mode generate.",
        )


def _takes_labels(model: Any, method: str) -> bool:
    from genloom.conditioning import is_conditional

    return "label" in inspect.signature(getattr(model, method)).parameters and is_conditional(model)


def _mapped(model: Any, method: str, x: Any, labels: Any) -> Any:
    """Apply a model's method chunk by chunk: bounded memory whatever the data set."""
    import keras
    import numpy as np

    function, labelled = getattr(model, method), labels is not None and _takes_labels(model, method)
    parts = []
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        part = function(x[rows], label=labels[rows]) if labelled else function(x[rows])
        parts.append(keras.ops.convert_to_numpy(part))
    return np.concatenate(parts)
