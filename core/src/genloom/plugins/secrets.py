"""Addresses as they may be shown: without the passwords and tokens in them."""

from __future__ import annotations

import re

__all__ = ["masked"]

_USER = re.compile(r"(?<=://)(?!git@)[^/\s?#]*@")  # git@ is the name that everybody has there
_QUERY = re.compile(r"([?&][^=&\s]*(?:token|key|secret|password|sig|auth)[^=&\s]*=)[^&#\s]+", re.IGNORECASE)


def masked(text: str) -> str:
    """Return a text with *** in place of the user and password of each address, and of tokens in its query."""
    return _QUERY.sub(r"\1***", _USER.sub("***@", text))
