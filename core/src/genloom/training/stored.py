"""What a run was trained with, read again: a value that nobody could have asked for is damage of its run.toml."""

from __future__ import annotations

import dataclasses
from typing import Any

from genloom.errors import ConfigError, DamagedRunError, NotFoundError
from genloom.options import configure
from genloom.plugins.registry import find
from genloom.runs import Run
from genloom.training.settings import TrainingSettings

__all__ = ["stored_config"]


def stored_config(run: Run) -> dict[str, Any]:
    """Return the configuration of a run whose settings and options are of the types that they must have.

    Raises:
        ConfigError: there is no run.
        DamagedRunError: its run.toml cannot be read, or has a setting or option that is none; names file and value.
    """
    config = run.config
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    kept = {name: value for name, value in config.get("training", {}).items() if name in names}
    try:
        configure(TrainingSettings, kept, named=lambda name: f"training.{name}")
        _check_options(config["model"])
    except NotFoundError:
        pass  # a model that no plugin here offers; who builds it says so
    except ConfigError as error:
        raise DamagedRunError(
            f"{str(run.path / 'run.toml')!r} is not a valid configuration: {error.message}",
            mend="Put the right value back, or restore the file from a copy.",
        ) from error
    return config


def _check_options(model: dict[str, Any]) -> None:
    """Hold the options of a model that a plugin offers against what it declares."""
    component = find("model", model["id"])
    component.configure(model.get("preset"), **model.get("options", {}))
