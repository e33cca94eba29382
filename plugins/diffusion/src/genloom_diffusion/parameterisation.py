"""What the network predicts, and how that becomes a prediction of the data and of the noise.

Every function takes α and σ broadcastable against z. With ρ = √(α² + σ²) (1 when variance is preserved), the velocity
is v = (α ε - σ x) / ρ (Salimans and Ho 2022, app. D). On data of unit variance it is, up to its sign, what the network
of Karras et al. 2022 predicts under their preconditioning (eq. 7). The flow is u = ε - x (Lipman et al. 2023, eq. 23).
"""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["TARGETS", "predictions", "target_of"]

TARGETS = ("noise", "velocity", "data", "flow")


def target_of(name: str, x: Any, noise: Any, alpha: Any, sigma: Any) -> Any:
    """Return what the network should output for the clean x (n, …) and the noise ε (n, …)."""
    if name == "noise":
        return noise
    if name == "data":
        return x
    if name == "flow":
        return noise - x
    return (alpha * noise - sigma * x) / ops.sqrt(alpha * alpha + sigma * sigma)


def predictions(name: str, output: Any, z: Any, alpha: Any, sigma: Any) -> tuple[Any, Any]:
    """Return (x̂, ε̂) for a network output (n, …) at z (n, …), so that z = α x̂ + σ ε̂ always holds."""
    if name == "noise":
        return (z - sigma * output) / alpha, output
    if name == "data":
        return output, (z - alpha * output) / sigma
    if name == "flow":
        total = alpha + sigma
        return (z - sigma * output) / total, (z + alpha * output) / total
    squared = alpha * alpha + sigma * sigma
    root = ops.sqrt(squared)
    return (alpha * z - sigma * root * output) / squared, (sigma * z + alpha * root * output) / squared
