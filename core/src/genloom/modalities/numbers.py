"""Signals and tables: numbers with or without an order in time."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from genloom.modalities.drawing import checked, lines, scatter
from genloom.modalities.modality import Modality

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec
    from genloom.modalities.modality import Writer

__all__ = ["SIGNAL", "TABLE"]


class _Signal(Modality):
    """Values over time."""

    plane: ClassVar[bool] = True
    """Whether two columns are places in a plane."""

    def pictured(self, spec: DataSpec) -> bool:
        """All have one."""
        return True

    def picture(
        self,
        samples: np.ndarray[Any, Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: np.ndarray[Any, Any] | None = None,
    ) -> Image:
        """Draw points in the plane as such, and a line for each sample otherwise."""
        samples = checked(samples, spec)
        return scatter(samples, spec, plane=self.plane) if self._flat(spec) else lines(samples, spec)

    def _flat(self, spec: DataSpec) -> bool:
        return spec.shape == (2,)

    def ending(self, drawn: Samples) -> str:
        """Return that of a table."""
        return ".csv"

    def writers(self) -> Mapping[str, Writer]:
        """Write a table, a row per sample."""
        return {".csv": _rows}


class _Table(_Signal):
    plane = False

    def _flat(self, spec: DataSpec) -> bool:
        return len(spec.shape) == 1 and spec.shape[0] >= 2


def _rows(drawn: Samples) -> bytes:
    """One row per sample, its class last; a header names the columns."""
    flat = drawn.samples.reshape(len(drawn.samples), -1)  # (n, features)
    names = drawn.spec.columns if len(drawn.spec.columns) == flat.shape[1] else [f"x{i}" for i in range(flat.shape[1])]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *([] if drawn.labels is None else ["label"])])
    for index, row in enumerate(flat.tolist()):
        writer.writerow([*row, *([] if drawn.labels is None else [drawn.spec.class_name(drawn.labels[index])])])
    return text.getvalue().encode()


#: Signals (time,), (time, channels), or points in the plane.
SIGNAL = _Signal()
#: Rows of a table (columns,).
TABLE = _Table()
