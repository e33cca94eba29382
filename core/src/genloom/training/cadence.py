"""How often something happens: an object to ask, `if due(step):`."""

from __future__ import annotations

import dataclasses

__all__ = ["Every"]


@dataclasses.dataclass(frozen=True)
class Every:
    """True for every `period`-th count.

    Attributes:
        period: counts between two events, 0 for never.
    """

    period: int

    def __call__(self, count: int, since: int = 1) -> bool:
        """Say whether the event is due at `count` (steps or epochs finished, from 1 on) or in the `since` up to it."""
        return self.period > 0 and count > 0 and count // self.period > (count - since) // self.period
