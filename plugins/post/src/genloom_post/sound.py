"""Sounds: their loudness, and the silence about them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec, Samples
from genloom.errors import ConfigError
from genloom.postprocess import Origin
from genloom_post.options import NormaliseOptions, TrimOptions

__all__ = ["normalise", "trim"]


def normalise(samples: NDArray[Any], spec: DataSpec, options: NormaliseOptions) -> tuple[NDArray[Any], DataSpec]:
    """Scale each sound (n, *shape) so that its largest absolute value is `peak` of the range; silence stays silent.

    Raises:
        ConfigError: data without a value range.
    """
    if spec.value_range is None:
        raise ConfigError("These sounds have no value range to fill.", mend="Put clip before it.")
    sounds = np.asarray(samples, np.float32)
    largest = np.abs(sounds).max(axis=tuple(range(1, sounds.ndim)), keepdims=True)
    wanted = options.peak * min(abs(end) for end in spec.value_range)
    return sounds * np.where(largest > 0, wanted / np.maximum(largest, 1e-12), 1.0).astype(np.float32), spec


def trim(samples: Samples, options: TrimOptions, origin: Origin) -> Samples:
    """Take away the silence before and after each sound (n, length, …), and cut all to what the longest one needs.

    Silence is what stays `threshold` decibels below the sound's own peak; a shorter sound keeps silence at its end.
    """
    sounds, length = samples.samples, samples.spec.shape[0]
    loudness = np.abs(sounds.astype(np.float64)).reshape(len(sounds), length, -1).max(axis=2)  # (n, length)
    loud = (loudness > 10 ** (-options.threshold / 20) * loudness.max(axis=1, keepdims=True)) & (loudness > 0)
    starts = np.where(loud.any(axis=1), loud.argmax(axis=1), 0)
    ends = np.where(loud.any(axis=1), length - loud[:, ::-1].argmax(axis=1), 0)
    margin = round(options.margin * samples.spec.rate) if samples.spec.rate else 0
    starts, ends = (starts - margin).clip(0), (ends + margin).clip(1, length)
    cut = np.zeros((len(sounds), int((ends - starts).max()), *sounds.shape[2:]), sounds.dtype)
    for row, (sound, start, end) in enumerate(zip(sounds, starts, ends, strict=True)):
        cut[row, : end - start] = sound[start:end]
    return samples.replace(samples=cut, spec=samples.spec.replace(shape=cut.shape[1:]))
