"""Terms of losses that the families share: pure functions of tensors, each citing its equation."""

from __future__ import annotations

from genloom.objectives.adversarial import (
    ADVERSARIAL_LOSSES,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    non_saturating_discriminator,
    non_saturating_generator,
    r1_penalty,
    r2_penalty,
    relativistic_discriminator,
    relativistic_generator,
    wasserstein_critic,
    wasserstein_generator,
)
from genloom.objectives.gaussian import (
    gaussian_log_prob,
    kl_between_gaussians,
    kl_to_standard_normal,
    standard_normal_log_prob,
)
from genloom.objectives.likelihoods import bernoulli_log_prob, categorical_log_prob
from genloom.objectives.reduction import per_sample

__all__ = [
    "ADVERSARIAL_LOSSES",
    "bernoulli_log_prob",
    "categorical_log_prob",
    "gaussian_log_prob",
    "gradient_penalty",
    "hinge_discriminator",
    "hinge_generator",
    "kl_between_gaussians",
    "kl_to_standard_normal",
    "non_saturating_discriminator",
    "non_saturating_generator",
    "per_sample",
    "r1_penalty",
    "r2_penalty",
    "relativistic_discriminator",
    "relativistic_generator",
    "standard_normal_log_prob",
    "wasserstein_critic",
    "wasserstein_generator",
]
