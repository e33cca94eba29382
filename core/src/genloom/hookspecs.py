"""The whole extension API on one page: what a plugin may implement, and nothing else.

A plugin is a light module named by an entry point of the group `genloom`; its functions carry `@genloom.hookimpl`.
Hooks grow by new arguments: an implementation names only the arguments it uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import pathlib

    from genloom.plugins.offers import Component, SampleRequest, Section
    from genloom.runs import Run

__all__ = ["API_VERSION", "GROUP", "hookimpl", "hookspec"]

#: Version of this page; a plugin may say which one it was written for: `GENLOOM_API = 1`.
API_VERSION = 1
#: Entry point group, and the prefix of every hook.
GROUP = "genloom"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def genloom_components() -> Iterable[Component]:  # type: ignore[empty-body]
    """Return components: models, data sets, metrics, …; their targets are imported only when used."""


@hookspec
def genloom_commands() -> Mapping[str, tuple[str, str]]:  # type: ignore[empty-body]
    """Return commands: name -> ("module:attr" of a click command, one line of help); imported only when run."""


@hookspec
def genloom_callbacks(run: Run) -> Iterable[Any]:  # type: ignore[empty-body]
    """Return Keras callbacks for this training run: the one way to training events."""


@hookspec
def genloom_checkpoint_saved(run: Run, path: pathlib.Path) -> None:
    """Be told that a checkpoint is whole and on disk."""


@hookspec(firstresult=True)
def genloom_sample(run: Run, request: SampleRequest) -> Any:
    """Wrap sampling (`hookimpl(wrapper=True)`, yield once, return the samples); a failure fails the sample, exit 3."""


@hookspec
def genloom_report_sections(run: Run) -> Iterable[Section | tuple[str, str]]:  # type: ignore[empty-body]
    """Return `genloom.report.Section`s, or (title, HTML), for the end of a run's report, from files that the run holds.

    The HTML may refer to nothing outside itself.
    """


@hookspec
def genloom_doctor() -> Iterable[tuple[str, bool, str]]:  # type: ignore[empty-body]
    """Return checks for `genloom doctor`: (what is checked, whether it is well, what was found or what to do)."""
