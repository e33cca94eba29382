"""How much each noise level counts in the loss.

The loss is w(λ) ‖x - x̂‖² with λ the log-SNR. The squared error of the network's own target is f(λ) ‖x - x̂‖², so
`weight` returns w / f.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["WEIGHTINGS", "weight"]

WEIGHTINGS = ("simple", "noise", "velocity", "data", "flow", "min_snr", "sigmoid")

_CAP = math.log(5.0)  # Hang et al. 2023 recommend γ = 5.
_BIAS = 2.0  # Kingma and Gao 2023 use 2: levels with λ far above it hardly count.
_STEEPEST = 6.0  # e^6: the error of the flow is that of the data over σ², bounded as with σ = 0.05 (Li and He 2025).


#: Log of what a target's squared error is, over that of the data, at log-SNR λ.
_LOG_ERRORS: dict[str, Callable[[Any], Any]] = {
    "data": ops.zeros_like,
    "noise": lambda log_snr: log_snr,
    "velocity": ops.softplus,  # log(1 + SNR)
    "flow": lambda log_snr: 2.0 * ops.softplus(0.5 * log_snr),  # log((α + σ)² / σ²)
}

_LOG_WEIGHTS: dict[str, Callable[[Any], Any]] = {
    **_LOG_ERRORS,
    "flow": lambda log_snr: ops.minimum(_LOG_ERRORS["flow"](log_snr), _STEEPEST),
    "min_snr": lambda log_snr: ops.minimum(log_snr, _CAP),
    "sigmoid": lambda log_snr: log_snr - ops.softplus(log_snr - _BIAS),
}


def weight(name: str, target: str, log_snr: Any) -> Any:
    """Return the factor on the squared error of the target at log-SNR (n,).

    Args:
        name: "simple" (the target's own error, Ho et al. 2020, eq. 14); the error of another target, "noise",
            "velocity", "data" or "flow"; "min_snr" (Hang et al. 2023, eq. 6); "sigmoid" (Kingma and Gao 2023, sec. 4).
        target: "noise", "velocity", "data" or "flow".
        log_snr: λ (n,).
    """
    if name == "simple":
        return ops.ones_like(log_snr)
    return ops.exp(_LOG_WEIGHTS[name](log_snr) - _LOG_ERRORS[target](log_snr))
