"""Bits per value of levels: counted of probabilities, or of a density with noise of one level, and of nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.metrics import bits_per_dimension
from genloom.model.networks import full_precision
from genloom_vae.likelihoods import BernoulliLikelihood, Likelihood

__all__ = ["bits_of", "dequantised", "level_nats"]


def level_nats(spec: DataSpec, options: Any, likelihood: Likelihood) -> float | None:
    """Return what is added to −log p(x|z) of a sample, in nats, to count levels; None where none can be counted.

    A probability of levels needs nothing; a Bernoulli is one of two levels only. A density p with uniform noise u as
    wide as a level, Δ, bounds the probability P(x) = ∫ p(x + u) du: log P(x) ≥ E[log p(x + u)] + d log Δ (Theis et al.
    2016, §3.1), with Δ = 2/(L − 1) in normalised units. Without the noise a density of levels bounds nothing.

    Raises:
        ConfigError: noise was asked for that the likelihood or the data cannot have.
    """
    if options.dequantise:
        if not likelihood.density:
            raise ConfigError(
                f"dequantise=true has no meaning with likelihood={options.likelihood}, which is of levels.",
                mend="Leave it out, or use likelihood=gaussian.",
            )
        if not spec.levels:
            raise ConfigError(
                "dequantise=true needs data of known levels, and these have none stated.",
                mend="Give them (npz:FILE?levels=256, DataSpec(levels=256)), or leave it out.",
            )
        return -spec.size * math.log(2.0 / (spec.levels - 1))
    counted = not likelihood.density and (spec.levels == 2 or not isinstance(likelihood, BernoulliLikelihood))
    return 0.0 if counted else None


def bits_of(values: Mapping[str, Any], level_nats: float, size: int) -> Any:
    """Return the bound −log p(x|z) + KL (n,) as bits per value of a sample of `size` values."""
    return bits_per_dimension(values["reconstruction"] + values["kl"] + level_nats, size)


def dequantised(x: Any, uniform: Any, spec: DataSpec) -> Any:
    """Return x (n, *shape) in the spec's units with noise of one level, for uniform draws in [0, 1) of x's shape."""
    low, high = spec.value_range or (0.0, 0.0)
    return full_precision(x) + (high - low) / (spec.levels - 1) * (full_precision(uniform) - 0.5)
