"""Maximum mean discrepancy: how far two sets of codes are from being drawn from one distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

__all__ = ["KERNELS", "discrepancy"]

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of C, as in the experiments of Tolstikhin et al. 2018


def multiquadratics(squares: Any, size: int) -> Any:
    """Return Σ_s sC / (sC + ‖z − z'‖²), C = 2 d: the distance between two draws of N(0, I) (Tolstikhin et al., §4)."""
    widths = [2.0 * size * scale for scale in _SCALES]
    return sum((c / (c + squares) for c in widths[1:]), widths[0] / (widths[0] + squares))


def gaussian(squares: Any, size: int) -> Any:
    """Return exp(−‖z − z'‖² / d), as the experiments of Zhao et al. 2019 take it."""
    return ops.exp(-squares / size)


#: Value of the option `kernel` → (squared distances, d) → kernel values.
KERNELS: Mapping[str, Callable[[Any, int], Any]] = {"multiquadratics": multiquadratics, "gaussian": gaussian}


def discrepancy(z: Any, other: Any, kernel: str, labels: Any = None) -> Any:
    """Return the unbiased estimate of MMD² between two sets of equal size (Tolstikhin et al. 2018, algorithm 2).

    Args:
        z: (n, d), n ≥ 2.
        other: (n, d).
        kernel: a name in `KERNELS`.
        labels: one-hot (n, classes) of both sets' rows: then codes are compared within each class, for the kernel is
            multiplied by their number where two labels are equal, and by 0 elsewhere.

    Returns:
        A scalar, around 0 (and so at times below it) for one distribution.
    """
    n, size = int(z.shape[0]), int(z.shape[1])
    alike = 1.0 if labels is None else int(labels.shape[1]) * ops.matmul(labels, ops.transpose(labels))

    def mean(a: Any, b: Any, apart: bool) -> Any:
        values = KERNELS[kernel](_squares(a, b), size) * alike
        if not apart:
            return ops.mean(values)
        return ops.sum(values * (1.0 - ops.eye(n, dtype=values.dtype))) / (n * (n - 1))

    return mean(z, z, True) + mean(other, other, True) - 2.0 * mean(z, other, False)


def _squares(a: Any, b: Any) -> Any:
    """Return ‖a_i − b_j‖² (n, m)."""
    return ops.sum(ops.square(a[:, None, :] - b[None, :, :]), axis=-1)
