"""What TAB offers for a value: ids, presets, engines, metrics, runs, schemes of data; imports no Keras, no engine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

__all__ = ["data", "engines", "folders", "ids", "metrics", "models", "plugins", "postprocessors", "presets", "runs"]

Items = list[CompletionItem]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return ids of models."""
    return _components("model", incomplete)


def postprocessors(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return ids of post-processors."""
    return _components("postprocessor", incomplete)


def ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return ids of components of every kind."""
    return _components(None, incomplete)


def metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return ids of metrics."""
    return _components("metric", incomplete)


def data(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return schemes of data; after `scheme:` files."""
    if ":" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    from genloom.plugins.registry import components

    return _beginning(incomplete, ((each.name, each.summary) for each in components("dataset")))


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the presets of the model on the line, those of all models without one."""
    from genloom.plugins.registry import components

    wanted = ctx.params.get("model")
    chosen = [each for each in components("model") if wanted in (None, each.id, each.name)]
    return _beginning(incomplete, ((name, "") for name in dict.fromkeys(n for each in chosen for n in each.presets)))


def engines(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the engines that are installed."""
    from genloom.engine import installed

    return _beginning(incomplete, ((name, "") for name in installed()))


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return runs, as `folders` does."""
    return folders(incomplete)


def folders(incomplete: str) -> Items:
    """Return runs, and folders in which to look further, below what has been typed."""
    folder = Path(os.path.dirname(incomplete) or ".")
    found = _beginning(incomplete, ((path, "") for path in _folders(folder)))
    return found or [CompletionItem(incomplete, type="dir")]


def plugins(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return names of the plugins found."""
    from genloom.plugins.discovery import plugins as found

    return _beginning(incomplete, ((status.name, status.distribution) for status in found()))


def _folders(folder: Path) -> list[str]:
    """Return the runs in a folder by path, and with a slash at their end the folders that may hold some."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return [str(path) if (path / "run.toml").is_file() else f"{path}{os.sep}" for path in inside]


def _components(kind: str | None, incomplete: str) -> Items:
    from genloom.plugins.registry import components

    return _beginning(incomplete, ((each.id, each.summary) for each in components(kind)))


def _beginning(incomplete: str, offered: Iterable[tuple[str, str]]) -> Items:
    return [CompletionItem(name, help=summary) for name, summary in offered if name.startswith(incomplete)]
