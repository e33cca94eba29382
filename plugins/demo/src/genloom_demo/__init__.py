"""The plugin `demo`: one command, and no component of its own."""

from __future__ import annotations

from genloom import hookimpl

__all__ = ["genloom_commands"]


@hookimpl
def genloom_commands() -> dict[str, tuple[str, str]]:
    """Return the command `genloom demo`."""
    return {"demo": ("genloom_demo.command:demo", "Train three families on real digits and compare them.")}
