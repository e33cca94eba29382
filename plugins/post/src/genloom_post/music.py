"""Music as piano rolls: onto a scale, and onto the beat.

A piano roll is (steps, pitches), its values how loud a pitch sounds in a step; `rate` is the steps of a quarter note.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_post.options import QuantiseOptions, ScaleOptions

__all__ = ["quantise", "scale"]

# Semitones above the key note.
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic-minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major-pentatonic": (0, 2, 4, 7, 9),
    "minor-pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}
KEYS = ("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b")
# The MIDI number of the lowest pitch, by the number of pitches: all of MIDI, and a piano.
LOWEST = {128: 0, 88: 21}


def scale(samples: NDArray[Any], spec: DataSpec, options: ScaleOptions) -> tuple[NDArray[Any], DataSpec]:
    """Move every note that is not of the scale to the nearest pitch that is, the lower one of two.

    Notes that meet sound as loud as the louder one.

    Raises:
        ConfigError: samples that are no piano roll, or pitches that cannot be told.
    """
    _check_roll(spec)
    pitches = spec.shape[1]
    lowest = options.lowest if options.lowest is not None else LOWEST.get(pitches)
    if lowest is None:
        raise ConfigError(
            f"It is not known which pitch the lowest of {pitches} is.", mend="Write lowest=N, its MIDI number."
        )
    allowed = (np.arange(pitches) + lowest - KEYS.index(options.key)) % 12
    of_scale = np.flatnonzero(np.isin(allowed, SCALES[options.scale]))
    if not len(of_scale):
        raise ConfigError(f"None of the {pitches} pitches is of the scale.")
    distance = np.abs(np.arange(pitches)[:, None] - of_scale[None])  # (pitches, pitches of the scale)
    target = of_scale[distance.argmin(axis=1)]
    moved = np.full_like(samples, samples.min(initial=0) if spec.value_range is None else spec.value_range[0])
    for source, destination in enumerate(target):
        moved[:, :, destination] = np.maximum(moved[:, :, destination], samples[:, :, source])
    return moved, spec


def quantise(samples: NDArray[Any], spec: DataSpec, options: QuantiseOptions) -> tuple[NDArray[Any], DataSpec]:
    """Move the beginning and the end of every note to the nearest line of a grid; a note keeps one unit at least.

    Raises:
        ConfigError: samples that are no piano roll, or a grid that its steps cannot hold.
    """
    _check_roll(spec)
    unit = (spec.rate or 0) / options.per_quarter
    if unit < 1 or unit != int(unit):
        raise ConfigError(
            f"{options.per_quarter} lines a quarter note do not fit {spec.rate or 'an unknown number of'} steps a "
            "quarter note.",
            mend="Write per_quarter=K with a divisor of them.",
        )
    silent = spec.value_range[0] if spec.value_range is not None else 0
    moved = np.full_like(samples, silent)
    for row, roll in enumerate(samples):
        for pitch in np.flatnonzero((roll > silent).any(axis=0)):
            for start, end in _notes(roll[:, pitch] > silent):
                first, last = _snapped(start, end, int(unit), len(roll))
                loud = roll[start:end, pitch].max()
                moved[row, first:last, pitch] = np.maximum(moved[row, first:last, pitch], loud)
    return moved, spec


def _notes(sounding: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first step, step after the last) of every stretch that sounds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounding, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _snapped(start: int, end: int, unit: int, steps: int) -> tuple[int, int]:
    """Return the nearest lines of the grid, half way up, inside the roll."""
    last_line = (steps - 1) // unit * unit
    first = min((start + unit // 2) // unit * unit, last_line)
    return first, min(max((end + unit // 2) // unit * unit, first + unit), steps)


def _check_roll(spec: DataSpec) -> None:
    if len(spec.shape) != 2 or spec.vocabulary:
        raise ConfigError(f"A piano roll has the shape (steps, pitches) and no vocabulary, got {spec.shape}.")
