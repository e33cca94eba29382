"""The report's section on a flow: what the callback wrote; imports no Keras."""

from __future__ import annotations

import json
from typing import Any

from genloom.report import Section

__all__ = ["sections"]


def sections(run: Any) -> list[Section]:
    """Return one section for a run that has RUN/flow.json, none for others."""
    try:
        errors = json.loads((run.path / "flow.json").read_text())["errors"]
    except (OSError, ValueError, KeyError):
        return []
    text = (
        f"Sent from noise to data and back, values are off by {errors[-1]:.1e} at most after {len(errors)} epochs "
        f"({max(errors):.1e} at the worst): the likelihood is as exact as that."
    )
    return [Section("The flow", text=text, figures=_figures(run))]


def _figures(run: Any) -> list[tuple[str, Any]]:
    from PIL import Image

    path = run.path / "flow-density.png"
    if not path.exists():
        return []
    with Image.open(path) as picture:
        return [("density over [-2.5, 2.5]², dark where it is high", picture.copy())]
