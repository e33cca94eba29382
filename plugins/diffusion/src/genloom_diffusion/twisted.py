"""Samples of a posterior: particles guided towards a measurement and weighed by what the guidance got wrong.

The twisted diffusion sampler (Wu et al. 2023, algorithm 1). Whatever the guess of p(y | z) that guides, the weights
make the samples those of the posterior as particles grow in number; with one particle it is ΠGDM (Song et al. 2023b),
whose spread of x about x̂, (σ/α)²/(1 + (σ/α)²) for data of unit variance, makes the guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from genloom import backend, random
from genloom.objectives import per_sample
from genloom_diffusion.samplers import prior
from genloom_diffusion.stepping import Denoise, State, ancestral_deviation, clean
from genloom_diffusion.walk import Level, Walk

__all__ = ["Measurement", "posterior"]

_RESAMPLING, _CHOICE = 1, 1_000_033  # Fold the keys of choices apart from those of noise.


class Measurement(NamedTuple):
    """y = f(x) + σ_y ε, f affine."""

    forward: Callable[[Any], Any]
    """f, from samples (n, …) as they are noised to measurements (n, …)."""

    value: Any
    """y (1, …)."""

    noise: float
    """σ_y."""

    iterations: int = 10
    """Conjugate gradients that invert the measurement's covariance: one is exact for a mask or for means of pixels."""


class _Look(NamedTuple):
    """What is known at z (n, …)."""

    clean: Any  # x̂
    log_p: Any  # log p̂(y | z), up to a constant, (n,)
    pull: Any  # its slope in z
    met: Any  # x̂ moved to the measurement


def posterior(
    denoise: Denoise, walk: Walk, keys: Any, held: Any, shape: tuple[int, ...], measured: Measurement, particles: int
) -> Any:
    """Return samples (n, *shape) of p(x | y), each the end of `particles` particles of its own.

    Args:
        denoise: `denoise(z, t, held)` -> x̂.
        walk: the levels to visit, best with the spacing "log_snr".
        keys: per-sample keys (n, 2).
        held: dict of arrays (n, …) handed on to `denoise`.
        shape: of one sample.
        measured: what is known of x.
        particles: 1 or more; the error of the law falls with their number.
    """
    n = keys.shape[0]

    def step(i: Any, state: State) -> State:
        i = ops.cast(i, "int32")
        at, to = walk.level(i), walk.level(i + 1)
        look = _look(denoise, measured, state["z"], at, state)
        fates = random.uniform(random.fold(random.fold(state["keys"], i), _RESAMPLING), (1,))
        rows, logs = _resampled(state["owed"] + ops.reshape(look.log_p, (n, particles)), fates)
        z, x, log_p, pull = (ops.take(each, rows, axis=0) for each in (state["z"], *look[:3]))
        deviation = ancestral_deviation(to.alpha, to.sigma, at.alpha, at.sigma)
        kept = ops.sqrt(ops.maximum(to.sigma * to.sigma - deviation * deviation, 0.0))
        # z_s is ancestral, of E[x | z, y] = x̂ + σ²/α ∇ log p̂(y | z) in the place of x̂.
        share = to.alpha - kept * at.alpha / at.sigma
        drift = share * at.sigma * at.sigma / at.alpha * pull
        noise = deviation * ops.reshape(random.normal(random.fold(state["keys"], i), (particles, *shape)), z.shape)
        # log p(z_s | z) - log p(z_s | z, y), normals of one deviation whose means are a drift apart.
        against = -per_sample(drift * drift + 2.0 * drift * noise) / (2.0 * deviation * deviation)
        z = to.alpha * x + kept * (z - at.alpha * x) / at.sigma + drift + noise
        return {**state, "z": z, "owed": logs + ops.reshape(against - log_p, (n, particles))}

    z = ops.reshape(prior(walk.process, keys, (particles, *shape)), (-1, *shape))
    held = {name: ops.repeat(value, particles, axis=0) for name, value in (held or {}).items()}
    state = {"z": z, "keys": keys, "held": held, "owed": ops.zeros((n, particles))}
    state = backend.loop(step, walk.steps - 1, state)
    look = _look(denoise, measured, state["z"], walk.level(walk.steps - 1), state)
    logs = state["owed"] + ops.reshape(look.log_p, (n, particles))
    one = _places(logs, random.uniform(random.fold(keys, _CHOICE), (1,)))
    return ops.take(look.met, one[:, 0] + particles * ops.arange(n, dtype="int32"), axis=0)


def _look(denoise: Denoise, measured: Measurement, z: Any, level: Level, state: State) -> _Look:
    x = clean(denoise, z, level, state)
    spread = level.ratio * level.ratio / (1.0 + level.ratio * level.ratio)

    def transposed(u: Any) -> Any:
        return backend.grad(lambda x: per_sample(measured.forward(x) * u))(x)

    def covariance(u: Any) -> Any:
        return measured.noise**2 * u + spread * backend.jvp(measured.forward, (x,), (transposed(u),))[1]

    error = measured.value - measured.forward(x)
    u = ops.stop_gradient(_solved(covariance, error, measured.iterations))
    pull = backend.grad(lambda z: per_sample(measured.forward(clean(denoise, z, level, state)) * u))(z)
    return _Look(x, -0.5 * per_sample(error * u), pull, x + spread * transposed(u))


def _solved(matrix: Callable[[Any], Any], b: Any, iterations: int) -> Any:
    """Return the u with `matrix(u)` = b (n, …) for each sample, by conjugate gradients (Hestenes and Stiefel 1952)."""
    each = (-1,) + (1,) * (len(b.shape) - 1)

    def along(one: Any, other: Any) -> Any:
        return ops.reshape(per_sample(one * other), each)

    u, rest, direction = ops.zeros_like(b), b, b
    for _ in range(iterations):
        image, square = matrix(direction), along(rest, rest)
        length = square / ops.maximum(along(direction, image), 1e-30)
        u, rest = u + length * direction, rest - length * image
        direction = rest + along(rest, rest) / ops.maximum(square, 1e-30) * direction
    return u


def _resampled(logs: Any, uniform: Any) -> tuple[Any, Any]:
    """Return which row goes on in each row's place, and the log weights (n, particles) then.

    Systematically, and only where the effective number of particles is below half of them (Wu et al. 2023, app. A).
    """
    n, particles = logs.shape
    stay = ops.broadcast_to(ops.arange(particles, dtype="int32"), (n, particles))
    weights = _weights(logs)
    scarce = ops.sum(weights * weights, axis=-1, keepdims=True) * particles > 2.0
    places = (uniform + ops.arange(particles, dtype="float32")) / particles
    rows = ops.where(scarce, _places(logs, places), stay) + particles * ops.arange(n, dtype="int32")[:, None]
    return ops.reshape(rows, (-1,)), ops.where(scarce, 0.0, logs)


def _weights(logs: Any) -> Any:
    """Return a softmax; Keras's own warns of one particle alone."""
    weights = ops.exp(logs - ops.max(logs, axis=-1, keepdims=True))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def _places(logs: Any, shares: Any) -> Any:
    """Return the particle (n, k) at each share (n, k) of the cumulative weights."""
    edges = ops.cumsum(_weights(logs), axis=-1)
    found = ops.sum(ops.cast(edges[:, None, :] < shares[:, :, None], "int32"), axis=-1)
    return ops.cast(ops.minimum(found, logs.shape[1] - 1), "int32")
