"""A matrix of scores as a picture: rows are moments, columns are data sets, colour is how good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from genloom.report.numerals import number

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Matrix", "matrix_picture"]

_CELL, _LINE, _LETTER = 96, 34, 7.2  # pixels: width and height of a cell, width of a letter of 13 pixels
_FAINT, _FULL = 0.06, 0.5  # opacity of the worst and of the best cell: the page's ink stays readable on both


class Matrix:
    """Scores over moments and data sets, drawn as SVG in the page's own colours.

    Args:
        scores: NaN where nothing was measured; each row as long as `columns`.
        columns: names of what was scored.
        measure: what the numbers are.
        lower_is_better: which way is good.
        rows: names of the moments; "untrained" and "after NAME" of each column by default.
    """

    def __init__(
        self,
        scores: Sequence[Sequence[float]],
        columns: Sequence[str],
        measure: str,
        lower_is_better: bool,
        rows: Sequence[str] | None = None,
    ) -> None:
        self.scores, self.columns = [[float(value) for value in row] for row in scores], list(columns)
        self.rows = list(rows) if rows is not None else ["untrained", *(f"after {name}" for name in columns)]
        self.title = f"{measure}, {'lower' if lower_is_better else 'higher'} is better"
        self.lower_is_better = lower_is_better

    @property
    def goodness(self) -> list[list[float]]:
        """Each score between the worst (0) and the best (1) of its column; NaN where there is no number."""
        columns = [_scaled(column, self.lower_is_better) for column in zip(*self.scores, strict=True)]
        return [list(row) for row in zip(*columns, strict=True)]

    @property
    def svg(self) -> str:
        """The drawing: text is escaped, colours are the page's variables, nothing outside it is referred to."""
        left = 16 + _LETTER * max(map(len, self.rows), default=0)
        cell = max(_CELL, 16 + _LETTER * max(map(len, self.columns), default=0))
        width, height = left + cell * len(self.columns), _LINE * (len(self.rows) + 1)
        parts = [*self._names(left, cell), *self._cells(left, cell)]
        head = f'<svg class="matrix" role="img" viewBox="0 0 {width:g} {height:g}" style="width: {width:g}px">'
        return f"{head}<title>{_escaped(self.title)}</title>{''.join(parts)}</svg>"

    def _names(self, left: float, cell: float) -> Iterator[str]:
        for j, name in enumerate(self.columns):
            yield _text(left + cell * (j + 0.5), _LINE * 0.5, name, "muted")
        for i, name in enumerate(self.rows):
            yield _text(left - 12, _LINE * (i + 1.5), name, "muted", "end")

    def _cells(self, left: float, cell: float) -> Iterator[str]:
        for i, (row, good) in enumerate(zip(self.scores, self.goodness, strict=True)):
            for j, (value, share) in enumerate(zip(row, good, strict=True)):
                x, y = left + cell * j, _LINE * (i + 1)
                if math.isfinite(value):
                    yield (
                        f'<rect x="{x + 1:g}" y="{y + 1:g}" width="{cell - 2:g}" height="{_LINE - 2}" rx="3" '
                        f'fill="var(--s0)" fill-opacity="{_FAINT + (_FULL - _FAINT) * share:.3f}"/>'
                    )
                yield _text(x + cell / 2, y + _LINE / 2, number(value), "ink")


def _scaled(column: Sequence[float], lower_is_better: bool) -> list[float]:
    known = [value for value in column if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    shares = [(value - low) / ((high - low) or 1.0) if math.isfinite(value) else math.nan for value in column]
    return [1.0 - share if lower_is_better else share for share in shares]


def _text(x: float, y: float, text: str, colour: str, anchor: str = "middle") -> str:
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}" dominant-baseline="central"'
    return f'<text {place} font-size="13" fill="var(--{colour})">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    import html

    return html.escape(text)


def matrix_picture(matrix: Matrix) -> Image:
    """Draw a matrix as a picture of its own: each column from its worst (dark) to its best (light); hatched is none."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from PIL import Image

    size = (2.2 + 1.25 * len(matrix.columns), 1.1 + 0.5 * len(matrix.rows))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(matrix.goodness, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    for i, (row, goodness) in enumerate(zip(matrix.scores, matrix.goodness, strict=True)):
        for j, (value, good) in enumerate(zip(row, goodness, strict=True)):
            if math.isnan(good):
                axes.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="///", edgecolor="0.8", linewidth=0)
                )
            _write(axes, i, j, value, "white" if good <= 0.55 else "black")
    axes.set_xticks(range(len(matrix.columns)), matrix.columns)
    axes.set_yticks(range(len(matrix.rows)), matrix.rows)
    axes.set_title(matrix.title, fontsize=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    FigureCanvasAgg(figure)  # draws without a screen
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _write(axes: Any, i: int, j: int, value: float, ink: str) -> None:
    text = "" if math.isnan(value) else f"{value:.3g}"
    axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=10)
