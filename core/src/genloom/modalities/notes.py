"""Music as events: names of notes, which are neither added nor drawn."""

from __future__ import annotations

from genloom.modalities.modality import Modality

__all__ = ["MUSIC"]


class _Music(Modality):
    numeric = False


#: Events of music.
MUSIC = _Music()
