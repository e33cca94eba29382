"""Conformance kits: what first-party plugins pass, and what plugin authors inherit for theirs. Needs pytest."""

from __future__ import annotations

from genloom.testing.model import ModelConformance

__all__ = ["ModelConformance"]
