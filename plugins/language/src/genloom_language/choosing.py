"""Which token comes next: what is left out of the distribution, and the draw from the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from genloom import option, random
from genloom.errors import ConfigError

__all__ = ["Rules", "choose", "kept", "penalised"]

_NEVER = -1e30
_ROUNDING = 1e-6  # of sums of float32, relative: some ten units in the last place


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a token is chosen: rules in the order in which they apply, each to what the one before it left.

    Of tokens that are equally good for a rule, those of lower numbers come first.

    Attributes:
        repetition: what the logits of tokens that occurred are divided by, or multiplied where they are negative; 1
            changes nothing (Keskar et al. 2019, equation 1).
        temperature: divides the logits; 0 takes the likeliest token, whatever the rules below say.
        top_k: draw from the k likeliest tokens only; 0 for all (Fan et al. 2018).
        top_p: draw from the fewest likeliest tokens that together have this probability (Holtzman et al. 2020).
        min_p: leave out tokens less likely than this share of the likeliest (Nguyen et al. 2025).
        typical: draw from the fewest tokens whose surprise is nearest to the expected one and that together have this
            probability (Meister et al. 2023).

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
        wrong |= {name: getattr(self, name) for name in ("temperature", "top_k") if not getattr(self, name) >= 0}
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
    """Return logits (n, vocabulary) with those of tokens that are not to be drawn far below all others.

    Each rule sees what the one before it left, whose probabilities add up to 1 again: top_k, top_p, min_p, typical.
    """
    if rules.top_k or rules.top_p < 1:
        logits = ops.where(_likeliest(logits, rules.top_k, rules.top_p), logits, _NEVER)
    if rules.min_p:
        p = ops.softmax(logits, axis=-1)
        logits = ops.where(ops.less(p, rules.min_p * ops.max(p, axis=-1, keepdims=True)), _NEVER, logits)
    if rules.typical < 1:
        logits = ops.where(_typical(logits, rules.typical), logits, _NEVER)
    return logits


def _likeliest(logits: Any, k: int, share: float) -> Any:
    """Return which tokens (n, vocabulary) are among the k likeliest, and the fewest of those that reach the share."""
    order = ops.argsort(-logits, axis=-1)
    best = ops.take_along_axis(logits, order, axis=-1)[:, : k or None]
    count = int(best.shape[1]) if share == 1 else _fewest(ops.softmax(best, axis=-1), share)
    return _among(order, count)


def _typical(logits: Any, share: float) -> Any:
    """Return which tokens (n, vocabulary) are the fewest that reach the share, by |−log p − H|, the least first."""
    log_p = ops.log_softmax(logits, axis=-1)
    p = ops.exp(log_p)
    entropy = -ops.sum(p * log_p, axis=-1, keepdims=True)
    order = ops.argsort(ops.abs(-log_p - entropy), axis=-1)
    return _among(order, _fewest(ops.take_along_axis(p, order, axis=-1), share))


def _fewest(p: Any, share: float) -> Any:
    """Return how many of the first p (n, m) it takes to reach a share, int32 (n, 1)."""
    before = ops.cumsum(p, axis=-1)[:, :-1]
    # A sum of float32 that should be the share may lie below it.
    return 1 + ops.sum(ops.cast(ops.less(before, share * (1 - _ROUNDING)), "int32"), axis=-1, keepdims=True)


def _among(order: Any, count: Any) -> Any:
    """Return which tokens (n, vocabulary) are among the first `count` of an order, in which equals stand by number."""
    return ops.less(ops.argsort(order, axis=-1), count)
