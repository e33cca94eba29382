"""Adversarial losses and gradient penalties: a high output of the discriminator means real, losses take logits.

Every loss has the signature `(real, fake) -> scalar` with logits of any one shape, so that a new one is a new row of
`ADVERSARIAL_LOSSES`; penalties take the discriminator as a function of samples alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from genloom import backend
from genloom.objectives.reduction import per_sample

__all__ = [
    "ADVERSARIAL_LOSSES",
    "gradient_penalty",
    "hinge_discriminator",
    "hinge_generator",
    "non_saturating_discriminator",
    "non_saturating_generator",
    "r1_penalty",
    "r2_penalty",
    "relativistic_discriminator",
    "relativistic_generator",
    "wasserstein_critic",
    "wasserstein_generator",
]

_TINY = 1e-12  # Under the square root of a norm, whose gradient is infinite at zero.


def non_saturating_discriminator(real: Any, fake: Any) -> Any:
    """Return E[softplus(−D(x))] + E[softplus(D(G(z)))], the cross-entropy of Goodfellow et al. 2014, eq. 1."""
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))


def non_saturating_generator(real: Any, fake: Any) -> Any:
    """Return E[softplus(−D(G(z)))] = −E[log σ(D(G(z)))] (Goodfellow et al. 2014, §3); `real` is not used."""
    return ops.mean(ops.softplus(-fake))


def wasserstein_critic(real: Any, fake: Any) -> Any:
    """Return E[D(G(z))] − E[D(x)] (Arjovsky et al. 2017, eq. 3, negated)."""
    return ops.mean(fake) - ops.mean(real)


def wasserstein_generator(real: Any, fake: Any) -> Any:
    """Return −E[D(G(z))] (Arjovsky et al. 2017, algorithm 1); `real` is not used."""
    return -ops.mean(fake)


def hinge_discriminator(real: Any, fake: Any) -> Any:
    """Return E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, eq. 16)."""
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


def hinge_generator(real: Any, fake: Any) -> Any:
    """Return −E[D(G(z))] (Miyato et al. 2018, eq. 17); `real` is not used."""
    return -ops.mean(fake)


def relativistic_discriminator(real: Any, fake: Any) -> Any:
    """Return E[softplus(−(D(x) − D(G(z))))] over pairs (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2)."""
    return ops.mean(ops.softplus(fake - real))


def relativistic_generator(real: Any, fake: Any) -> Any:
    """Return E[softplus(−(D(G(z)) − D(x)))] over pairs: the discriminator's loss with the roles exchanged."""
    return ops.mean(ops.softplus(real - fake))


ADVERSARIAL_LOSSES: Mapping[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "non-saturating": (non_saturating_discriminator, non_saturating_generator),
    "wasserstein": (wasserstein_critic, wasserstein_generator),
    "hinge": (hinge_discriminator, hinge_generator),
    "relativistic": (relativistic_discriminator, relativistic_generator),
}
"""Name → (discriminator's loss, generator's loss)."""


def _squared_norms(discriminator: Callable[[Any], Any], x: Any) -> Any:
    """Return ‖∇ₓ D(x)‖² per sample (n,); D must treat samples independently."""
    return per_sample(ops.square(backend.grad(discriminator)(x)))


def gradient_penalty(critic: Callable[[Any], Any], real: Any, fake: Any, uniform: Any) -> Any:
    """Return E[(‖∇ D(x̂)‖ − 1)²] at x̂ = u x + (1 − u) G(z) (Gulrajani et al. 2017, eq. 3, without λ).

    Args:
        critic: samples (n, …) → logits; no batch statistics, for the penalty is one of each sample.
        real: samples (n, …).
        fake: samples of the same shape.
        uniform: u, uniform draws (n,) in [0, 1).
    """
    u = ops.reshape(uniform, (-1, *[1] * (len(real.shape) - 1)))
    norm = ops.sqrt(_squared_norms(critic, u * real + (1.0 - u) * fake) + _TINY)
    return ops.mean(ops.square(norm - 1.0))


def r1_penalty(discriminator: Callable[[Any], Any], real: Any) -> Any:
    """Return ½ E[‖∇ D(x)‖²] on real samples (Mescheder et al. 2018, eq. 9, without γ)."""
    return 0.5 * ops.mean(_squared_norms(discriminator, real))


def r2_penalty(discriminator: Callable[[Any], Any], fake: Any) -> Any:
    """Return ½ E[‖∇ D(G(z))‖²] on generated samples (Mescheder et al. 2018, eq. 10, without γ)."""
    return 0.5 * ops.mean(_squared_norms(discriminator, fake))
