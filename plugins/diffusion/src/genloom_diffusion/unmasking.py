"""Samplers of masked tokens, all with one signature: `sampler(predict, plan, z, keys)` -> tokens.

`predict(z) -> logits` (n, length, vocabulary) predicts every token of z (n, length), where `plan.mask` stands for those
that are not known. A sampler puts tokens in the place of masks and never changes a token again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import backend, random
from genloom_diffusion.masking import Schedule, first

__all__ = ["SAMPLERS", "Plan", "ancestral", "confidence", "drawn", "shuffled"]

Predict = Callable[[Any], Any]
Reveal = Callable[[Any, Any, Any, Any], Any]

_TOKENS, _PLACES = 0, 1  # of each step two draws
_HALF = 0.499  # rounds to the nearest; a tie falls the same way on every engine


@dataclasses.dataclass(frozen=True)
class Plan:
    """How masks turn into tokens.

    Args:
        schedule: the share that is still masked at each time.
        steps: times at which the network is asked.
        mask: the number that stands for a masked token.
        temperature: divides the logits; 0 takes the likeliest token.
        hesitation: of the sampler "confidence", noise of the order at the beginning, falling to 0.
    """

    schedule: Schedule
    steps: int
    mask: int
    temperature: float = 1.0
    hesitation: float = 0.0

    def share(self, i: Any) -> Any:
        """Return the masked share (scalar) after i steps."""
        return self.schedule.share((self.steps - ops.cast(i, "float32")) / self.steps)


def drawn(keys: Any, logits: Any, temperature: float) -> Any:
    """Draw a token at every place, int32 (n, length), from logits (n, length, vocabulary).

    By one uniform number for each: the maximum of many Gumbel numbers in float32 would favour likely tokens (Zheng et
    al. 2025, sec. 4).
    """
    if temperature == 0.0:
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
    below = ops.cumsum(ops.softmax(logits / temperature, axis=-1), axis=-1)
    u = random.uniform(keys, (int(logits.shape[1]), 1)) * below[..., -1:]  # rounding leaves a sum beside 1
    return ops.sum(ops.cast(ops.less_equal(below[..., :-1], u), "int32"), axis=-1)


def _unmasked(reveal: Reveal, predict: Predict, plan: Plan, z: Any, keys: Any) -> Any:
    """Ask the network `steps` times; of its tokens put those in that `reveal(i, logits, tokens, state)` chooses."""

    def step(i: Any, state: dict[str, Any]) -> dict[str, Any]:
        i = ops.cast(i, "int32")
        z, logits = state["z"], predict(state["z"])
        tokens = drawn(random.fold(state["keys"], 2 * i + _TOKENS), logits, plan.temperature)
        shown = ops.logical_and(reveal(i, logits, tokens, state), ops.equal(z, plan.mask))
        return {**state, "z": ops.where(shown, tokens, z)}

    masked = ops.sum(ops.cast(ops.equal(z, plan.mask), "float32"), axis=-1)  # (n,)
    return backend.loop(step, plan.steps, {"z": z, "keys": keys, "masked": masked})["z"]


def _places(i: Any, state: dict[str, Any]) -> Any:
    """Draw a uniform number for each place (n, length)."""
    return random.uniform(random.fold(state["keys"], 2 * i + _PLACES), (int(state["z"].shape[1]),))


def ancestral(predict: Predict, plan: Plan, z: Any, keys: Any) -> Any:
    """Sample z_s from the reverse process: a mask stays with probability m(s)/m(t) (Sahoo et al. 2024, eq. 7).

    Args:
        predict: `predict(z)` -> logits.
        plan: how many steps, and at which times.
        z: int32 (n, length), the mask where tokens are to be drawn.
        keys: per-sample keys (n, 2).
    """

    def reveal(i: Any, logits: Any, tokens: Any, state: dict[str, Any]) -> Any:
        return ops.greater_equal(_places(i, state), plan.share(i + 1) / plan.share(i))

    return _unmasked(reveal, predict, plan, z, keys)


def _known(i: Any, plan: Plan, state: dict[str, Any], order: Any) -> Any:
    """Return which places are known after step i: those that are, and the first others of an order (n, length)."""
    left = ops.floor(state["masked"] * plan.share(i + 1) + _HALF)  # (n,)
    known = ops.not_equal(state["z"], plan.mask)
    return first(int(state["z"].shape[1]) - left, ops.where(known, -1e30, order))


def shuffled(predict: Predict, plan: Plan, z: Any, keys: Any) -> Any:
    """Unmask at random places, at each step as many as the schedule says.

    With one step for each masked token no two are drawn at once, so that exact predictions give exact samples, as the
    first-hitting sampler does (Zheng et al. 2025, algorithm 1).
    """

    def reveal(i: Any, logits: Any, tokens: Any, state: dict[str, Any]) -> Any:
        return _known(i, plan, state, _places(i, state))

    return _unmasked(reveal, predict, plan, z, keys)


def confidence(predict: Predict, plan: Plan, z: Any, keys: Any) -> Any:
    """Unmask those tokens first of whose draw the network is surest (Chang et al. 2022, sec. 3.2), so many as above."""

    def reveal(i: Any, logits: Any, tokens: Any, state: dict[str, Any]) -> Any:
        log_p = ops.log_softmax(logits / (plan.temperature or 1.0), axis=-1)
        sure = ops.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
        gumbel = -ops.log(1e-9 - ops.log(_places(i, state)))  # of a uniform that may round to 1
        return _known(i, plan, state, -(sure + plan.hesitation * plan.share(i + 1) * gumbel))

    return _unmasked(reveal, predict, plan, z, keys)


SAMPLERS: dict[str, Callable[..., Any]] = {
    "ancestral": ancestral,
    "random": shuffled,
    "confidence": confidence,
}
