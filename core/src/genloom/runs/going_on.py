"""How a run that stopped goes on: the one place that advises --resume, and only where that works."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator

from genloom.errors import ConfigError, DiskError, GenLoomError
from genloom.runs.directory import Run

__all__ = ["begins_anew", "telling_the_way_on", "way_on"]


def way_on(run: Run) -> str:
    """Return a sentence: what to type to go on with a run as it stands on the disk now."""
    path = str(run.path)
    try:
        address = run.address
    except ConfigError:  # damaged, or with weights from elsewhere
        return "Nothing here can be resumed."
    if run.latest() is None and not begins_anew(run):
        return f"There is no checkpoint to resume from; remove {path!r} to begin again."
    model = run.config["model"]
    aim = "begin again" if run.latest() is None else "go on"
    if model.get("given") or not _named(address):
        return f"To {aim} in Python: genloom.train(model, data, out={path!r}, resume=True)."
    source = model.get("plugin", "")
    before = ["-p", source] if source.endswith(".py") else []
    more = ["--epochs", "N"] if run.status == "finished" else []
    return f"To {aim}: {shlex.join(['genloom', *before, 'train', '--resume', '--out', path, *more])}"


@contextlib.contextmanager
def telling_the_way_on(run: Run) -> Iterator[None]:
    """Add to what the disk refuses inside a `with` block how the run then goes on.

    Raises:
        DiskError: the disk refused.
    """
    try:
        yield
    except DiskError as error:
        if not run.exists:
            raise
        raise DiskError(error.message, mend=f"{error.mend} {way_on(run)}") from error.__cause__


def begins_anew(run: Run) -> bool:
    """Whether the run is trained from its beginning: no checkpoint was due so far, or the first one was cut short.

    An epoch's line in the log comes before its checkpoint.
    """
    if not run.exists:
        return True
    last, first = run.last_entry, _first_save(run)
    step = int(last.get("step", 0))
    return step < first or (step == first and last.get("status") != "finished")


def _first_save(run: Run) -> int:
    """Return the step of the first checkpoint that the run's cadences ask for, 1 where they are not known."""
    stated = run.config.get("training", {})
    due = (
        stated.get("checkpoint_steps", 0),
        stated.get("checkpoint_every", 0) * stated.get("steps_per_epoch", 0),
        run.planned_steps or 0,
    )
    return min((step for step in due if step > 0), default=1)


def _named(address: str) -> bool:
    """Whether a command line can name the data: they were no objects of Python."""
    from genloom.data.address import Address
    from genloom.plugins.registry import find

    try:
        find("dataset", Address.parse(address).scheme)
    except GenLoomError:
        return False
    return True
