"""From terms to numbers per sample."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["per_sample"]


def per_sample(terms: Any) -> Any:
    """Return the sum over all axes but the first: (n, …) → (n,)."""
    return ops.sum(terms, axis=tuple(range(1, len(terms.shape)))) if len(terms.shape) > 1 else terms
