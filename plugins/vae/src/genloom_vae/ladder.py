"""The networks of a ladder: one way up from samples to estimates of every level, one way down that draws them."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from genloom.data import DataSpec
from genloom.layers import Convolutions, sides
from genloom.model.networks import Inputs, run_network
from genloom_vae.likelihoods import decoder_shape

__all__ = ["Rung", "bounded", "ladder_decoder", "ladder_encoder", "merged"]

_ACTIVATION = "silu"
_LOG_VARIANCE_BOUND = 10.0  # |log σ²| of every level; keeps exp() finite before the encoder has settled


def bounded(parameters: Any) -> tuple[Any, Any]:
    """Return mean and log-variance (n, d) of a network's output (n, 2 d)."""
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    return mean, _LOG_VARIANCE_BOUND * ops.tanh(log_variance / _LOG_VARIANCE_BOUND)


def merged(estimate: tuple[Any, Any], prior: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return mean and log-variance of the product of two Gaussians: means weighted by their precisions.

    σ⁻² = σ̂⁻² + σ_p⁻²,  μ = σ² (μ̂ σ̂⁻² + μ_p σ_p⁻²) (Sønderby et al. 2016, eq. 8 and 9).
    """
    (mean, log_variance), (prior_mean, prior_log_variance) = estimate, prior
    share = ops.sigmoid(prior_log_variance - log_variance)  # σ̂⁻² / (σ̂⁻² + σ_p⁻²)
    return share * mean + (1.0 - share) * prior_mean, -ops.logaddexp(-log_variance, -prior_log_variance)


def _dense(width: int) -> keras.Layer:
    return layers.Dense(width, activation=_ACTIVATION, kernel_initializer="he_normal")


def ladder_encoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return the way up: normalised samples to the estimates of all levels (n, 2 Σ latents), nearest to x first."""
    inputs, estimates = Inputs(spec.shape, classes), []
    x = Convolutions(_ACTIVATION).shrink(inputs.x, options.channels) if options.channels else layers.Flatten()(inputs.x)
    x = inputs.with_labels(x)
    for width, size in zip(options.hidden, options.latents, strict=True):
        x = _dense(width)(x)
        estimates.append(layers.Dense(2 * size)(x))
    return inputs.network(layers.Concatenate()(estimates), "encoder")


def ladder_decoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return the last step down: features (n, hidden[0]) to what the likelihood reads."""
    inputs, shape = Inputs((options.hidden[0],), classes), decoder_shape(spec, options)
    x = inputs.with_labels(inputs.x)
    if not options.channels:
        x = layers.Dense(math.prod(shape))(_dense(options.hidden[0])(x))
        return inputs.network(layers.Reshape(shape)(x), "decoder")
    lowest = math.prod(sides(spec.shape, len(options.channels))[-1]) * options.channels[-1]
    return inputs.network(Convolutions(_ACTIVATION).grow(_dense(lowest)(x), shape, options.channels), "decoder")


class Rung(keras.layers.Layer):
    """One level on the way down: p(z_i | z_>i) from the features above, and the features that z_i adds to them.

    The features carry every latent to x, as in Child 2021, fig. 2, so that z_i need not repeat those above.

    Args:
        above: width of the features from above; 0 at the top, whose prior is N(0, I), or one for each label.
        width: of the features that it gives.
        size: d, of its latent.
        classes: width of one-hot labels, 0 without.
    """

    def __init__(self, above: int, width: int, size: int, classes: int) -> None:
        super().__init__()
        self.size = size
        self.prior = _network(above + classes, 2 * size) if above + classes else None
        self.features = _network(above + classes + size, width, hidden=width)
        self.built = True

    def prior_of(self, n: int, above: Any, labels: Any) -> tuple[Any, Any]:
        """Return mean and log-variance (n, d) of p(z_i | z_>i, y)."""
        if self.prior is None:
            zeros = ops.zeros((n, self.size), dtype=keras.config.floatx())
            return zeros, zeros
        return bounded(run_network(self.prior, _joined(above, labels)))

    def down(self, z: Any, above: Any, labels: Any) -> Any:
        """Return the features (n, width) below, of z (n, d)."""
        return run_network(self.features, _joined(above, labels, z))


def _network(size: int, width: int, hidden: int = 0) -> keras.Model:
    x = inputs = keras.Input((size,))
    x = _dense(hidden)(x) if hidden else x
    last = _dense(width) if hidden else layers.Dense(width)
    return keras.Model(inputs, last(x))


def _joined(*parts: Any) -> Any:
    given = [part for part in parts if part is not None]
    return given[0] if len(given) == 1 else ops.concatenate(given, axis=-1)
