"""What a training that starts from a run takes over of it: its options, or a word on each one that differs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from genloom.errors import ConfigError, NotFoundError, RunError
from genloom.files.atomic import plain
from genloom.messages import tell
from genloom.options import spelled
from genloom.plugins.offers import Component
from genloom.plugins.registry import find
from genloom.runs import Run

__all__ = ["changes", "fitting", "inherited", "plain_options"]


def plain_options(options: Any) -> dict[str, Any]:
    """Return options as TOML holds them; None is written as "none", for TOML has no null."""
    values = dataclasses.asdict(options) if dataclasses.is_dataclass(options) else {}  # type: ignore[arg-type]
    return {name: "none" if value is None else value for name, value in values.items()}


def inherited(config: Mapping[str, Any], component: Component) -> dict[str, Any]:
    """Return the options that a run gives a training which goes on with it, or starts from it.

    Args:
        config: what its run.toml holds.
        component: the model that is trained: of another one whose options class is the same, or the base of it, what
            the run was given beside that one's defaults, of any other nothing.
    """
    stored = dict(config["model"].get("options") or {})
    if config["model"]["id"] == component.id:
        return stored
    other = _offered(config)
    if other is None or not _extends(component.options, other.options):
        return {}
    defaults = _stored(other.configure())
    return {name: value for name, value in stored.items() if value != defaults.get(name)}


def changes(run: Run, model: str, options: Any) -> list[str]:
    """Return what differs from a run that a training starts from, as "process cosine → exploding"; say so, too.

    Args:
        run: with the weights.
        model: the id of what is trained.
        options: its checked options.

    Raises:
        ConfigError: an option is another that the family declares `fixed`.
    """
    before = run.config["model"]
    was, now = before.get("options") or {}, _stored(options)
    differ = {name: (was[name], value) for name, value in now.items() if name in was and was[name] != value}
    fixed = [field.name for field in dataclasses.fields(options) if field.metadata.get("fixed")] if differ else []
    for name in fixed:
        if name in differ:
            old, new = differ[name]
            raise ConfigError(
                f"The weights of {str(run.path)!r} were trained with {name}={spelled(old)}; "
                f"with {name}={spelled(new)} they mean something else.",
                mend=f"Give --set {name}={spelled(old)}, or leave out --init-from.",
            )
    pairs = {"model": (before["id"], model)} if before["id"] != model else {}
    found = [f"{name} {spelled(old)} → {spelled(new)}" for name, (old, new) in {**pairs, **differ}.items()]
    if found:
        tell(f"starts from {str(run.path)!r} with what it was not trained with: {', '.join(found)}.")
    return found


@contextlib.contextmanager
def fitting(run: Run, options: Any) -> Iterator[None]:
    """Say with which options the weights of a run would fit, where they do not.

    Raises:
        RunError: they do not.
    """
    try:
        yield
    except RunError as error:
        was, now = run.config["model"].get("options") or {}, _stored(options)
        flags = [f"--set {name}={spelled(was[name])}" for name in now if name in was and was[name] != now[name]]
        mend = f"Give what it was trained with: {' '.join(flags)}." if flags else error.mend
        raise RunError(f"The run {str(run.path)!r} does not fit. {error.message}", mend=mend) from error


def _offered(config: Mapping[str, Any]) -> Component | None:
    """Return the component of a run's model, None where no plugin here offers it."""
    try:
        return find("model", config["model"]["id"])
    except NotFoundError:
        return None


def _extends(options: type | None, base: type | None) -> bool:
    return options is not None and base is not None and issubclass(options, base)


def _stored(options: Any) -> dict[str, Any]:
    """Return options as they are read again from run.toml."""
    found: dict[str, Any] = plain(plain_options(options), keep_none=False)
    return found
