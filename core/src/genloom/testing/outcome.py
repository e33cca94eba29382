"""Run a kit without pytest's collection: how the kits themselves are tested, with promises broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

__all__ = ["failures"]


def failures(kit: type) -> dict[str, str]:
    """Run every test of a kit; return the messages of those that fail, by name."""
    failed = {}
    for name in (name for name in dir(kit) if name.startswith("test_")):
        test: Callable[[], None] = getattr(kit(), name)
        try:
            test()
        except pytest.skip.Exception:
            continue
        except AssertionError as error:
            failed[name] = str(error)
    return failed
