"""What `genloom sample --mode` does beside drawing: rebuild held-out data, or move through the space of codes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genloom.data import drawn_over_classes
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.data.samples import Samples

__all__ = [
    "PER_WALK",
    "arithmetic",
    "encoded",
    "interpolate",
    "opened_for",
    "points_of_walk",
    "reconstruct",
    "traverse",
]

PER_WALK = 8  # points of one walk, ends included, where n allows: one row of a square grid of 64
PAIRS = 4  # pairs of an original and its reconstruction in one row
SEARCHED = 1024  # held-out samples looked through for another one of a class
CHUNK = 256  # samples encoded or decoded at once
LOOKED_AT = 1024  # samples whose codes say how far a dimension goes, or where a class lies
TAILS = 0.02  # of the codes, left out at either end of a traversal


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


def traverse(model: Any, dataset: Dataset, n: int, seed: int = 0) -> Samples:
    """Return n samples, each row one dimension of the latent space from low to high, the others kept.

    All rows change the code of one held-out sample, drawn by seed; the dimension that varies most over held-out codes
    comes first, and each goes from their 2nd to their 98th hundredth.

    Raises:
        ConfigError: the model has no `encode` and `decode`, or n asks for more dimensions than there are.
    """
    import numpy as np

    from genloom.data.samples import Samples

    points = points_of_walk(n)
    rows = n // points
    batch = dataset.test.take(drawn_over_classes(dataset.test, LOOKED_AT, seed))
    codes = encoded(model, batch)
    flat = codes.reshape(len(codes), -1)  # (m, d)
    if rows > flat.shape[1]:
        raise ConfigError(
            f"{n} samples are {rows} rows, and a code has {flat.shape[1]} dimensions.",
            mend=f"Lower -n to {points * flat.shape[1]}.",
        )
    chosen = np.argsort(-flat.var(axis=0), kind="stable")[:rows]
    path = np.repeat(flat[:1], n, axis=0).reshape(rows, points, -1)
    for row, dimension in enumerate(chosen):
        low, high = np.quantile(flat[:, dimension], [TAILS, 1.0 - TAILS])
        path[row, :, dimension] = np.linspace(low, high, points)
    labels = np.repeat(batch["label"][:1], n) if "label" in batch else None
    decoded = _mapped(model, "decode", path.reshape(n, *codes.shape[1:]), labels)
    return Samples(decoded, model.spec, labels, np.arange(n), columns=points)


def arithmetic(
    model: Any, dataset: Dataset, n: int, seed: int = 0, *, add: int, subtract: int | None = None
) -> Samples:
    """Return n samples, each row a held-out sample that turns into another class: z + t (mean of one − mean of other).

    Means are of the codes of training samples; t goes from 0 to 1 (Larsen et al. 2016, §4.3).

    Args:
        model: with `encode` and `decode`, not conditional: a class that is told needs no code.
        dataset: labelled.
        n: number of samples, whole rows of `points_of_walk(n)`.
        seed: of the choice of held-out samples.
        add: class to become.
        subtract: class that the samples are of; None: any but `add`.

    Raises:
        ConfigError: a conditional model, data without labels, one class twice, too few held-out samples of the class.
    """
    import numpy as np

    from genloom.data.samples import Samples

    _check_arithmetic(model, dataset, add, subtract)
    points = points_of_walk(n)
    train = dataset.train.take(drawn_over_classes(dataset.train, LOOKED_AT, seed))
    of = _others(train["label"], add, subtract)
    codes = encoded(model, train)
    if not of.any() or not (train["label"] == add).any():
        raise ConfigError("A class has no training sample to take the mean of.", mend="Name another class.")
    direction = codes[train["label"] == add].mean(axis=0) - codes[of].mean(axis=0)
    rows = drawn_over_classes(dataset.test, n // points + SEARCHED, seed)
    rows = rows[_others(dataset.test.take(rows)["label"], add, subtract)][: n // points]
    if len(rows) < n // points:
        raise ConfigError(f"{n // points} samples are needed, {len(rows)} are held out.", mend="Lower -n.")
    batch = dataset.test.take(rows)
    t = np.linspace(0.0, 1.0, points, dtype=np.float32).reshape(1, -1, *[1] * (codes.ndim - 1))
    path = _joined(encoded(model, batch)[:, None] + t * direction)  # (n, *latent)
    return Samples(_mapped(model, "decode", path, None), model.spec, None, np.arange(n), columns=points)


def _others(labels: Any, add: int, subtract: int | None) -> Any:
    """Return which samples are of the class to subtract, or of any but the one to add."""
    return labels != add if subtract is None else labels == subtract


def _check_arithmetic(model: Any, dataset: Dataset, add: int, subtract: int | None) -> None:
    if not dataset.spec.classes:
        raise ConfigError(f"{dataset.address} has no labels to take means by.", mend="Use labelled data.")
    if _takes_labels(model, "decode"):
        raise ConfigError(
            "This model is told the class, so its codes do not hold it.", mend="Train one with conditional=false."
        )
    if add == subtract:
        raise ConfigError(f"Class {dataset.spec.class_name(add)} less itself is nothing.", mend="Name two classes.")


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
