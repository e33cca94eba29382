"""Normalizing flows: an invertible map from data to Gaussian noise, so that log p(x) is exact."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from genloom import GenerativeModel, Phase, random
from genloom.errors import ConfigError
from genloom.model.networks import full_precision
from genloom.objectives import standard_normal_log_prob
from third_party_flow.couplings import AffineTransform, Coupling, SplineTransform
from third_party_flow.line import Line
from third_party_flow.options import FlowOptions, RealNVPOptions, SplineOptions

__all__ = ["Flow", "RealNVP", "SplineFlow"]


class Flow(GenerativeModel):
    """log p(x) = log N(f(x); 0, I) + log |det df/dx| (Dinh et al. 2017, equation 3), maximised.

    Args:
        spec: what one sample is: two values or more.
        options: an instance of `Options`, or None.
        **values: option values by name, and `seed` and `noise` of every model.

    Raises:
        ConfigError: data of one value, or levels that do not fit the data.
    """

    Options: ClassVar[type] = FlowOptions
    validation: ClassVar[tuple[str, ...]] = ("loss", "bits_per_dim")
    conditional = False

    def __init__(self, spec: Any, options: Any = None, **values: Any) -> None:
        super().__init__(spec, options, **values)
        if spec.size < 2:
            raise ConfigError(f"A coupling needs two values or more, got samples of shape {spec.shape}.")
        self.line = Line(spec, self.options.levels)
        self.log_scale = self.add_weight(shape=(spec.size,), initializer="zeros", name="log_scale")
        self.shift = self.add_weight(shape=(spec.size,), initializer="zeros", name="shift")
        self.couplings = [
            Coupling(spec.size, index, self.options.hidden, self.transform()) for index in range(self.options.layers)
        ]

    def transform(self) -> Any:
        """Return the transform of one coupling."""
        raise NotImplementedError

    # Training.

    def default_optimizers(self) -> Any:
        """Return Adam; its gradients are clipped, for a likelihood has no floor."""
        return keras.optimizers.Adam(self.options.learning_rate, clipnorm=10.0)

    def phases(self) -> list[Phase]:
        """Return the one phase `likelihood`, logged with its bits per dimension."""
        return [Phase("likelihood", lambda: self.trainable_variables, self.loss_of, metrics=("bits_per_dim",))]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], float]:
        """Return the mean of -log p in nats, of values spread over their steps."""
        x = self._flat(batch["x"])
        log_density = self._log_density(x, self.uniform(tuple(x.shape)))
        bits = ops.mean(self.line.bits_per_dimension(log_density))
        return -ops.mean(log_density), {"bits_per_dim": bits}, 1.0

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return held-out -log p and bits per dimension, each (n,)."""
        x = self._flat(batch["x"])
        log_density = self._log_density(x, random.uniform(self.validation_keys(batch), (self.spec.size,)))
        return {"loss": -log_density, "bits_per_dim": self.line.bits_per_dimension(log_density)}

    # Use.

    def draw(self, keys: Any, condition: dict[str, Any], temperature: float = 1.0) -> Any:
        """Return samples (n, *shape); a temperature below 1 draws nearer to the modes."""
        return self.decode(ops.reshape(float(temperature) * random.normal(keys, (self.spec.size,)), (-1, *self.shape)))

    def log_prob(self, x: Any) -> Any:
        """Return log p(x) (n,) in nats, a density over the spec's units, for x (n, *shape) in its range. Exact."""
        return self._log_density(self._flat(x), 0.5)

    def encode(self, x: Any) -> Any:
        """Return the noise (n, *shape) that x (n, *shape) is made from."""
        u, _ = self.line.to(self._flat(x))
        return ops.reshape(self._forward(u)[0], (-1, *self.shape))

    def decode(self, z: Any) -> Any:
        """Return the samples (n, *shape), in the spec's range, that noise (n, *shape) becomes."""
        u = self._flat(z)
        for coupling in reversed(self.couplings):
            u, _ = coupling.inverse(u)
        u = (u - self.shift) * ops.exp(-self.log_scale)
        return ops.reshape(self.line.back(u), (-1, *self.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.spec.shape)

    def _log_density(self, x: Any, spread: Any) -> Any:
        u, onto_line = self.line.to(x, spread)
        z, through_flow = self._forward(u)
        return standard_normal_log_prob(z) + through_flow + onto_line

    def _forward(self, u: Any) -> tuple[Any, Any]:
        """Map values of the line (n, size) to noise, and return log |det| (n,)."""
        z = u * ops.exp(self.log_scale) + self.shift
        log_det = ops.zeros_like(z[:, 0]) + ops.sum(self.log_scale)
        for coupling in self.couplings:
            z, more = coupling.forward(z)
            log_det = log_det + more
        return z, log_det

    def _flat(self, x: Any) -> Any:
        return ops.reshape(full_precision(x), (-1, self.spec.size))


class RealNVP(Flow):
    """`flow/realnvp`: affine couplings (Dinh et al. 2017)."""

    Options: ClassVar[type] = RealNVPOptions

    def transform(self) -> AffineTransform:
        """Return an affine transform."""
        return AffineTransform(self.options.stretch)


class SplineFlow(Flow):
    """`flow/spline`: rational-quadratic spline couplings (Durkan et al. 2019)."""

    Options: ClassVar[type] = SplineOptions

    def transform(self) -> SplineTransform:
        """Return a spline."""
        return SplineTransform(self.options.bins, self.options.bound)
