"""The version of GenLoom that is installed."""

from __future__ import annotations

__all__ = ["version"]


def version() -> str:
    """Return the version of the distribution; reading it takes importlib.metadata, which is slow to import."""
    import importlib.metadata

    try:
        return importlib.metadata.version("genloom")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"  # a source tree on PYTHONPATH
