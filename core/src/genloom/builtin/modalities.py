"""The core's modalities, light enough for `genloom list`: nothing here imports what it names."""

from __future__ import annotations

from genloom.plugins.offers import Component

__all__ = ["COMPONENTS"]


def _own(name: str, target: str, summary: str) -> Component:
    return Component("modality", name, f"genloom.modalities.{target}", summary)


#: The core's modalities.
COMPONENTS: tuple[Component, ...] = (
    _own("image", "images:IMAGE", "Pictures (height, width, channels)."),
    _own("signal", "numbers:SIGNAL", "Values over time, or points in the plane."),
    _own("table", "numbers:TABLE", "Rows of columns."),
    _own("video", "images:VIDEO", "Pictures over time."),
    _own("music", "notes:MUSIC", "Events of music."),
)
