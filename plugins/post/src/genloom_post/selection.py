"""Which samples to keep: rejection of what a judge thinks little of, and of what is there already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import Samples
from genloom.data import drawn_rows
from genloom.errors import ConfigError
from genloom.postprocess import Origin
from genloom_post.options import DeduplicateOptions, RejectOptions

__all__ = ["deduplicate", "reject"]

Scores = NDArray[np.float64]

FIT_ROWS = 10_000  # training samples looked at: enough for a small classifier, and seconds of work
CHUNK = 256  # samples judged at once


def reject(samples: Samples, options: RejectOptions, origin: Origin) -> Samples:
    """Keep a share of the samples, those that the judge scores high; of every class the same share.

    Raises:
        ConfigError: the model has no discriminator, the data have no labels, or samples that are no longer like them.
    """
    judge = _JUDGES[options.by]
    scores = judge(samples, origin)
    choose = _best if options.method == "best" else _drawn
    kept = np.zeros(len(samples), bool)
    for rows in _classes(samples.labels, len(samples)):
        kept[rows] = choose(scores[rows], samples.take(rows), options.keep)
    return samples.take(kept)


def deduplicate(samples: Samples, options: DeduplicateOptions, origin: Origin) -> Samples:
    """Leave out samples that are nearer than `distance` to one that is kept, or to a training sample.

    The distance of numbers is the root of the mean square, in units of the value range; that of tokens the share that
    differs. Texts are the same or not.

    Raises:
        ConfigError: numbers without a value range, or samples that are no longer like the training data.
    """
    from sklearn.neighbors import NearestNeighbors

    if samples.samples.dtype.kind == "U":
        return _first_of_each(samples, options)
    tokens = np.issubdtype(samples.samples.dtype, np.integer)
    metric = "hamming" if tokens else "euclidean"
    values = _values(samples.samples, samples)
    # A mean square over d values is a squared Euclidean distance over d.
    radius = options.distance if tokens else options.distance * np.sqrt(values.shape[1])
    kept = np.ones(len(samples), bool)
    if options.against in ("training", "both"):
        _check_alike(samples, origin, "deduplicate")
        train = _values(origin.dataset.train.arrays()["x"].astype(samples.samples.dtype), samples)
        nearest = NearestNeighbors(n_neighbors=1, metric=metric).fit(train).kneighbors(values)[0][:, 0]
        kept &= nearest > radius
    if options.against in ("samples", "both"):
        near = NearestNeighbors(radius=radius, metric=metric).fit(values).radius_neighbors(return_distance=False)
        for row in np.flatnonzero(kept):
            kept[row] = not kept[near[row][near[row] < row]].any()
    return samples.take(kept)


def _first_of_each(samples: Samples, options: DeduplicateOptions) -> Samples:
    if options.against != "samples":
        raise ConfigError("Texts cannot be compared with training tokens.", mend="Put deduplicate before detokenise.")
    _, first = np.unique(samples.samples[:, 0], return_index=True)
    return samples.take(np.sort(first))


def _by_discriminator(samples: Samples, origin: Origin) -> Scores:
    """Return the discriminator's logits."""
    from keras import ops

    if not origin.model.can("discriminator_logits"):
        raise ConfigError(
            f"{type(origin.model).__name__} has no discriminator to reject by.",
            mend="Use by=classifier, or a model with one, such as gan/dcgan.",
        )
    _check_alike(samples, origin, "reject", origin.model.spec)
    parts = []
    for start in range(0, len(samples), CHUNK):
        part = samples.take(np.arange(start, min(start + CHUNK, len(samples))))
        parts.append(
            ops.convert_to_numpy(origin.model.discriminator_logits(part.samples, part.labels)).astype(np.float64)
        )
    return np.concatenate(parts)


def _by_classifier(samples: Samples, origin: Origin) -> Scores:
    """Return the log probability of each sample's class, of its likeliest one where it has none."""
    from genloom.metrics import classifier_features

    _check_alike(samples, origin, "reject")
    split = origin.dataset.train
    batch = split.take(drawn_rows(len(split), FIT_ROWS))
    if "label" not in batch:
        raise ConfigError(f"{origin.dataset.address} has no labels to train a classifier on.", mend="Leave out reject.")
    classifier = classifier_features(batch["x"], batch["label"])
    probabilities = classifier.probabilities(samples.samples)
    if samples.labels is None:
        found: Scores = np.log(probabilities.max(axis=1))
        return found
    asked = classifier.weights["classes"][None] == samples.labels[:, None]
    return np.log((probabilities * asked).sum(axis=1) + 1e-300)


_JUDGES: dict[str, Callable[[Samples, Origin], Scores]] = {
    "discriminator": _by_discriminator,
    "classifier": _by_classifier,
}


def _best(scores: Scores, samples: Samples, keep: float) -> NDArray[np.bool_]:
    kept = np.zeros(len(scores), bool)
    kept[np.argsort(-scores, kind="stable")[: max(1, round(keep * len(scores)))]] = True
    return kept


def _drawn(scores: Scores, samples: Samples, keep: float) -> NDArray[np.bool_]:
    """Keep each sample with the probability of discriminator rejection sampling (Azadi et al. 2019, equation 8).

    σ(F̂) with F̂ = d − d* − log(1 − exp(d − d* − ε)) − γ for logits d of maximum d*, and γ such that the mean is `keep`.
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    below = scores - scores.max() - 1e-6
    unshifted = below - np.log1p(-np.exp(below))
    low, high = unshifted.min() - 40.0, unshifted.max() + 40.0
    shift = brentq(lambda gamma: expit(unshifted - gamma).mean() - keep, low, high) if keep < 1 else -np.inf
    kept: NDArray[np.bool_] = _uniforms(samples) < expit(unshifted - shift)
    return kept


def _uniforms(samples: Samples) -> Scores:
    """Return one number of [0, 1) for each sample, a function of what it is: the same whatever it comes with."""
    digests = [hashlib.sha256(np.ascontiguousarray(sample).tobytes()).digest() for sample in samples.samples]
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests]) / 2.0**64


def _classes(labels: NDArray[Any] | None, n: int) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each class, all rows where there are none."""
    if labels is None:
        yield np.arange(n)
        return
    for label in np.unique(labels):
        yield np.flatnonzero(labels == label)


def _values(x: NDArray[Any], samples: Samples) -> NDArray[Any]:
    flat = x.reshape(len(x), -1)
    if np.issubdtype(x.dtype, np.integer):
        return flat
    if samples.spec.value_range is None:
        raise ConfigError("These data have no value range to measure distances in.", mend="Put clip before it.")
    low, high = samples.spec.value_range
    return (flat - low) / (high - low)


def _check_alike(samples: Samples, origin: Origin, name: str, spec: Any = None) -> None:
    real, now = spec or origin.dataset.spec, samples.spec
    if (now.shape, now.value_range) != (real.shape, real.value_range):
        raise ConfigError(
            f"{name} compares with samples of shape {real.shape} in {real.value_range}, got {now.shape} in "
            f"{now.value_range}.",
            mend=f"Put {name} first, before what changes shape or range.",
        )
