"""The report's section on sound: a player of what the training left; imports no Keras."""

from __future__ import annotations

import base64

from genloom.files.bounded import content
from genloom.report import Section
from genloom.runs import Run

__all__ = ["sections"]

_MOST_BYTES = 2**23  # a longer file is none of ours


def sections(run: Run) -> list[Section]:
    """Return one section for a run that has samples/sounds.wav, none for others."""
    path = run.path / "samples" / "sounds.wav"
    if path.is_symlink() or not path.is_file():
        return []
    try:
        kept = content(path, _MOST_BYTES)
    except (OSError, ValueError):
        return []
    if not kept.startswith(b"RIFF"):
        return []
    source = "data:audio/wav;base64," + base64.b64encode(kept).decode("ascii")
    return [
        Section(
            "What it sounds like",
            text="Sounds of seed 0, one after the other.",
            html=f'<audio controls src="{source}"></audio>',
        )
    ]
