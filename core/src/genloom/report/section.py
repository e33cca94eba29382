"""A section that a plugin, or the caller, adds to the end of a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Section"]


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
