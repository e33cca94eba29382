"""`idx:DIR`: pictures and labels in MNIST's own file format, for those who have the files or no network."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.sources.assemble import Arrays, assemble
from genloom.data.sources.room import check_room
from genloom.data.spec import DataSpec
from genloom.errors import DataError, reason

__all__ = ["open_idx", "read_idx"]

_NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<what>images|labels)[-.]idx(?P<axes>[13])-ubyte(\.gz)?")
_UNSIGNED_BYTE = 0x08
_LARGEST = 1 << 36  # 64 GiB: a header that claims more is broken
_CHUNK = 1 << 24


def open_idx(rest: str = "") -> Dataset:
    """Open a folder with `*images-idx3-ubyte[.gz]` and `*labels-idx1-ubyte[.gz]`: (height, width, 1) in [0, 1].

    A pair whose prefix has `train` trains and one with `t10k` or `test` tests; a single pair is cut in file order,
    the first nine tenths to train. Labels are optional. Format: LeCun's MNIST page.

    Raises:
        DataError: no such folder, no pictures, labels without pictures, counts that differ, a wrong magic number, a
            truncated or damaged file.
    """
    folder = Path(rest).expanduser()
    if not rest or not folder.is_dir():
        raise DataError(f"idx: {rest!r} is not a folder.", mend="Give the folder of train-images-idx3-ubyte.gz.")
    pairs = _pairs(folder)
    train, test, note = _splits(folder, pairs)
    shape = (*train[0].shape[1:], 1)
    if test[0].shape[1:] != train[0].shape[1:]:
        raise DataError(f"{folder}: train pictures are {train[0].shape[1:]}, test pictures {test[0].shape[1:]}.")
    if (train[1] is None) != (test[1] is None):
        raise DataError(f"{folder}: only one of train and test has labels.", mend="Add or remove a labels file.")
    both = (train[0][..., None], train[1]), (test[0][..., None], test[1])
    return assemble(f"idx:{rest}", DataSpec(shape, levels=256), *both, divisor=255, notes=(note,))


def _pairs(folder: Path) -> dict[str, dict[str, Path]]:
    """Return prefix -> {"images": path, "labels": path}; the unpacked file wins over its .gz."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file() and not path.name.startswith("."):
            found.setdefault(match["prefix"], {}).setdefault(match["what"], path)
    if not found:
        raise DataError(f"{folder} holds no *images-idx3-ubyte[.gz].", mend="Give the folder with those files.")
    for pair in found.values():
        if "images" not in pair:
            raise DataError(f"{pair['labels']} has labels without images.", mend="Add the images file beside it.")
    return found


def _splits(folder: Path, pairs: dict[str, dict[str, Path]]) -> tuple[Arrays, Arrays, str]:
    train = [prefix for prefix in pairs if "train" in prefix]
    test = [prefix for prefix in pairs if "t10k" in prefix or "test" in prefix]
    if len(train) == 1 and len(test) == 1 and len(pairs) == 2:
        return _read_pair(pairs[train[0]]), _read_pair(pairs[test[0]]), f"Train and test as filed in {folder.name}."
    if len(pairs) > 1:
        names = ", ".join(pair["images"].name for pair in pairs.values())
        raise DataError(f"{folder} has {names}.", mend="Keep one pair, or name them train-… and t10k-….")
    x, label = _read_pair(next(iter(pairs.values())))
    if len(x) < 2:
        raise DataError(f"{folder} has {len(x)} picture(s).", mend="At least two are needed, to train and to test.")
    cut = min(math.ceil(len(x) * 0.9), len(x) - 1)
    parts = [(x[rows], None if label is None else label[rows]) for rows in (slice(cut), slice(cut, None))]
    return parts[0], parts[1], "One pair of files: the first nine tenths train, the rest tests, in file order."


def _read_pair(pair: dict[str, Path]) -> Arrays:
    x = read_idx(pair["images"], axes=3)
    if "labels" not in pair:
        return x, None
    label = read_idx(pair["labels"], axes=1)
    if len(label) != len(x):
        raise DataError(
            f"{pair['images']} has {len(x)} pictures, {pair['labels'].name} {len(label)} labels.",
            mend="The two files do not belong together: fetch both again.",
        )
    return x, label.astype(np.int32)


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read one idx file of unsigned bytes, packed or not.

    Args:
        path: the file; `.gz` is unpacked.
        axes: axes expected, 3 for pictures, 1 for labels.

    Raises:
        DataError: a wrong magic number, a truncated, overlong or damaged file.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            shape = _header(path, file, axes)
            check_room(path, math.prod(shape))
            content = _exactly(path, file, math.prod(shape))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.", mend="Fetch the file again.") from error
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _header(path: Path, file: IO[bytes], axes: int) -> tuple[int, ...]:
    magic = file.read(4)
    expected = bytes([0, 0, _UNSIGNED_BYTE, axes])
    if magic != expected:
        raise DataError(
            f"{path} starts with {magic.hex() or 'nothing'}, not {expected.hex()}: no idx file of {axes} axes.",
            mend="Check that images and labels are not exchanged, and that a name without .gz is unpacked.",
        )
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise DataError(f"{path} ends within its header.", mend="Fetch the file again.")
    shape = struct.unpack(f">{axes}I", sizes)
    if min(shape) == 0 or math.prod(shape) > _LARGEST:
        raise DataError(f"{path} claims the shape {shape}.", mend="The header is broken: fetch the file again.")
    return shape


def _exactly(path: Path, file: IO[bytes], size: int) -> bytes:
    """Read `size` bytes in chunks, so that a header that lies cannot claim memory, and refuse any more."""
    chunks, missing = [], size
    while missing and (chunk := file.read(min(missing, _CHUNK))):
        chunks.append(chunk)
        missing -= len(chunk)
    if missing:
        raise DataError(f"{path} is truncated: {size - missing} of {size} bytes.", mend="Fetch the file again.")
    if file.read(1):
        raise DataError(f"{path} has more than the {size} bytes its header says.", mend="Fetch the file again.")
    return b"".join(chunks)
