"""The plugin `audio`: sound as a kind of content, its sources and its players, listed without importing Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genloom import Component, hookimpl
from genloom_audio.options import FolderOptions, ToneOptions

if TYPE_CHECKING:
    from genloom import Run

__all__ = ["genloom_callbacks", "genloom_components", "genloom_report_sections"]


@hookimpl
def genloom_components() -> list[Component]:
    """Return the modality and the sources of sound."""
    return [
        Component("modality", "audio/audio", "genloom_audio.modality:AUDIO", "Sound (time, channels)."),
        Component(
            "dataset",
            "audio/audio",
            "genloom_audio.folder:open_sounds",
            "audio:DIR, recordings or class folders of them.",
            options=FolderOptions,
        ),
        Component(
            "dataset",
            "audio/tones",
            "genloom_audio.tones:open_tones",
            "Notes of four instruments and twelve pitches, made from a seed.",
            options=ToneOptions,
        ),
    ]


@hookimpl
def genloom_callbacks(run: Run) -> list[Any]:
    """Return the callback that keeps sounds for the report, for runs of sound that show samples at all."""
    config = run.config
    kind = config.get("data", {}).get("spec", {}).get("kind")
    if kind != "audio" or not config.get("training", {}).get("sample_every"):
        return []
    from genloom_audio.keeping import KeepSounds

    return [KeepSounds(run)]


@hookimpl
def genloom_report_sections(run: Run) -> list[Any]:
    """Return the section with players, for runs that kept sounds."""
    from genloom_audio.section import sections

    return sections(run)
