"""What a sound is made of over time: power of short pieces, on the mel scale, in decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "centroid", "log_mel", "mel_filters", "pieces_of", "power"]

FLOOR = -60.0  # dB of a sine of full scale; below it there is hiss, which would decide a score
_PIECE = 0.032  # seconds of a piece; the next begins half a piece later


def pieces_of(rate: float, length: int) -> int:
    """Return how many samples a piece has: 32 ms, a power of two, no longer than the sound."""
    size = 2 ** max(3, round(np.log2(_PIECE * rate)))
    return int(min(size, 2 ** int(np.log2(max(length, 8)))))


def power(x: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Return the power spectrum of pieces under Hann's window: (n, time) → (n, frames, size // 2 + 1).

    A sine of amplitude 1 on a bin has power 1 there. A sound shorter than a piece is one piece, ended by silence.
    """
    short = size - x.shape[1]
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (0, max(short, 0))))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    pieces = np.lib.stride_tricks.sliding_window_view(x, size, axis=1)[:, :: size // 2]
    found: NDArray[np.float64] = np.abs(np.fft.rfft(pieces * window, axis=-1) / (0.5 * window.sum())) ** 2
    return found


def mel_filters(rate: float, size: int, bands: int) -> NDArray[np.float64]:
    """Return triangular filters (bands, size // 2 + 1), even on the mel scale 1127 log(1 + f / 700) from 0 to rate / 2.

    O'Shaughnessy 1987, p. 150. Filters narrower than a bin take the bin nearest to their middle.
    """
    edges = 700 * np.expm1(np.linspace(0, 1127 * np.log1p(0.5 * rate / 700), bands + 2) / 1127)
    frequencies = np.arange(size // 2 + 1) * rate / size
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = np.maximum(0, np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)))
    nearest = np.abs(frequencies - middle).argmin(axis=1)
    filters[np.arange(bands), nearest] = np.maximum(filters[np.arange(bands), nearest], 1e-3)
    return np.where(filters.sum(1, keepdims=True) < 0.5, np.eye(size // 2 + 1)[nearest], filters)


def log_mel(x: NDArray[Any], rate: float, bands: int = 32) -> NDArray[np.float64]:
    """Return the power in each mel band in dB, `FLOOR` at least: (n, time) → (n, frames, bands)."""
    size = pieces_of(rate, x.shape[1])
    bands = min(bands, size // 4)
    in_bands = power(x, size) @ mel_filters(rate, size, bands).T
    found: NDArray[np.float64] = np.maximum(10 * np.log10(np.maximum(in_bands, 1e-12)), FLOOR)
    return found


def centroid(x: NDArray[Any], rate: float) -> NDArray[np.float64]:
    """Return the mean frequency (n,) in Hz, weighed by power; 0 of silence."""
    size = pieces_of(rate, x.shape[1])
    total = power(x, size).sum(axis=1)
    found: NDArray[np.float64] = total @ (np.arange(size // 2 + 1) * rate / size) / np.maximum(total.sum(1), 1e-12)
    return found
