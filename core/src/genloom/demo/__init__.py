"""The main job from end to end: three families on real handwritten digits, measured and compared."""

from __future__ import annotations

from genloom.demo.plan import Demo, Step
from genloom.demo.summary import summarise, write_report

__all__ = ["Demo", "Step", "summarise", "write_report"]
