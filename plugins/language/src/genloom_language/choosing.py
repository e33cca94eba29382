"""Which token comes next: what is left out of the distribution, and the draw from the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from genloom import option, random
from genloom.errors import ConfigError

__all__ = ["Rules", "choose", "kept", "penalised"]

_NEVER = -1e30


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a token is chosen.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: draw from the k likeliest tokens only; 0 for all (Fan et al. 2018).
        top_p: draw from the likeliest tokens that together have this probability (Holtzman et al. 2020).
        min_p: leave out tokens less likely than this share of the likeliest (Nguyen et al. 2025).
        typical: draw from the tokens whose surprise is nearest to the expected one and that together have this
            probability (Meister et al. 2023).
        repetition: what the logits of tokens that occurred are divided by, or multiplied where they are negative; 1
            changes nothing (Keskar et al. 2019, equation 1).

    Raises:
        ConfigError: a value out of range.
    """

    temperature: float = option(1.0, "divides the logits; 0 takes the likeliest token")
    top_k: int = option(0, "likeliest tokens that may be drawn, 0 for all")
    top_p: float = option(1.0, "probability of the likeliest tokens that may be drawn")
    min_p: float = option(0.0, "least probability, as a share of the likeliest token's")
    typical: float = option(1.0, "probability of the most typical tokens that may be drawn")
    repetition: float = option(1.0, "penalty of tokens that occurred already, 1 for none")

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("top_p", "typical")}
        wrong = {name: value for name, value in shares.items() if not 0 < value <= 1}
        wrong |= {name: getattr(self, name) for name in ("temperature", "top_k") if getattr(self, name) < 0}
        wrong |= {} if 0 <= self.min_p <= 1 else {"min_p": self.min_p}
        wrong |= {} if self.repetition > 0 else {"repetition": self.repetition}
        for name, value in wrong.items():
            raise ConfigError(f"{name}={value} is out of range.", mend="Shares lie in (0, 1], others are not negative.")


def choose(keys: Any, logits: Any, rules: Rules) -> Any:
    """Return tokens int32 (n,) drawn from logits (n, vocabulary) by keys (n, 2)."""
    if rules.temperature == 0:
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
    return ops.cast(random.categorical(keys, kept(logits / rules.temperature, rules)), "int32")


def penalised(logits: Any, seen: Any, rules: Rules) -> Any:
    """Return logits (n, vocabulary) with those of tokens that were seen, (n, vocabulary) above 0, pushed down."""
    lower = ops.where(ops.greater(logits, 0), logits / rules.repetition, logits * rules.repetition)
    return ops.where(ops.greater(seen, 0), lower, logits)


def kept(logits: Any, rules: Rules) -> Any:
    """Return logits (n, vocabulary) with those of tokens that are not to be drawn far below all others."""
    p = ops.softmax(logits, axis=-1)
    if rules.top_k or rules.top_p < 1 or rules.min_p:
        logits = ops.where(ops.less(p, _least(p, rules)), _NEVER, logits)
    if rules.typical < 1:
        logits = ops.where(_typical(p, rules.typical), logits, _NEVER)
    return logits


def _least(p: Any, rules: Rules) -> Any:
    """Return the probability (n, 1) below which tokens are left out."""
    ordered = ops.flip(ops.sort(p, axis=-1), axis=-1)  # the likeliest first
    least = ops.zeros_like(ordered[:, :1])
    if rules.top_k:
        least = ops.maximum(least, ordered[:, min(rules.top_k, int(p.shape[-1])) - 1, None])
    if rules.top_p < 1:
        least = ops.maximum(least, ops.min(_until(ordered, ordered, rules.top_p, 1.0), axis=-1, keepdims=True))
    if rules.min_p:
        least = ops.maximum(least, rules.min_p * ordered[:, :1])
    return least


def _typical(p: Any, share: float) -> Any:
    """Return which tokens (n, vocabulary) are typical: |−log p − H| no larger than the share needs."""
    surprise = -ops.log(ops.maximum(p, 1e-30))
    entropy = ops.sum(p * surprise, axis=-1, keepdims=True)
    distance = ops.abs(surprise - entropy)
    order = ops.argsort(distance, axis=-1)
    ordered_p, ordered_distance = ops.take_along_axis(p, order, axis=-1), ops.take_along_axis(distance, order, axis=-1)
    widest = ops.max(_until(ordered_p, ordered_distance, share, -1.0), axis=-1, keepdims=True)
    return ops.less_equal(distance, widest)


def _until(p: Any, values: Any, share: float, otherwise: float) -> Any:
    """Return the values of the first tokens whose probabilities reach a share, the one that passes it among them."""
    before = ops.cumsum(p, axis=-1) - p
    return ops.where(ops.less(before, share), values, otherwise)
