"""Messages to people: warnings on stderr, and text as a terminal may have it, shown and never obeyed."""

from __future__ import annotations

import re
import sys

__all__ = ["say", "shown", "tell"]

# C0 and C1 but the tab and the line feed, and what turns the direction of writing: with these a name can move the
# cursor, set the title, or write over what stands above (ECMA-48; Unicode 9.0 technical report 36, section 2.2).
# A lone surrogate stands for a byte that is no UTF-8, and cannot be printed at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    r"""Return a text with each control character written as Python would, `\x1b`; ends of lines stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def tell(message: str) -> None:
    """Write one warning line to stderr; stdout is for data."""
    say(f"warning: {message}")


def say(message: str) -> None:
    """Write one line to stderr that warns of nothing."""
    sys.stderr.write(f"genloom: {shown(' '.join(message.splitlines()))}\n")
    sys.stderr.flush()
