"""Mean flows: a network of the average velocity between two times, which draws a sample in one call.

The flow moves z by v(z, s) = E[ε - x | z] (Lipman et al. 2023). Its average over a stretch from r to t,
u(z, t, r) = 1/(t - r) ∫ v ds, satisfies u = v - (t - r) du/dt along the flow (Geng et al. 2025a, eq. 6): a target that
takes one forward derivative and no simulation. At r = t it is the flow itself, so every sampler of flows works, too.
A shortcut model learns the same average from its halves, without a derivative (Frans et al. 2025, eq. 3 and 5).
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom.layers import guided
from genloom.model.networks import full_precision
from genloom.objectives import per_sample
from genloom_diffusion.guidance import between
from genloom_diffusion.model import Diffusion, Flow
from genloom_diffusion.networks import denoiser_for
from genloom_diffusion.options import DistilOptions, MeanFlowOptions
from genloom_diffusion.process import Flow as Straight
from genloom_diffusion.process import add_noise
from genloom_diffusion.samplers import prior

__all__ = ["MeanFlow", "mean_error", "tempered"]

_FLOOR = 1e-3  # Geng et al. 2025a, eq. 22


def mean_error(u: Any, v: Any, derivative: Any, span: Any) -> Any:
    """Return u + (t - r) du/dt - v, zero for the average velocity u (Geng et al. 2025a, eq. 6; 2025b, eq. 12).

    Only u is differentiated: the derivative is part of the target.
    """
    return u + span * ops.stop_gradient(derivative) - v


def tempered(error: Any, power: float) -> Any:
    """Return a loss of errors (n,) whose gradient is theirs over (error + .001)^power (Geng et al. 2025a, eq. 22).

    It falls with the error, where the paper's own, the error times that weight held fixed, is about 1 for ever.
    """
    if power == 1.0:
        return ops.log(error + _FLOOR)
    return (error + _FLOOR) ** (1.0 - power) / (1.0 - power)


class MeanFlow(Flow):
    """Mean flows (Geng et al. 2025a), by default in their improved form (Geng et al. 2025b).

    Args and errors are those of `Diffusion`; a network of your own is given both times, [t, t - r] as (n, 2).
    """

    Options: ClassVar[type] = MeanFlowOptions
    own_networks: ClassVar = {"denoiser": functools.partial(denoiser_for, times=2)}
    times: ClassVar[int] = 2
    process: Straight

    def _loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        return self._learned(batch)

    def taught(self, batch: dict[str, Any], teacher: Diffusion, options: DistilOptions) -> Any:
        """Return the loss along the flow of a teacher, which is its average over no stretch."""
        return self._learned(batch, teacher.answers(options.guidance))

    def _learned(self, batch: dict[str, Any], flow: Any = None) -> tuple[Any, dict[str, Any], Any]:
        """Return the loss along a flow (z, t, label) -> v; without one along the path of each data and noise."""
        x = self.scaled(batch)
        n = x.shape[0]
        t, r = self._stretch(self._positions(n), self.uniform((n,)), self.uniform((n,)))
        noise, label = self._noise_for(x, batch), self._training_label(batch, n)
        errors = self._mean_errors(x, noise, t, r, label, True, flow)
        return ops.mean(self._tempered(errors)), {}, float(n)

    def _tempered(self, errors: Any) -> Any:
        """Return the loss of errors (n,): of halves the plain square, as in the paper; tempered they hardly learn."""
        return tempered(errors, self.options.power if self.options.rule == "derivative" else 0.0)

    def _stretch(self, u: Any, other: Any, share: Any) -> tuple[Any, Any]:
        """Return times t and r ≤ t (n,) for three uniforms: a stretch where the last is below `mean_share`."""
        first, second = self._training_time(u), self._training_time(other)
        t = ops.maximum(first, second)
        return t, ops.where(share < self.options.mean_share, self._time_at(ops.minimum(first, second)), t)

    def _errors(self, x: Any, u: Any, noise: Any, label: Any, training: bool = False) -> Any:
        """Return the loss per sample (n,) for held-out data, the stretch drawn from the one position u, too."""
        t, r = self._stretch(u, (7.0 * u + 0.5) % 1.0, (13.0 * u) % 1.0)
        return self._tempered(self._mean_errors(x, noise, t, r, label, training))

    def _mean_errors(
        self, x: Any, noise: Any, t: Any, r: Any, label: Any, training: bool = False, flow: Any = None
    ) -> Any:
        """Return the squared error of the identity above per sample (n,), averaged over its dimensions."""
        z = add_noise(self.process, x, noise, t)
        v = noise - x if flow is None else ops.stop_gradient(flow(z, t, label))
        if self.options.rule == "halves":
            stretched = ops.reshape(t > r, (-1,) + (1,) * len(self.spec.shape))
            target = ops.where(stretched, ops.stop_gradient(self._joined(z, t, r, label)), v)
            return per_sample(ops.square(self.mean_velocity(z, t, r, label, training) - target)) / self.spec.size
        own = flow is None and self.options.tangent == "predicted"
        ahead = self.mean_velocity(z, t, t, label) if own else v

        def average(z: Any, t: Any) -> Any:
            return self.mean_velocity(z, t, r, label, training)

        rate = ops.ones_like(t) / self.process.width  # of t along the flow, whose time is σ
        u, derivative = backend.jvp(average, (z, t), (ops.stop_gradient(ahead), rate))
        error = mean_error(u, v, derivative, self._span(t, r))
        return per_sample(ops.square(error)) / self.spec.size

    def _joined(self, z: Any, t: Any, r: Any, label: Any) -> Any:
        """Return the average from r to t as the mean of its halves', each half of the stretch in σ."""
        middle = 0.5 * (t + r)
        first = self.mean_velocity(z, t, middle, label)
        second = self.mean_velocity(z - self._span(t, middle) * first, middle, r, label)
        return 0.5 * (first + second)

    def _time_at(self, share: Any) -> Any:
        """Return the time whose σ is this share of the largest: 0, no noise at all, lies just before time 0."""
        return (share * self.process.high - self.process.low) / self.process.width

    def _span(self, t: Any, r: Any) -> Any:
        return ops.reshape(self.process.sigma(t) - self.process.sigma(r), (-1,) + (1,) * len(self.spec.shape))

    def mean_velocity(self, z: Any, t: Any, r: Any, label: Any, training: bool = False) -> Any:
        """Return u (n, *shape) at z, from times r to t (n,), in units of scaled data per unit of σ."""
        alpha, sigma = self._scales(t)
        times = ops.stack([t, t - r], axis=-1)
        u = self.denoiser(z / ops.sqrt(alpha * alpha + sigma * sigma), times, label, training=training)
        return full_precision(u)  # a derivative along it has its type

    def _between(self, z: Any, times: Any, label: Any) -> Any:
        return self.mean_velocity(z, times[:, 0], times[:, 1], label)

    def _network(self, z: Any, t: Any, label: Any, training: bool = False) -> Any:
        """Return the flow itself, the average over no stretch."""
        return self.mean_velocity(z, t, t, label, training)

    def draw(self, keys: Any, condition: dict[str, Any], *, sampler: str | None = None, **asked: Any) -> Any:
        """Return samples (n, *spec.shape) in the value range, as `Diffusion.draw` does.

        The sampler "mean" goes from noise to data in `steps` even jumps, z_r = z_t - (t - r) u(z_t, t, r).
        """
        chosen = self._chosen(sampler=sampler, **asked)
        if chosen.sampler != "mean":
            return super().draw(keys, condition, sampler=sampler, **asked)
        if self._weaker is not None or self._classifier is not None:
            raise ConfigError("sampler=mean follows no guide.", mend="Use sampler=euler, or another.")
        held = self._held(keys, condition)
        steps = chosen.steps

        average: Any = self._between
        if self.conditional and "label" in condition:
            within = between(self.process, chosen.guidance_from, chosen.guidance_to)
            average = guided(average, chosen.guidance, self.spec.classes, within)

        def step(i: Any, state: dict[str, Any]) -> dict[str, Any]:
            z, left = state["z"], ops.cast(steps - i, "float32")
            t, r = (self._time_at(ops.broadcast_to(value / steps, (z.shape[0],))) for value in (left, left - 1.0))
            average_velocity = average(z, ops.stack([t, r], axis=-1), state["held"].get("label"))
            return {**state, "z": z - self._span(t, r) * average_velocity}

        state = {"z": prior(self.process, keys, self.spec.shape), "held": held}
        return self.denormalised(backend.loop(step, steps, state)["z"] * self.options.data_deviation)
