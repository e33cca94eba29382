"""The likelihood of levels that lie in order: logistics whose mass is cut at the levels, mixed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.model.networks import one_hot
from genloom_vae.likelihoods.likelihood import Likelihood, check_levels, level_of, value_of

__all__ = ["LogisticMixtureLikelihood", "discretised_logistic_log_prob"]

_LOWEST_LOG_SCALE = -7.0  # e⁻⁷ is a ninth of a step of 256 levels: sharper than any
_MOST = 65_536


def discretised_logistic_log_prob(x: Any, mean: Any, log_scale: Any, levels: int) -> Any:
    """Return log P(x) = log [σ((x + h − μ)/s) − σ((x − h − μ)/s)] of each value, h = 1/(L − 1).

    The lowest level has all mass below it and the highest all above, so that probabilities sum to 1 (Salimans et al.
    2017, eq. 2). With a = (x + h − μ)/s and b = a − 2h/s the difference is σ(a) σ(−b) (1 − e^(b−a)): exact in the
    tails, without cases.

    Args:
        x: values on L levels from -1 to 1.
        mean: μ, broadcastable to x.
        log_scale: log s, broadcastable to x.
        levels: L.
    """
    half = 1.0 / (levels - 1)
    inverse = ops.exp(-log_scale)
    above, below = (x + half - mean) * inverse, (x - half - mean) * inverse
    up_to, beyond = -ops.softplus(-above), -ops.softplus(below)  # log σ(a), log σ(−b)
    inside = up_to + beyond + ops.log(-ops.expm1(-2.0 * half * inverse))
    return ops.where(x < half - 1.0, up_to, ops.where(x > 1.0 - half, beyond, inside))


class _Parameters(NamedTuple):
    """The decoder's output, read: one row for each place, which is a pixel or a moment."""

    logits: Any  # of the components (n, places, K)
    means: Any  # (n, places, c, K)
    log_scales: Any  # (n, places, c, K)
    coefficients: Any  # of earlier channels, in [-1, 1] (n, places, c (c − 1)/2, K)


class LogisticMixtureLikelihood(Likelihood):
    """P(x|z) = Π_places Σ_k π_k Π_c P_k(x_c | x_<c): K discretised logistics (Salimans et al. 2017, §2.1–2.2).

    The channels of a pixel share the component, and the mean of each depends linearly on those before it: eq. 3 of the
    paper, for any number of channels. The decoder gives K (1 + 2 c + c (c − 1)/2) numbers for a place: 3 K for grey,
    10 K for colour. Rows (n, features) have a place for each feature.

    Args:
        shape: of one sample.
        levels: L, evenly from -1 to 1.
        mixtures: K.
    """

    def __init__(self, shape: tuple[int, ...], levels: int, mixtures: int) -> None:
        super().__init__()
        self.shape, self.levels, self.mixtures = tuple(shape), levels, mixtures
        *places, self.channels = _placed(shape)
        self.places = math.prod(places)

    @classmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it for data of known levels.

        Raises:
            ConfigError: levels unknown.
        """
        check_levels(spec, "logistic-mixture", _MOST)
        return cls(spec.shape, spec.levels, options.mixtures)

    @staticmethod
    def decoder_shape(spec: DataSpec, options: Any) -> tuple[int, ...]:
        """Return (…, K (1 + 2 c + c (c − 1)/2)) for samples (…, c), and (d, 3 K) for rows (d,)."""
        *places, c = _placed(spec.shape)
        return (*places, options.mixtures * (1 + 2 * c + c * (c - 1) // 2))

    def parameters(self, output: Any) -> _Parameters:
        """Read the decoder's output (n, *decoder_shape)."""
        k, c, places = self.mixtures, self.channels, self.places
        output = ops.reshape(output, (-1, places, output.shape[-1]))
        logits, rest = output[..., :k], output[..., k:]
        parts = ops.reshape(rest, (-1, places, int(rest.shape[-1]) // k, k))
        log_scales = ops.maximum(parts[:, :, c : 2 * c], _LOWEST_LOG_SCALE)
        return _Parameters(logits, parts[:, :, :c], log_scales, ops.tanh(parts[:, :, 2 * c :]))

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log P(x|z) of each place (n, *places, 1), or of each value of rows (n, d), in nats."""
        given = self.parameters(output)
        x = ops.reshape(x, (-1, self.places, self.channels, 1))
        each = 0.0
        for c in range(self.channels):
            mean = _mean(given, c, [x[:, :, j] for j in range(c)])
            each = each + discretised_logistic_log_prob(x[:, :, c], mean, given.log_scales[:, :, c], self.levels)
        nats = ops.logsumexp(each + ops.log_softmax(given.logits, axis=-1), axis=-1)
        return ops.reshape(nats, (-1, *_placed(self.shape)[:-1], *[1] * (len(self.shape) > 1)))

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1], to within half a level: that of the logistics clipped, not rounded.

        E[clip(x)] = −1 + ∫₋₁¹ σ((μ − t)/s) dt = −1 + s [softplus((μ + 1)/s) − softplus((μ − 1)/s)].
        """
        given = self.parameters(output)
        expected: list[Any] = []
        for c in range(self.channels):
            mean, log_scale = _mean(given, c, expected), given.log_scales[:, :, c]
            inverse = ops.exp(-log_scale)
            rise = ops.softplus((mean + 1.0) * inverse) - ops.softplus((mean - 1.0) * inverse)
            expected.append(ops.exp(log_scale) * rise - 1.0)  # (n, places, K)
        shares = ops.softmax(given.logits, axis=-1)
        return self._joined([ops.sum(shares * each, axis=-1, keepdims=True) for each in expected])

    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x (n, *shape) on the levels, for keys (n, 2)."""
        given = self.parameters(output)
        uniform = random.uniform(random.fold(keys, 1), (self.places, self.mixtures))
        chosen = one_hot(ops.argmax(given.logits - ops.log(-ops.log(uniform)), axis=-1), self.mixtures)
        noise = random.uniform(keys, (self.places, self.channels))
        noise = ops.log(noise) - ops.log1p(-noise)  # of a standard logistic
        drawn: list[Any] = []
        for c in range(self.channels):
            mean = ops.sum(chosen * _mean(given, c, drawn), axis=-1, keepdims=True)  # (n, places, 1)
            log_scale = ops.sum(chosen * given.log_scales[:, :, c], axis=-1, keepdims=True)
            x = ops.clip(mean + ops.exp(log_scale) * noise[:, :, c : c + 1], -1.0, 1.0)
            drawn.append(value_of(level_of(x, self.levels), self.levels))
        return self._joined(drawn)

    def _joined(self, channels: list[Any]) -> Any:
        """Return channels (n, places, 1) as samples (n, *shape)."""
        return ops.reshape(ops.concatenate(channels, axis=-1), (-1, *self.shape))


def _placed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with an axis of channels, which rows lack."""
    return (*shape, 1) if len(shape) == 1 else tuple(shape)


def _mean(given: _Parameters, c: int, before: list[Any]) -> Any:
    """Return the means (n, places, K) of channel c, given the channels before it (n, places, 1 or K)."""
    mean, first = given.means[:, :, c], c * (c - 1) // 2
    for j, x in enumerate(before):
        mean = mean + given.coefficients[:, :, first + j] * x
    return mean
