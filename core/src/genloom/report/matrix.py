"""A matrix of scores as a picture: rows are moments, columns are data sets, colour is how good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["matrix_picture"]


def matrix_picture(
    matrix: Sequence[Sequence[float]],
    columns: Sequence[str],
    measure: str,
    lower_is_better: bool,
    rows: Sequence[str] | None = None,
) -> Image:
    """Draw a matrix whose columns are coloured each by its own best (light) and worst (dark).

    Args:
        matrix: scores, NaN where nothing was measured; each row as long as `columns`.
        columns: names of what was scored.
        measure: what the numbers are.
        lower_is_better: which way is good.
        rows: names of the moments; "untrained" and "after NAME" of each column by default.
    """
    import io

    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    values = np.asarray(matrix, np.float64)
    names = list(rows) if rows is not None else ["untrained", *(f"after {name}" for name in columns)]
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    goodness = (values - low) / np.where(high > low, high - low, 1.0)
    goodness = np.nan_to_num(1.0 - goodness if lower_is_better else goodness)
    figure = Figure(figsize=(2.2 + 1.25 * len(columns), 1.1 + 0.5 * len(names)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(goodness, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            ink = "black" if goodness[i, j] > 0.55 else "white"
            axes.text(j, i, "" if np.isnan(value) else f"{value:.3g}", ha="center", va="center", color=ink, fontsize=10)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(names)), names)
    axes.set_title(f"{measure}, {'lower' if lower_is_better else 'higher'} is better", fontsize=10)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    FigureCanvasAgg(figure)  # draws without a screen
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
