"""`tones`: notes of four instruments and twelve pitches, made from a seed, so that what is heard is known."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from genloom.data import ArraySplit, Dataset, DataSpec
from genloom.data.factors import Factors

__all__ = ["INSTRUMENTS", "PITCHES", "open_tones", "played"]

#: Frequencies in Hz of the semitones from C4 to B4, equally tempered, A4 = 440 Hz.
PITCHES = 440.0 * 2.0 ** ((np.arange(12) - 9) / 12.0)

#: Partials of each instrument: their multiples of the pitch, their amplitudes, and the seconds in which they decay.
INSTRUMENTS = {
    "flute": ((1.0, 2.0, 3.0), (1.0, 0.25, 0.05), 1e9),
    "organ": ((1.0, 3.0, 5.0, 7.0), (1.0, 0.6, 0.4, 0.25), 1e9),
    "string": ((1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 0.7, 0.5, 0.35, 0.25), 0.12),
    "bell": ((1.0, 2.76, 5.4), (1.0, 0.7, 0.4), 0.06),
}

_LOUDEST, _ATTACK = 0.8, 0.01


def open_tones(rest: str = "", *, n: int = 4000, rate: int = 4000, seconds: float = 0.256, seed: int = 0) -> Dataset:
    """Open n training and n // 5 held-out notes (time, 1); the instrument is the class, the pitch a factor beside it.

    Every instrument plays every pitch equally often. Phase, loudness (from 0.4 to 0.8 of full scale) and the moment at
    which a note begins (within 20 ms) are drawn by the seed.

    Args:
        rest: nothing.
        n: training notes.
        rate: samples per second.
        seconds: length of each.
        seed: fixes the notes.

    Raises:
        DataError: something behind the name.
    """
    from genloom.errors import DataError

    if rest:
        raise DataError(f"tones take no name, got {rest!r}.", mend="Write tones, or tones?n=1000.")
    time = round(rate * seconds)
    parts = [_part(count, rate, time, seed, part) for part, count in enumerate((n, n // 5))]
    spec = DataSpec(
        (time, 1), kind="audio", value_range=(-1.0, 1.0), classes=len(INSTRUMENTS), class_names=tuple(INSTRUMENTS),
        condition=("label",), rate=float(rate),
    )  # fmt: skip
    digest = hashlib.sha256(b"".join(x.tobytes() for x, _ in parts)).hexdigest()[:16]
    train, test = (ArraySplit(x, factors[:, 0]) for x, factors in parts)
    opened = Dataset("tones", spec, train, test, digest)
    known = Factors(
        ("instrument", "pitch"), (len(INSTRUMENTS), len(PITCHES)), parts[0][1], parts[1][1], ("instrument",)
    )
    return dataclasses.replace(opened, factors=known)


def _part(count: int, rate: int, time: int, seed: int, part: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return notes float32 (count, time, 1) and the factors int32 (count, 2) that made them."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed % (1 << 64), part], dtype=np.uint64)))
    cells = np.arange(count) % (len(INSTRUMENTS) * len(PITCHES))
    factors = np.stack(np.divmod(rng.permutation(cells), len(PITCHES)), axis=1).astype(np.int32)
    phase, loudness, begin = rng.uniform(size=(3, count))
    x = np.empty((count, time), np.float32)
    for index, instrument in enumerate(INSTRUMENTS):
        rows = np.flatnonzero(factors[:, 0] == index)
        pitch = PITCHES[factors[rows, 1]]
        x[rows] = played(pitch, instrument, rate, time, 2 * np.pi * phase[rows], 0.02 * begin[rows])
        x[rows] *= (0.5 + 0.5 * loudness[rows])[:, None]
    return x[..., None], factors


def played(
    pitch: NDArray[np.float64],
    instrument: str,
    rate: int,
    time: int,
    phase: NDArray[np.float64],
    begin: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return notes (n, time) of amplitude 0.8 at most.

    Args:
        pitch: Hz (n,); partials at half the rate or above are left out.
        instrument: a name in `INSTRUMENTS`.
        rate: samples per second.
        time: samples.
        phase: of the partials (n,), in radians.
        begin: seconds (n,) before the note.
    """
    multiples, amplitudes, decay = INSTRUMENTS[instrument]
    t = np.arange(time) / rate - begin[:, None]  # (n, time)
    x = np.zeros_like(t)
    for multiple, amplitude in zip(multiples, amplitudes, strict=True):
        heard = multiple * pitch < 0.5 * rate
        wave = np.sin(2 * np.pi * multiple * pitch[:, None] * t + multiple * phase[:, None])
        x += (heard * amplitude)[:, None] * wave
    envelope = np.clip(t / _ATTACK, 0.0, 1.0) * np.exp(-np.maximum(t, 0.0) / decay)
    found: NDArray[np.float64] = _LOUDEST / sum(amplitudes) * envelope * x
    return found
