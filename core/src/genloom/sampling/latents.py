"""What `genloom sample --mode` does beside drawing: reconstruct held-out data, or walk between two samples."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genloom.data import drawn_over_classes
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.data.samples import Samples

__all__ = ["PER_WALK", "encoded", "interpolate", "opened_for", "points_of_walk", "reconstruct"]

PER_WALK = 8  # points of one walk, ends included, where n allows: one row of a square grid of 64
PAIRS = 4  # pairs of an original and its reconstruction in one row
SEARCHED = 1024  # held-out samples looked through for another one of a class
CHUNK = 256  # samples encoded or decoded at once


def opened_for(model: Any, address: str) -> Dataset:
    """Open data that a model reads.

    Raises:
        ConfigError: samples of another shape than the model's, or values outside its range.
    """
    from genloom import data
    from genloom.data.fitting import check_split

    dataset = data.open(address)
    if dataset.spec.shape != model.spec.shape:
        raise ConfigError(f"Samples of {dataset.address} are {dataset.spec.shape}, the run's are {model.spec.shape}.")
    check_split(dataset.test, model.spec, dataset.address)
    return dataset


def reconstruct(model: Any, dataset: Dataset, n: int, seed: int = 0) -> Samples:
    """Return n held-out samples, drawn by seed over all classes, each followed by its reconstruction: 2 n rows.

    Raises:
        ConfigError: the model has no `encode` and `decode`, or fewer than n samples are held out.
    """
    import numpy as np

    from genloom.data.samples import Samples

    _require(dataset, n)
    rows = drawn_over_classes(dataset.test, n, seed)
    batch = dataset.test.take(rows)
    again = _mapped(model, "decode", encoded(model, batch), batch.get("label"))
    pairs = np.stack([batch["x"], again], axis=1)  # (n, 2, *shape)
    labels = np.repeat(batch["label"], 2) if "label" in batch else None
    return Samples(_joined(pairs), model.spec, labels, np.repeat(rows, 2), columns=2 * min(n, PAIRS))


def interpolate(model: Any, dataset: Dataset, n: int, seed: int = 0) -> Samples:
    """Return n samples on straight walks through the latent space between held-out samples, one walk to a row.

    A walk has about `PER_WALK` points, such that whole walks make n. It leads from one sample, drawn by seed over all
    classes, to the next; to the next one of the same class when the model is conditional, for a walk keeps its label.

    Raises:
        ConfigError: the model has no `encode` and `decode`, or too few samples are held out.
    """
    import numpy as np

    from genloom.data.samples import Samples

    points = points_of_walk(n)
    walks = n // points
    _require(dataset, walks + 1)
    starts, ends = _ends(model, dataset, walks, seed)
    batch = dataset.test.take(starts)
    a, b = encoded(model, batch), encoded(model, dataset.test.take(ends))  # (walks, *latent)
    t = np.linspace(0.0, 1.0, points, dtype=np.float32).reshape(1, -1, *[1] * (a.ndim - 1))
    path = _joined(a[:, None] * (1 - t) + b[:, None] * t)  # (n, *latent)
    labels = np.repeat(batch["label"], points) if "label" in batch else None
    shown = labels if _takes_labels(model, "encode") else None  # else a walk leads from one class to another
    return Samples(_mapped(model, "decode", path, labels), model.spec, shown, np.arange(n), columns=points)


def points_of_walk(n: int) -> int:
    """Return the divisor of n nearest to `PER_WALK`, and at least half of it; n itself where there is none."""
    return min((d for d in range(PER_WALK // 2, n + 1) if n % d == 0), key=lambda d: abs(d - PER_WALK), default=n)


def encoded(model: Any, batch: Mapping[str, Any]) -> Any:
    """Return the latent codes of a batch ("x", and "label" for a conditional model) as a NumPy array.

    Raises:
        ConfigError: the model has no `encode`.
    """
    return _mapped(model, "encode", batch["x"], batch.get("label"))


def _joined(parts: Any) -> Any:
    """Return (groups, members, …) as (groups · members, …)."""
    return parts.reshape(-1, *parts.shape[2:])


def _ends(model: Any, dataset: Dataset, walks: int, seed: int) -> tuple[Any, Any]:
    """Return the held-out samples that walks start from and lead to."""
    import numpy as np

    rows = drawn_over_classes(dataset.test, walks + SEARCHED, seed)
    if not _takes_labels(model, "encode"):
        return rows[:walks], rows[1 : walks + 1]
    labels = dataset.test.take(rows)["label"]
    ends = [next((i for i in range(w + 1, len(rows)) if labels[i] == labels[w]), None) for w in range(walks)]
    if None in ends:
        raise ConfigError(f"{dataset.address} holds out too few samples of a class to walk between.", mend="Lower -n.")
    return rows[:walks], rows[np.asarray(ends)]


def _require(dataset: Dataset, n: int) -> None:
    if n > len(dataset.test):
        raise ConfigError(
            f"{dataset.address} has {len(dataset.test)} held-out samples, {n} are needed.", mend="Lower -n."
        )


def _takes_labels(model: Any, method: str) -> bool:
    return "label" in inspect.signature(getattr(model, method)).parameters and model.takes_labels


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
