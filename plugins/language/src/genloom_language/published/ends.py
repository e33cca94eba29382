"""Which tokens end the texts of a published model, as its configurations say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import DataError
from genloom.messages import tell
from genloom_language.published.config import Config
from genloom_language.published.files import read_json
from genloom_language.tokens import SPECIAL

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["ends_of"]

_KEY = "eos_token_id"


def ends_of(folder: Path, config: Config, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the tokens that end a text, beside <|end|>.

    As in transformers, generation_config.json says it before config.json; where neither does, it is the end that
    tokenizer_config.json names.

    Raises:
        DataError: a file that is damaged, or tokens that are no whole numbers.
    """
    generating, naming = (_optional(folder / f"{name}_config.json") for name in ("generation", "tokenizer"))
    stated = next((values[_KEY] for values in (generating, config.values) if values.get(_KEY) is not None), None)
    found = _named(naming, tokenizer) if stated is None else _whole(folder, stated)
    vocabulary, own = config.whole("vocab_size"), tokenizer.token_to_id(SPECIAL["end"])
    if beyond := [end for end in found if end >= vocabulary]:
        tell(f"{str(folder)!r} ends texts with the token {beyond[0]}, which its {vocabulary} tokens do not have.")
    return tuple(end for end in found if end < vocabulary and end != own)


def _optional(file: Path) -> Mapping[str, Any]:
    return read_json(file) if file.is_file() else {}


def _named(naming: Mapping[str, Any], tokenizer: Tokenizer) -> list[int]:
    word = naming.get("eos_token")
    number = tokenizer.token_to_id(str(word["content"] if isinstance(word, dict) and "content" in word else word))
    return [] if number is None else [number]


def _whole(folder: Path, stated: Any) -> list[int]:
    found = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(end, int) and not isinstance(end, bool) and end >= 0 for end in found):
        raise DataError(f"{str(folder)!r} has {_KEY}={stated!r}, not whole numbers.", mend="Fetch its files again.")
    return found
