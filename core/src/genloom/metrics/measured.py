"""A measured run as a row of a comparison: its metrics.json and run.toml, each value of the type it must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genloom.errors import ConfigError, DamagedRunError, RunError
from genloom.runs import Run

__all__ = ["model_of", "row", "typed"]

Entry = dict[str, Any]


def row(run: Run) -> dict[str, Any]:
    """Return what `genloom.metrics.table.table` takes of a run.

    Raises:
        ConfigError: it was not measured.
        RunError: its files say what they cannot say.
    """
    results = run.metrics()
    if not results:
        raise ConfigError(f"{str(run.path)!r} was not measured.", mend=f"Run: genloom evaluate {run.path}")
    if any(typed(entry) != entry or "name" not in entry or "fingerprint" not in entry for entry in results):
        raise RunError(f"{str(run.path)!r} has scores of a wrong type.", mend=f"Run: genloom evaluate {run.path}")
    config = run.config
    model, data, training = (config.get(name, {}) for name in ("model", "data", "training"))
    if not all(isinstance(each, dict) for each in (model, data, training)) or not isinstance(model.get("id"), str):
        raise DamagedRunError(f"The run.toml of {str(run.path)!r} names no model.")
    alike = {key: value for key, value in training.items() if key not in ("seed", "backend")}
    shared = {"model": model_of(config), "data": data.get("fingerprint"), "training": alike}
    # Runs are compared as their models draw; what post-processing adds stands in each run's own report.
    measured = [entry for entry in results if entry.get("value") is not None and entry.get("role") != "post"]
    head = {"run": str(run.path), "model": model["id"], "data": data.get("address")}
    head |= {"seed": model.get("seed", training.get("seed"))}
    return {**head, "config": shared, "step": run.scored_step, "outdated": run.outdated, "results": measured}


def typed(entry: Mapping[str, Any]) -> Entry:
    """Return a result without the fields whose values are of another type than `genloom evaluate` writes."""
    return {name: value for name, value in entry.items() if _fits(name, value)}


def model_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the seeds of one model share in a run.toml."""
    return {key: config["model"].get(key) for key in ("id", "preset", "options")}


def _fits(name: str, value: Any) -> bool:
    if name in ("name", "fingerprint", "role"):
        return isinstance(value, str)
    if name in ("value", "floor"):
        return value is None or _is_number(value)
    if name in ("n", "step"):
        return value is None or type(value) is int
    if name == "opponents":
        return value is None or (isinstance(value, dict) and all(v is None or _is_number(v) for v in value.values()))
    if name == "post":
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    return name != "lower_is_better" or value is None or isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
