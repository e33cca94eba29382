"""`audio:DIR`: recordings of any rate, length and number of channels, brought to one; none is read by half."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data import Dataset
from genloom.data.options import ArraysOptions
from genloom.data.sources.arrays import dataset_of_arrays
from genloom.data.sources.folders import list_files
from genloom.data.sources.room import check_room
from genloom.errors import DataError, reason
from genloom.files.bounded import content

__all__ = ["ENDINGS", "open_sounds", "read_sound"]

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
_MOST_BYTES = 2**29  # of one file
_MOST_SECONDS = 3600  # a few bytes of a packed file may stand for days


def open_sounds(
    rest: str = "", *, rate: int = 8000, seconds: float = 1.0, channels: int = 1, test: float = 0.1
) -> Dataset:
    """Open the recordings in a folder, sub-folders as classes, folders `train` and `test` as the splits.

    Args:
        rest: the folder.
        rate: samples per second; recordings of another rate are resampled.
        seconds: longer recordings are cut, shorter ones end in silence.
        channels: 1 takes the mean of all, 2 wants stereo.
        test: share held out when there are no folders train and test.

    Raises:
        DataError: no such folder, nothing in it that is read, a file that cannot be read, is empty, has values that are
            not finite or too few channels; the file is named.
    """
    root = Path(rest).expanduser()
    if not rest or not root.is_dir():
        raise DataError(f"audio: {rest!r} is not a folder.", mend="Give a folder of recordings or of class folders.")
    listing, time = list_files(root, ENDINGS, "recordings"), round(rate * seconds)
    check_room(root, 4 * time * channels * len(listing.paths))
    done: Counter[str] = Counter()
    x = np.stack([read_sound(path, rate, time, channels, done) for path in listing.paths])
    held = np.zeros(len(x), bool) if listing.held is None else listing.held
    arrays: dict[str, Any] = {"x": x[~held]} | ({"x_test": x[held]} if held.any() else {})
    if listing.label is not None:
        arrays |= {"label": listing.label[~held], "class_names": np.asarray(listing.classes)}
        arrays |= {"label_test": listing.label[held]} if held.any() else {}
    opened = dataset_of_arrays(arrays, f"audio:{rest}", str(root), ArraysOptions(kind="audio", test=test))
    notes = tuple(f"{count} of {len(x)} recordings {what}." for what, count in sorted(done.items()))
    spec = opened.spec.replace(rate=float(rate))
    return dataclasses.replace(opened, spec=spec, notes=(*opened.notes, *notes))


def read_sound(path: Path, rate: int, time: int, channels: int, done: Counter[str]) -> NDArray[np.float32]:
    """Return a recording float32 (time, channels) in [-1, 1], and count in `done` what was done to it.

    Raises:
        DataError: it cannot be read, is empty, is not finite, or has too few channels.
    """
    import soxr

    x, stored = _decoded(path)
    if not len(x):
        raise DataError(f"{path} is empty.", mend="Take it away.")
    if not np.isfinite(x).all():
        raise DataError(f"{path} has values that are not finite.", mend="Repair it, or take it away.")
    if x.shape[1] < channels:
        raise DataError(f"{path} has one channel, {channels} are asked for.", mend="Write ?channels=1.")
    if x.shape[1] > channels:
        done["mixed down to their mean" if channels == 1 else "cut to their first two channels"] += 1
        x = x.mean(axis=1, keepdims=True) if channels == 1 else x[:, :channels]
    if stored != rate:
        done[f"resampled to {rate} Hz"] += 1
        x = np.asarray(soxr.resample(x, stored, rate), np.float32)
    if len(x) != time:
        done["cut" if len(x) > time else "ended by silence"] += 1
        x = np.pad(x[:time], ((0, max(time - len(x), 0)), (0, 0)))
    return np.clip(x, -1.0, 1.0).astype(np.float32)


def _decoded(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return a file's samples (frames, channels) and its rate."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content(path, _MOST_BYTES))) as opened:
            if opened.frames > _MOST_SECONDS * opened.samplerate:
                raise ValueError(f"it is longer than {_MOST_SECONDS} seconds")
            return opened.read(dtype="float32", always_2d=True), opened.samplerate
    except (OSError, ValueError, RuntimeError) as error:  # of which soundfile's own errors are the last
        raise DataError(f"{path} cannot be read: {reason(error)}.", mend="Repair it, or take it away.") from error
