"""`Samples`: arrays with what they are, what they are of, and the seeds that draw them again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.data.order import drawn_rows
from genloom.data.spec import DataSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["Samples"]

_NAMED = 4  # classes that a short description names


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Samples:
    """What `genloom.sample` returns, post-processors turn into other samples, and metrics measure.

    Attributes:
        samples: (n, *spec.shape) in `spec.value_range`; float32, or int32 for tokens.
        spec: what one sample is.
        labels: int32 (n,), the true class of real samples, the one that was asked for of generated ones; None without.
        seeds: int64 (n, 2): the seed and the number of each sample, which draw it again; (n,) numbers for samples that
            were not drawn; None for real samples, and once several were put together.
        evaluations: network evaluations per sample, None when the model does not say.
        seconds: wall time.
        compile_seconds: part of it that was the first call of a new compiled function, 0 when there was none.
        step: training steps of the weights that drew them, None for a model that no run was loaded into.
        columns: images per row of a picture, where rows have a meaning, such as a walk from one sample to another.
    """

    samples: np.ndarray[Any, Any]
    spec: DataSpec
    labels: np.ndarray[Any, Any] | None = None
    seeds: np.ndarray[Any, Any] | None = None
    evaluations: int | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0
    columns: int | None = None
    step: int | None = None

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

    def subset(self, n: int | None, seed: int = 0) -> Samples:
        """Return at most n samples chosen by seed, all for None: the order that samples lie in does not show."""
        return self if n is None or n >= len(self) else self.take(drawn_rows(len(self), n, seed))

    def save(self, path: str | Path) -> Path:
        """Write the samples by the ending of `path`, as `genloom sample --out` does, and return the path.

        .png is one picture, .npz the arrays `samples`, `labels`, `seeds` and `class_names`, .gif an animation, .csv a
        table, .txt the texts; a folder, absent or empty, gets one file each, its number and class in the name.

        Raises:
            ConfigError: an ending that is unknown or that this kind of data does not have, or a folder that is not
                empty.
        """
        from genloom.modalities.writing import write

        return write(self, path)

    def grid(self) -> Image:
        """Return one picture of all samples, as .png holds it: labelled images stand in the order of their classes.

        Raises:
            ConfigError: no samples, or a kind without a picture, such as text.
        """
        from genloom.modalities.writing import picture_of

        return picture_of(self)

    def _repr_png_(self) -> bytes | None:
        """Show the picture in a notebook."""
        from genloom.modalities import pictured
        from genloom.modalities.drawing import to_bytes

        return to_bytes(self.grid()) if len(self) and pictured(self.spec) else None

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.samples.shape[1:]))
        parts = [f"{len(self)} of kind {self.spec.kind}", shape, *self._labels_told(), *self._seeds_told()]
        return f"Samples({', '.join(parts)})"

    def _labels_told(self) -> list[str]:
        if self.labels is None or not len(self):
            return []
        found = np.unique(self.labels)
        if self.spec.class_names and len(found) <= _NAMED:
            return ["labels " + "/".join(self.spec.class_names[label] for label in found)]
        return [f"labels {_span(found)}"]

    def _seeds_told(self) -> list[str]:
        if self.seeds is None or not len(self):
            return []
        if self.seeds.ndim == 1:
            return [f"numbers {_span(self.seeds)}"]
        return [f"seed {_span(self.seeds[:, 0])}", f"numbers {_span(self.seeds[:, 1])}"]


def _span(values: np.ndarray[Any, Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"
