"""The report's section on attention: the picture that the training left; imports no Keras."""

from __future__ import annotations

from genloom.report import Section
from genloom.report.embedding import embed
from genloom.runs import Run

__all__ = ["sections"]

_TEXT = (
    "Each row is a token of held-out text. The darker a square in it, the more the head takes from that token, itself "
    "or an earlier one, to predict the next. The weights of a row sum to one; one scale of colour holds for all."
)


def sections(run: Run) -> list[Section]:
    """Return one section for a run that has samples/attention.png, none for others."""
    from PIL import Image

    path = run.path / "samples" / "attention.png"
    if embed(path, "") is None:
        return []
    with Image.open(path, formats=["PNG"]) as picture:
        return [
            Section(
                "What attends to what", text=_TEXT, figures=[("the attention of the trained weights", picture.copy())]
            )
        ]
