"""Reports: a run directory, or several compared, as one HTML file that needs nothing outside itself.

Reading only run directories, this package imports neither Keras nor an engine; matplotlib, Jinja and Pillow are
imported when a report is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.plugins.offers import Section

if TYPE_CHECKING:
    from genloom.runs import Run

__all__ = ["Section", "rendered", "write", "write_comparison"]


def write(
    run_or_runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path | None = None,
    sections: Sequence[Section | tuple[str, str]] = (),
) -> Path:
    """Write the report of one run, or the comparison of several.

    Args:
        run_or_runs: a run or its path; several make a comparison (see `write_comparison`).
        out: the HTML file; by default RUN/report.html of the only or first run.
        sections: more sections for the end, as `Section` or (title, HTML).

    Returns:
        The file written.

    Raises:
        ConfigError: a directory that is no run, or no run at all.
    """
    from genloom.report.page import run_page

    if isinstance(run_or_runs, Sequence) and not isinstance(run_or_runs, str):
        return write_comparison(run_or_runs, out, sections=sections)
    return run_page(run_or_runs, out, sections)


def write_comparison(
    runs: Sequence[Run | str | Path],
    out: str | Path | None = None,
    comparison: Mapping[str, Any] | None = None,
    sections: Sequence[Section | tuple[str, str]] = (),
) -> Path:
    """Write one page that lays several runs side by side: samples, losses, and one measured table.

    Args:
        runs: the runs or their paths; runs of one model with different seeds share a column.
        out: the HTML file; by default report.html in the first run.
        comparison: what `genloom.compare` returned; None arranges the runs' own metrics.json. Keys read,
            all others being ignored and all of these optional: "columns" [{"name", "fingerprint", "role", "n",
            "lower_is_better", "protocol"}], "rows" [{"run", "model", "seed", "values"}], "references" [{"name",
            "values"}] with the floor and the opponents.
        sections: more sections for the end.

    Returns:
        The file written.

    Raises:
        ConfigError: no run, or a directory that is no run.
    """
    from genloom.report.page import comparison_page

    return comparison_page(runs, out, comparison, sections)


def rendered(template: Path, context: Mapping[str, Any]) -> str:
    """Fill in a template of a page, or of a part of one, as GenLoom's own are.

    Args:
        template: a Jinja2 file; it may extend `base.html.j2` and import from `macros.html.j2`, which are GenLoom's, and
            the files beside it. What it fills in is escaped.
        context: the names it uses.

    Returns:
        The HTML.
    """
    from genloom.report.page import rendered

    return rendered(template, context)
