"""Consistency models in continuous time: a network that maps any point of the flow to where the flow ends.

With y = z/√(α² + σ²) and the angle θ = arctan σ/α, y moves by the velocity v, and x̂ = cos θ y - sin θ F(y, θ) is the
prediction of the data from a network F of the velocity. A diffusion model has F = E[v | y]. A consistency model has x̂
constant along the flow, dx̂/dθ = 0 (Song et al. 2023, def. 1): it is then the end of the flow, in one call.
"""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from genloom import backend
from genloom.model.networks import full_precision
from genloom.objectives import per_sample
from genloom_diffusion.model import Diffusion
from genloom_diffusion.options import ConsistencyOptions, DistilOptions
from genloom_diffusion.parameterisation import target_of
from genloom_diffusion.process import add_noise

__all__ = ["Consistency", "tangent"]


def tangent(output: Any, velocity: Any, derivative: Any, y: Any, cosine: Any, sine: Any, share: Any) -> Any:
    """Return cos θ dx̂/dθ, with a share of the terms that need a derivative (Lu and Song 2025, algorithm 1).

    Args:
        output: F (n, …).
        velocity: dy/dθ along the flow, or of one data and noise.
        derivative: dF/dθ along it.
        y: where.
        cosine: cos θ, broadcastable.
        sine: sin θ.
        share: 0 gives the negative gradient of the diffusion loss, 1 that of consistency.
    """
    return cosine * (cosine * (velocity - output) - share * sine * (y + derivative))


class Consistency(Diffusion):
    """Consistency training in continuous time (Lu and Song 2025), which begins as the training of a diffusion model.

    Args and errors are those of `Diffusion`.
    """

    Options: ClassVar[type] = ConsistencyOptions
    validation: ClassVar[tuple[str, ...]] = ("loss",)
    """Held-out `loss`: the mean square of cos θ dx̂/dθ along the path of each data and noise."""

    def _loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        x, noise, t, label = self._trained(batch)
        share = ops.minimum(ops.cast(self.step.value, "float32") / max(self.options.ramp, 1), 1.0)
        return self._along(x, noise, t, label, self._velocity(x, noise, t), share)

    def taught(self, batch: dict[str, Any], teacher: Diffusion, options: DistilOptions) -> Any:
        """Return the loss along the teacher's flow (Lu and Song 2025, section 4: consistency distillation)."""
        x, noise, t, label = self._trained(batch)
        velocity = teacher.answers(options.guidance)(add_noise(self.process, x, noise, t), t, label)
        return self._along(x, noise, t, label, ops.stop_gradient(velocity), 1.0)

    def _trained(self, batch: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Return scaled data, noise, times and labels of a step."""
        x = self.scaled(batch)
        n, noise = x.shape[0], self.normal(tuple(x.shape))
        return x, noise, self._training_time(self._positions(n)), self._training_label(batch, n)

    def _along(self, x: Any, noise: Any, t: Any, label: Any, velocity: Any, share: Any) -> Any:
        """Return the loss along velocities dy/dθ."""
        output, g = self._tangent(x, noise, t, label, velocity, share, training=True)
        size = ops.sqrt(self._mean(g * g))
        pull = g / ops.reshape(size + self.options.calm, (-1,) + (1,) * len(self.spec.shape))
        # Its gradient by F is that of |F - (F + pull)|² with the target fixed; its value falls with the tangent.
        slope = -2.0 * self._mean(output * pull)
        return ops.mean(slope + ops.stop_gradient(size * size - slope)), {}, float(x.shape[0])

    def _velocity(self, x: Any, noise: Any, t: Any) -> Any:
        """Return the velocity of one data and noise, whose mean is the flow's."""
        return target_of("velocity", x, noise, *self._scales(t))

    def _tangent(
        self, x: Any, noise: Any, t: Any, label: Any, velocity: Any, share: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """Return F, and the tangent through which it is not differentiated, for data and noise (n, …) at t (n,)."""
        alpha, sigma = self._scales(t)
        size = ops.sqrt(alpha * alpha + sigma * sigma)
        cosine, sine = alpha / size, sigma / size
        y = cosine * x + sine * noise

        def network(y: Any, angle: Any) -> Any:
            at = self.process.position(self.process.time_of_log_snr(-2.0 * ops.log(ops.tan(angle))))
            return full_precision(self.denoiser(y, at, label, training=training))

        angle = ops.reshape(ops.arctan2(sigma, alpha), (-1,))
        output, derivative = backend.jvp(network, (y, angle), (velocity, ops.ones_like(angle)))
        g = tangent(output, velocity, derivative, y, cosine, sine, share)
        return output, ops.stop_gradient(g)

    def _mean(self, value: Any) -> Any:
        return per_sample(value) / self.spec.size

    def _errors(self, x: Any, u: Any, noise: Any, label: Any, training: bool = False) -> Any:
        """Return the mean square of the tangent per sample (n,)."""
        t = self._training_time(u)
        _, g = self._tangent(x, noise, t, label, self._velocity(x, noise, t), 1.0, training)
        return self._mean(g * g)

    def validate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss per sample (n,), at keyed noise."""
        return {"loss": super().validate(batch)["loss"]}
