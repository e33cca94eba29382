"""`Samples`: arrays with what they are, what they were asked to be, and the seeds that draw them again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.data.spec import DataSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Samples"]


@dataclasses.dataclass(frozen=True)
class Samples:
    """What `genloom.sample` returns, and what post-processors turn into other samples.

    Attributes:
        samples: (n, *spec.shape) in `spec.value_range`; float32, or int32 for tokens.
        labels: int32 (n,), or None when the model takes no labels.
        seeds: int64 (n, 2): the seed and the number of each sample, which draw it again; (n,) numbers for samples that
            were not drawn; None once several were put together.
        spec: what one sample is.
        evaluations: network evaluations per sample, None when the model does not say.
        seconds: wall time.
        compile_seconds: part of it that was the first call of a new compiled function, 0 when there was none.
    """

    samples: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None
    seeds: np.ndarray[Any, Any] | None
    spec: DataSpec
    evaluations: int | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.samples)

    def replace(self, **changes: Any) -> Samples:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> Samples:
        """Return the samples at `rows`, numbers (k,) or a mask (n,), with their labels and seeds."""
        chosen = np.asarray(rows, dtype=None if len(rows) else np.intp)
        parts = {name: getattr(self, name) for name in ("samples", "labels", "seeds")}
        return self.replace(**{name: None if part is None else part[chosen] for name, part in parts.items()})
