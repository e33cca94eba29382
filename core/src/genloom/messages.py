"""Text as a terminal may have it: what names, files and models say is shown and never obeyed."""

from __future__ import annotations

import re

__all__ = ["shown"]

# C0 and C1 but the tab and the line feed, and what turns the direction of writing: with these a name can move the
# cursor, set the title, or write over what stands above (ECMA-48; Unicode 9.0 technical report 36, section 2.2).
# A lone surrogate stands for a byte that is no UTF-8, and cannot be printed at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    r"""Return a text with each control character written as Python would, `\x1b`; ends of lines stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
