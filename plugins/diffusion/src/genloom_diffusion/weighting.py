"""How much each noise level counts in the loss.

The loss is w(λ) ‖x - x̂‖² with λ the log-SNR. The squared error of the network's own target is f(λ) ‖x - x̂‖², so
`weight` returns w / f.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

__all__ = ["WEIGHTINGS", "weight"]

WEIGHTINGS = ("simple", "noise", "data", "min_snr", "sigmoid")

_CAP = math.log(5.0)  # Hang et al. 2023 recommend γ = 5.
_BIAS = 2.0  # Kingma and Gao 2023 use 2: levels with λ far above it hardly count.


def _log_own(target: str, log_snr: Any) -> Any:
    """Return log f: the target's squared error is f times that of the data."""
    if target == "data":
        return ops.zeros_like(log_snr)
    return log_snr if target == "noise" else ops.softplus(log_snr)  # softplus(λ) = log(1 + SNR)


def weight(name: str, target: str, log_snr: Any) -> Any:
    """Return the factor on the squared error of the target at log-SNR (n,).

    Args:
        name: "simple" (the target's own error, Ho et al. 2020, eq. 14), "noise", "data", "min_snr" (Hang et al. 2023,
            eq. 6), "sigmoid" (Kingma and Gao 2023, sec. 4).
        target: "noise", "velocity" or "data".
        log_snr: λ (n,).
    """
    if name == "simple":
        return ops.ones_like(log_snr)
    log_weight = {
        "noise": lambda: log_snr,
        "data": lambda: ops.zeros_like(log_snr),
        "min_snr": lambda: ops.minimum(log_snr, _CAP),
        "sigmoid": lambda: log_snr - ops.softplus(log_snr - _BIAS),
    }[name]()
    return ops.exp(log_weight - _log_own(target, log_snr))
