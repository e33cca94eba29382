"""One short name for the exact content of a data set, so that a run or a metric can tell when the data changed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.spec import DataSpec

__all__ = ["fingerprint_arrays", "fingerprint_parts"]

# Sixteen hexadecimal digits are 64 bits: no accidental clash among any number of data sets a person meets.
DIGITS = 16


def fingerprint_parts(spec: DataSpec, parts: list[bytes]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the spec and the parts, each with its length.

    Levels are left out: the content has them, and runs from before do not state them.
    """
    digest = hashlib.sha256(json.dumps(spec.replace(levels=0).to_dict(), sort_keys=True).encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:DIGITS]


def fingerprint_arrays(spec: DataSpec, *arrays: NDArray[Any] | None) -> str:
    """Return the fingerprint of arrays in memory: their types, shapes and bytes, whatever their layout or byte order.

    Args:
        spec: description of one sample.
        arrays: train x, train label, test x, test label; None stands for an absent one.
    """
    parts: list[bytes] = []
    for array in arrays:
        if array is None:
            parts.append(b"absent")
            continue
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        parts.append(f"{plain.dtype.str}{plain.shape}".encode())
        parts.append(hashlib.sha256(plain.data if plain.size else b"").digest())
    return fingerprint_parts(spec, parts)
