"""Text: tokens, which are names and no amounts, and the words that they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genloom.errors import ConfigError
from genloom.modalities import Modality

if TYPE_CHECKING:
    from genloom import Samples
    from genloom.modalities import Writer

__all__ = ["TEXT"]


class _Text(Modality):
    numeric = False

    def ending(self, drawn: Samples) -> str:
        """Return that of a text, for words."""
        return ".txt" if _worded(drawn) else ".npz"

    def writers(self) -> Mapping[str, Writer]:
        """Write the texts, an empty line between two of them."""
        return {".txt": _texts}


def _texts(drawn: Samples) -> bytes:
    if not _worded(drawn):
        raise ConfigError("These samples are tokens, not words.", mend="Add --post detokenise, or write .npz.")
    return "\n\n".join(str(text) for text in drawn.samples[:, 0]).encode() + b"\n"


def _worded(drawn: Samples) -> bool:
    return drawn.samples.dtype.kind == "U"


#: Tokens (length,), or one text.
TEXT = _Text()
