"""How data is named on a command line and in a run: `scheme:rest?option=value&option=value`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.errors import DataError
from genloom.options import spelled

__all__ = ["IN_MEMORY", "Address"]

#: The scheme of arrays that were passed in Python, which no address opens.
IN_MEMORY = "arrays"

_SEE = "see: genloom list datasets"


@dataclasses.dataclass(frozen=True)
class Address:
    """The parts of an address.

    Attributes:
        scheme: which source opens it, `images`.
        rest: what the source is given, a folder, a file or a name.
        options: option name to value; strings when they were parsed.
    """

    scheme: str
    rest: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; a plain path is an error that says which scheme to write.

        Raises:
            DataError: an empty address, a path without a scheme, or an option without a value.
        """
        body, options = _split_options(text)
        scheme, colon, rest = body.partition(":")
        if not scheme or not _is_scheme(scheme) or (not colon and Path(body).exists()):
            raise DataError(f"{text!r} is not a data address.", mend=_advice(body))
        return cls(scheme, rest, options)

    def __str__(self) -> str:
        body = f"{self.scheme}:{self.rest}" if self.rest else self.scheme
        given = "&".join(f"{name}={spelled(value)}" for name, value in sorted(self.options.items()))
        return f"{body}?{given}" if given else body


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    body, mark, query = text.rpartition("?")
    if not mark or "=" not in query:  # a question mark may be part of a file's name
        return text, {}
    options = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if not name or not value:
            raise DataError(f"{item!r} in {text!r} is not an option.", mend="Write ?name=value&name=value.")
        options[name] = value
    return body, options


def _is_scheme(text: str) -> bool:
    return text.replace("_", "").replace("-", "").replace("/", "").isalnum() and not text.startswith("/")


def _advice(path: str) -> str:
    """Say how a path is written as an address: by what it is, else by its ending."""
    from genloom.data.sources.pictures import SUFFIXES

    given = Path(path)
    ending, schemes = given.suffix.lower(), _schemes()
    if ending in SUFFIXES:
        return f"Write the folder that the pictures are in, {f'images:{given.parent}'!r}."
    if given.is_dir() or ending in schemes or not path:
        example = f"{schemes.get(ending, 'images')}:{path}" if path else "digits"
        return f"Write scheme:rest, such as {example!r}."
    if given.is_file():
        saved = str(given.with_suffix(".npz"))
        return f"Save its numbers, numpy.savez({saved!r}, x=array), then write {f'npz:{saved}'!r}; or {_SEE}."
    return f"Write scheme:rest, such as 'npz:FILE' or 'images:FOLDER'; {_SEE}."


def _schemes() -> dict[str, str]:
    """Return ending → the scheme of the source that declares to read such files, or `files` where a modality does."""
    from genloom.modalities import known
    from genloom.plugins.registry import components

    read = {ending: "files" for modality in known().values() for ending in modality.readers()}
    return read | {ending: each.name for each in components("dataset") for ending in each.endings}
