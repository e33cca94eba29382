"""The form that every run.toml has: what its readers count on, whoever wrote it."""

from __future__ import annotations

from typing import Any

__all__ = ["formed"]

_TABLES = ("model", "data", "training", "versions")
_KINDS = {str: "text", int: "a whole number", dict: "a table", list: "a list"}
#: Values that are read before anything else is known of the run; absent ones are right.
_TYPES: dict[tuple[str, str], type] = {
    ("model", "preset"): str,
    ("model", "seed"): int,
    ("model", "options"): dict,
    ("model", "parts"): dict,
    ("data", "address"): str,
    ("data", "fingerprint"): str,
    ("training", "seed"): int,
    ("training", "backend"): str,
    ("training", "init_from"): str,
    ("training", "post"): list,
    ("versions", "backend"): str,
}


def formed(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a run.toml holds.

    Raises:
        ValueError: a part is not a table, no model is named, or a value is of another type than GenLoom writes.
    """
    for name in _TABLES:
        if not isinstance(config.get(name, {}), dict):
            raise ValueError(f"{name} is not a table")
    if not isinstance(config.get("model", {}).get("id"), str):
        raise ValueError("[model] names no id")
    for (table, key), kind in _TYPES.items():
        value = config.get(table, {}).get(key, kind())
        if type(value) is not kind:
            raise ValueError(f"{table}.{key} = {repr(value)[:40]} is not {_KINDS[kind]}")
    stretches = config.get("stretches", [])
    if not isinstance(stretches, list) or not all(isinstance(each, dict) for each in stretches):
        raise ValueError("stretches is not a list of tables")
    for name, part in config["model"].get("parts", {}).items():
        _check_part(f"model.parts.{name}", part)
    return config


def _check_part(name: str, part: Any) -> None:
    """Raise ValueError for a part of a model that is not described as `genloom.runs.parts` does it."""
    if not isinstance(part, dict) or not isinstance(formed(part).get("data", {}).get("spec"), dict):
        raise ValueError(f"{name} describes no model")
    for key, kind in (("run", str), ("step", int), ("sha256", str)):
        if type(part.get(key)) is not kind:
            raise ValueError(f"{name}.{key} = {repr(part.get(key))[:40]} is not {_KINDS[kind]}")
