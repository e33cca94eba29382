"""The variational bound on the negative log-likelihood, in continuous time.

-log p(x) ≤ KL(q(z_1|x) ‖ p(z_1)) - E log p(x|z_0) + ½ (λ_max - λ_min) E_λ ‖ε - ε̂‖² with λ uniform (Kingma et al. 2021,
eq. 11 and 18): the integral does not depend on the schedule in between. Densities are of the normalised data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from genloom.objectives import per_sample
from genloom_diffusion.process import Process, add_noise

__all__ = ["variational_bound"]


def _prior_term(process: Process, x: Any) -> Any:
    """KL of N(α₁ x, σ₁² I) from the prior N(0, s² I), per sample, in nats."""
    one = ops.ones((1,))
    alpha, sigma, s2 = process.alpha(one)[0], process.sigma(one)[0], process.prior_deviation**2
    ratio = sigma * sigma / s2
    return 0.5 * per_sample(alpha * alpha * x * x / s2 + ratio - 1.0 - ops.log(ratio))


def _reconstruction_term(process: Process, x: Any) -> Any:
    """-E log N(x; z_0/α_0, e^(-λ_max)): its expectation is ½ d (log 2π - λ_max + 1) whatever x, in nats."""
    _, high = process.log_snr_range()
    d = math.prod(x.shape[1:])
    return ops.zeros((x.shape[0],)) + 0.5 * d * (math.log(2.0 * math.pi) - high + 1.0)


def variational_bound(predict_noise: Callable[[Any, Any], Any], process: Process, x: Any, u: Any, noise: Any) -> Any:
    """Return the bound per sample (n,), in nats, estimated at several noise levels.

    Args:
        predict_noise: `predict_noise(z, t)` -> ε̂.
        process: the noising process.
        x: clean data (n, …), normalised.
        u: positions (n, k) in (0, 1) of the log-SNRs to evaluate at; stratified ones give a lower variance.
        noise: ε (n, k, …).
    """
    low, high = process.log_snr_range()
    integral = ops.zeros((x.shape[0],))
    for j in range(u.shape[1]):
        t = process.time_of_log_snr(low + (high - low) * u[:, j])
        error = noise[:, j] - predict_noise(add_noise(process, x, noise[:, j], t), t)
        integral = integral + per_sample(error * error)
    integral = 0.5 * (high - low) * integral / u.shape[1]
    return _prior_term(process, x) + _reconstruction_term(process, x) + integral
