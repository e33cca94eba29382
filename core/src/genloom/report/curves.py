"""Losses over training as drawings that take their colours from the page, light or dark."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.runs import Run

__all__ = ["Line", "Panel", "epoch_means", "loss_panels", "panel", "shared_panels"]

# matplotlib wants colours; these stand for the page's variables and are replaced in the drawing.
INK, RULE = "#0a0b01", "#0a0b02"
SERIES = tuple(f"#0a0b{index + 16:02x}" for index in range(8))
VARIABLES = {INK: "var(--muted)", RULE: "var(--rule)", **{c: f"var(--s{i})" for i, c in enumerate(SERIES)}}
RATES = "learning rate"
MOST_PANELS = 32  # each takes a moment to draw; a model has a handful of losses
WIDE_RATIO = 100  # a loss that spans more than two decades is drawn on a logarithmic axis


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: its name, its steps, its values, its colour 0 … 7, and whether it is held-out data."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    colour: int = 0
    held_out: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """One drawing: a title, SVG markup and (label, colour, held out) for its legend."""

    title: str
    svg: str
    legend: list[tuple[str, int, bool]]


def loss_panels(run: Run) -> list[Panel]:
    """Draw each loss of a run, training next to held-out data, and the learning rates."""
    entries = list(run.log())
    losses, rates = epoch_means(entries, "losses"), epoch_means(entries, "rates")
    names = list(dict.fromkeys(name.removeprefix("val_") for name in losses))
    names = sorted(names, key=lambda name: not name.endswith("loss"))[:MOST_PANELS]
    panels = []
    for name in names:
        pairs = [("training", losses.get(name), 0, False), ("held out", losses.get(f"val_{name}"), 1, True)]
        panels.append(panel(name, [Line(label, *curve, c, held) for label, curve, c, held in pairs if curve]))
    if rates:
        shown = list(rates.items())[:MOST_PANELS]
        panels.append(panel(RATES, [Line(name, *curve, i % 8) for i, (name, curve) in enumerate(shown)]))
    return panels


def shared_panels(runs: Mapping[str, Sequence[Run]]) -> list[Panel]:
    """Draw one panel per model with its main losses; every seed is a line of the same colour."""
    panels = []
    for model, members in runs.items():
        lines: list[Line] = []
        for run in members:
            losses = epoch_means(run.log(), "losses")
            main = [n for n in losses if n.endswith("loss") and (n.startswith("val_") or not n.endswith("val_loss"))]
            bases = list(dict.fromkeys(name.removeprefix("val_") for name in main or losses))
            for name in list(main or losses)[:MOST_PANELS]:
                base = name.removeprefix("val_")
                lines.append(Line(base, *losses[name], bases.index(base) % 8, name != base))
        if lines:
            panels.append(panel(model, lines))
    return panels


def panel(title: str, lines: Sequence[Line]) -> Panel:
    """Draw lines in one pair of axes."""
    legend = list(dict.fromkeys((line.label, line.colour, line.held_out) for line in lines))
    return Panel(title, _drawn(title, lines), legend)


def epoch_means(entries: Iterable[Mapping[str, Any]], key: str) -> dict[str, tuple[list[float], list[float]]]:
    """Return name → (steps, values), one point per epoch: the mean of its lines at its last step."""
    groups: dict[str, dict[Any, list[tuple[float, float]]]] = {}
    for entry in entries:
        step, table = entry.get("step"), entry.get(key)
        if not isinstance(step, (int, float)) or not isinstance(table, dict):
            continue
        for name, value in table.items():
            if isinstance(value, (int, float)):
                groups.setdefault(str(name), {}).setdefault(entry.get("epoch", step), []).append((step, value))
    return {
        name: (
            [max(step for step, _ in points) for points in epochs.values()],
            [sum(value for _, value in points) / len(points) for points in epochs.values()],
        )
        for name, epochs in groups.items()
    }


def _drawn(title: str, lines: Sequence[Line]) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9}):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for line in lines:
            (drawn,) = axes.plot(line.steps, line.values, color=SERIES[line.colour], linewidth=1.6)
            drawn.set_linestyle((0, (4, 2)) if line.held_out else "solid")
            drawn.set_marker("o" if len(line.steps) == 1 else "")
        _dress(axes, [value for line in lines for value in line.values], title != RATES)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue())


def _dress(axes: Any, values: Sequence[float], logarithmic: bool) -> None:
    """Leave of the axes what is read: pale horizontal rules, few ticks, no box."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    if logarithmic and values and min(values) > 0 and max(values) > WIDE_RATIO * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 10_000 else f"{step:g}")
    )
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("step", color=INK, fontsize=8, loc="right")


def _inline(svg: str) -> str:
    """Return the <svg> element alone, sized by the page, coloured by its variables, without ids that may clash."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick)_?\d*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.strip()
