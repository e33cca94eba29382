"""A section that a plugin, or the caller, adds to the end of a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from genloom.runs import Run

__all__ = ["Section", "plugin_sections"]


@dataclasses.dataclass(frozen=True)
class Section:
    """One titled part of a report.

    Attributes:
        title: its heading, plain text.
        html: trusted markup, put in as it is; it may refer to nothing outside itself.
        text: plain text, escaped; an empty line begins a paragraph.
        figures: (caption, picture) pairs.
    """

    title: str
    html: str = ""
    text: str = ""
    figures: Sequence[tuple[str, Image]] = ()

    @property
    def paragraphs(self) -> list[str]:
        """The paragraphs of `text`."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


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
