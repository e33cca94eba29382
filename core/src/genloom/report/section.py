"""What plugins add to the end of a report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from genloom.plugins.offers import Section

if TYPE_CHECKING:
    from genloom.runs import Run

__all__ = ["plugin_sections"]


def plugin_sections(run: Run) -> list[Section]:
    """Return what plugins add to the report of a run; one that gives something else is reported, and the rest stays."""
    from genloom.plugins.discovery import report
    from genloom.plugins.hooks import notify

    sections: list[Section] = []
    for status, given in notify("genloom_report_sections", run=run):
        try:
            sections += [_section(each) for each in given]
        except (TypeError, ValueError) as error:
            report(dataclasses.replace(status, cause=f"genloom_report_sections: {error}"))
    return sections


def _section(given: object) -> Section:
    if isinstance(given, Section):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, str) for part in given):
        return Section(given[0], html=given[1])
    raise ValueError(f"{given!r} is neither a Section nor (title, HTML)")
