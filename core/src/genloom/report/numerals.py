"""Numbers as a reader wants them: four significant digits, thin separators, durations in words."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["ABSENT", "count", "duration", "number"]

ABSENT = "–"
_UNCOUNTABLE = 1e18


def number(value: Any, like: float | None = None) -> str:
    """Return about four significant digits: "0.0123", "12.30", "12,345"; a dash for None and NaN.

    Args:
        value: the number.
        like: write as many decimals as this one gets, for a deviation beside its mean.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return ABSENT
    size = abs(value if like is None else like)
    if size != 0 and not 1e-4 <= size < 1e7:
        return f"{value:.2e}".replace("-", "−")
    digits = 3 if size < 1 else max(0, 3 - int(math.log10(size)))
    if 0 < size < 0.1:
        digits = 4
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return text.replace("-", "−")


def count(value: Any) -> str:
    """Return a whole number with separators, a dash for anything else, zero or what nobody can count."""
    return f"{int(value):,}" if isinstance(value, (int, float)) and 0 < abs(value) < _UNCOUNTABLE else ABSENT


def duration(seconds: Any) -> str:
    """Return seconds as "42 s", "3 min 20 s" or "2 h 5 min"."""
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
