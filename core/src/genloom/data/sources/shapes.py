"""`toy:shapes`: small grey pictures of one shape each, made from five known, independent factors."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.factors import Factors
from genloom.data.sources.assemble import assemble
from genloom.data.spec import DataSpec
from genloom.errors import DataError

__all__ = ["FACTORS", "MOST", "draw_shapes", "open_shapes"]

#: Name of each factor and how many values it has, in the order of the columns.
FACTORS = {"shape": 3, "scale": 6, "orientation": 15, "x": 16, "y": 16}
#: Different pictures: no two splits share one.
MOST = int(np.prod(list(FACTORS.values())))

_FINE = 4  # points along a pixel's side: a pixel is the share of its 16 points that the shape covers
_LARGEST = 0.42  # radius of the largest shape, of the picture's side less the way that shapes move


def open_shapes(n: int, size: int, seed: int) -> Dataset:
    """Open n training and n // 5 held-out pictures (size, size, 1) in [0, 1] on 17 levels, all different.

    A square, an ellipse or a heart, white on black, of one of 6 sizes, turned by one of 15 angles below 90° (so that
    the square's turns differ), at one of 16 × 16 places. Every picture of the 69,120 is as likely as any other, so the
    factors are independent. After dSprites (Matthey et al. 2017), small enough to be made anew each time.

    Args:
        n: training pictures.
        size: side in pixels.
        seed: fixes which pictures train and test.

    Raises:
        DataError: more pictures than there are.
    """
    count = n + n // 5
    if count > MOST:
        raise DataError(f"toy:shapes has {MOST:,} pictures, {count:,} are asked for.", mend="Give n of 57,600 at most.")
    order = np.random.Generator(np.random.Philox(key=np.uint64(seed % (1 << 64)))).permutation(MOST)[:count]
    factors = np.stack(np.unravel_index(order, tuple(FACTORS.values())), axis=1).astype(np.int32)
    x = draw_shapes(factors, size)
    notes = (f"Shapes of {len(FACTORS)} known factors ({', '.join(FACTORS)}), seed {seed}.",)
    spec = DataSpec((size, size, 1), levels=_FINE**2 + 1)
    opened = assemble("toy:shapes", spec, (x[:n], None), (x[n:], None), divisor=_FINE**2, notes=notes)
    known = Factors(tuple(FACTORS), tuple(FACTORS.values()), factors[:n], factors[n:], unordered=("shape",))
    return dataclasses.replace(opened, factors=known)


def draw_shapes(factors: NDArray[np.int32], size: int) -> NDArray[np.uint8]:
    """Return pictures uint8 (n, size, size, 1), 0 to 16, of factors (n, 5) in the order of `FACTORS`."""
    prototypes = _prototypes(size)  # (kinds, side, side) of points
    kind = np.ravel_multi_index(tuple(factors[:, :3].T), tuple(FACTORS.values())[:3])
    x, step, pooled = np.empty((len(factors), size, size), np.uint8), _step(size), {}
    for column in range(FACTORS["x"]):
        for row in range(FACTORS["y"]):
            chosen = np.flatnonzero((factors[:, 3] == column) & (factors[:, 4] == row))
            # A window that moves left shows the shape farther right; by whole pixels, and by points within one.
            top, left = step * (FACTORS["y"] - 1 - row), step * (FACTORS["x"] - 1 - column)
            within = top % _FINE, left % _FINE
            if within not in pooled:
                pooled[within] = _pixels(prototypes[:, within[0] :, within[1] :])
            window = slice(top // _FINE, top // _FINE + size), slice(left // _FINE, left // _FINE + size)
            x[chosen] = pooled[within][(kind[chosen], *window)]
    return x[..., None]


def _pixels(points: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how many points of each whole pixel are covered: (k, h, w) of 0 and 1 → (k, h // 4, w // 4)."""
    height, width = (side // _FINE * _FINE for side in points.shape[1:])
    found = np.zeros((len(points), height // _FINE, width // _FINE), np.uint8)
    for row in range(_FINE):
        for column in range(_FINE):
            found += points[:, row:height:_FINE, column:width:_FINE]
    return found


def _step(size: int) -> int:
    """Return by how many points shapes move from one place to the next: a third of the side in all, at least."""
    return max(1, round(_FINE * size / 3 / (FACTORS["x"] - 1)))


def _prototypes(size: int) -> NDArray[np.uint8]:
    """Return every shape, scale and orientation at the middle of a canvas with room to move: (270, side, side)."""
    way = _step(size) * (FACTORS["x"] - 1)
    side = _FINE * size + way
    centred = (np.arange(side) - (side - 1) / 2) / (_FINE * size - way)
    across, down = np.meshgrid(centred, centred)
    drawn = [
        _INSIDE[shape]((across * np.cos(a) + down * np.sin(a)) / r, (down * np.cos(a) - across * np.sin(a)) / r)
        for shape in range(FACTORS["shape"])
        for r in np.linspace(0.5, 1.0, FACTORS["scale"]) * _LARGEST
        for a in np.arange(FACTORS["orientation"]) * (np.pi / 2 / FACTORS["orientation"])
    ]
    return np.stack(drawn).astype(np.uint8)


def _square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(x), np.abs(y)) <= np.sqrt(0.5)


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return x**2 + (2.0 * y) ** 2 <= 1.0


def _heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(x² + y² − 1)³ ≤ x² y³ with y upwards, its farthest point at about 1.4, brought to 1."""
    x, y = 1.4 * x, -1.4 * y
    return (x**2 + y**2 - 1.0) ** 3 <= x**2 * y**3


_INSIDE = (_square, _ellipse, _heart)
