"""`toy:NAME`: data whose distribution is known, where a model's every mistake can be seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Dataset
from genloom.data.mixture import IsotropicMixture
from genloom.data.sources.assemble import assemble
from genloom.data.sources.shapes import open_shapes
from genloom.data.spec import DataSpec
from genloom.errors import DataError, nearest

__all__ = ["SIGMAS", "open_toy"]

# Customary noise: ring and grid as PacGAN (Lin et al. 2018, §4.1) but 0.05 on the ring, where 0.01 hides a density
# from any network of modest size; the others as scikit-learn's and FFJORD's toys.
SIGMAS = {"8-ring": 0.05, "25-grid": 0.05, "swiss-roll": 0.05, "two-moons": 0.05, "pinwheel": 0.1}

Sampler = Callable[[np.random.Generator, int, float], NDArray[np.float64]]


def open_toy(
    rest: str = "", *, n: int = 50_000, sigma: float | None = None, size: int | None = None, seed: int = 0
) -> Dataset:
    """Open a toy distribution: n train and n // 5 test points, shape (2,), unbounded; of shapes, pictures.

    8-ring: eight Gaussians on the unit circle. 25-grid: 25 Gaussians on {-4, -2, 0, 2, 4}². Both carry their exact
    log density. swiss-roll, two-moons and pinwheel (five bent arms) fill about [-2, 2]² and carry none.
    shapes: see `open_shapes`.

    Args:
        rest: name of the toy.
        n: training points.
        sigma: standard deviation of the noise; None: the customary one in `SIGMAS`.
        size: of shapes, side in pixels; None: 16.
        seed: fixes the points.

    Raises:
        DataError: an unknown name (with the nearest), an option that this toy does not have.
    """
    known = (*SIGMAS, "shapes")
    if rest not in known:
        raise DataError(f"Unknown toy {rest!r}.{nearest(rest, known)}", mend=f"Use one of {', '.join(known)}.")
    unknown = {"sigma": sigma if rest == "shapes" else None, "size": None if rest == "shapes" else size}
    for name, value in unknown.items():
        if value is not None:
            raise DataError(f"toy:{rest} has no {name}, got {value}.", mend="Leave it out.")
    if rest == "shapes":
        return open_shapes(n, size or 16, seed)
    if n < 5 or (sigma is not None and not sigma > 0):
        raise DataError(f"toy:{rest} needs n of 5 or more and a positive sigma, got n={n}, sigma={sigma}.")
    spread = SIGMAS[rest] if sigma is None else sigma
    density = _mixture(rest, spread)
    sampler = _SAMPLERS[rest] if density is None else _mixture_sampler(density)
    train, test = (_points(sampler, count, spread, seed, part) for part, count in enumerate((n, n // 5)))
    spec = DataSpec((2,), kind="signal", value_range=None)
    notes = (f"{rest}, noise of standard deviation {spread:g}, seed {seed}.",)
    return assemble(f"toy:{rest}", spec, (train, None), (test, None), density=density, notes=notes)


def _points(sampler: Sampler, count: int, sigma: float, seed: int, part: int) -> NDArray[np.float32]:
    """Draw float32 (count, 2); `part` keeps train and test apart."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed % (1 << 64), part], dtype=np.uint64)))
    return sampler(rng, count, sigma).astype(np.float32)


def _mixture(name: str, sigma: float) -> IsotropicMixture | None:
    if name == "8-ring":
        angle = np.arange(8) * np.pi / 4
        return IsotropicMixture(np.stack([np.cos(angle), np.sin(angle)], axis=1), sigma)
    if name == "25-grid":
        axis = np.arange(-4.0, 5.0, 2.0)
        return IsotropicMixture(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), sigma)
    return None


def _mixture_sampler(mixture: IsotropicMixture) -> Sampler:
    return lambda rng, count, sigma: mixture.sample(rng, count)


def _swiss_roll(rng: np.random.Generator, count: int, sigma: float) -> NDArray[np.float64]:
    """Scikit-learn's roll without its middle axis: radius t in [1.5π, 4.5π], divided by 2.5π."""
    t = 1.5 * np.pi * (1 + 2 * rng.uniform(size=count))
    roll = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / (2.5 * np.pi)
    return roll + sigma * rng.normal(size=(count, 2))


def _two_moons(rng: np.random.Generator, count: int, sigma: float) -> NDArray[np.float64]:
    """Scikit-learn's two half circles, centred."""
    angle, lower = np.pi * rng.uniform(size=count), rng.integers(0, 2, size=count).astype(bool)
    upper_arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower_arc = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    moons = np.where(lower[:, None], lower_arc, upper_arc) - np.array([0.5, 0.25])
    return moons + sigma * rng.normal(size=(count, 2))


def _pinwheel(rng: np.random.Generator, count: int, sigma: float) -> NDArray[np.float64]:
    """Five radial Gaussian arms turned by 0.25 exp(radius) (Johnson et al. 2016), noise tangential, scaled by 2."""
    arm = rng.integers(0, 5, size=count)
    along, across = 1 + 0.3 * rng.normal(size=count), sigma * rng.normal(size=count)
    turn = 2 * np.pi * arm / 5 + 0.25 * np.exp(along)
    x = along * np.cos(turn) - across * np.sin(turn)
    y = along * np.sin(turn) + across * np.cos(turn)
    return 2 * np.stack([x, y], axis=1)


_SAMPLERS: dict[str, Sampler] = {"swiss-roll": _swiss_roll, "two-moons": _two_moons, "pinwheel": _pinwheel}
