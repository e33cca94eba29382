"""Call hooks so that one raising plugin neither aborts the others nor hides whose fault it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import pluggy

from genloom.errors import PluginError
from genloom.plugins.discovery import culprit, implementers, manager, report
from genloom.plugins.offers import SampleRequest
from genloom.plugins.status import PluginStatus

__all__ = ["notify", "sample"]


def notify(hook: str, **arguments: Any) -> list[tuple[PluginStatus, Any]]:
    """Call an observer hook, one plugin at a time.

    Args:
        hook: its name, such as "genloom_checkpoint_saved".
        arguments: the hook's arguments by name.

    Returns:
        (plugin, result) for each plugin that implements the hook and did not raise; the others are warned of.
    """
    results: list[tuple[PluginStatus, Any]] = []
    for status in implementers(hook):
        others = [plugin for plugin in manager().get_plugins() if plugin is not status.module]
        caller: pluggy.HookCaller = manager().subset_hook_caller(hook, others)
        try:
            results.extend((status, result) for result in caller(**arguments))
        except (Exception, SystemExit) as error:
            report(dataclasses.replace(status, cause=f"{hook} raised {type(error).__name__}: {error}"))
    return results


def sample(run: Any, request: SampleRequest) -> Any:
    """Draw the samples of a request inside every plugin's `genloom_sample` wrapper.

    Raises:
        PluginError: a wrapper failed (exit code 3). What `request.draw` raises passes unchanged.
    """
    drawing: list[BaseException] = []

    def draw() -> Any:
        try:
            return request.draw()
        except BaseException as error:
            drawing.append(error)
            raise

    try:
        return manager().hook.genloom_sample(run=run, request=dataclasses.replace(request, draw=draw))
    except Exception as error:
        if isinstance(error, PluginError) or any(error is raised for raised in drawing):
            raise
        known = culprit(error)
        raise PluginError(
            f"{known[0].title if known else 'A plugin'}: genloom_sample raised {type(error).__name__}: {error}.",
            mend="Skip the plugin with GENLOOM_DISABLE_PLUGINS=NAME.",
        ) from error
