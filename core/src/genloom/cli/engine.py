"""Choose the backend before Keras is imported, because Keras fixes it at import.

Order: the flag, then KERAS_BACKEND, then keras.json when that backend is installed, then the first one installed of
jax, torch and tensorflow.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from genloom.cli.output import note
from genloom.errors import ConfigError, nearest

__all__ = ["ENGINES", "asked", "choose", "installed", "prepare", "select"]

#: Every engine, in the order of preference when nothing else decides.
ENGINES = ("jax", "torch", "tensorflow")


def choose(flag: str | None = None) -> str:
    """Fix the engine of this process and say so as the first line on stderr.

    Args:
        flag: value of --backend, None without it.

    Returns:
        The engine's name.

    Raises:
        ConfigError: no engine is installed, the one asked for is not, or Keras is imported with another one already.
    """
    name, _ = select(flag)
    _fix(name)
    note(f"Engine: {name}")
    return name


def asked(arguments: Sequence[str]) -> str | None:
    """Return the engine that raw arguments ask for with --backend, None without it."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument.startswith("--backend="):
            return argument.partition("=")[2]
        if argument == "--backend":
            return following or None
    return None


def prepare(flag: str | None = None) -> None:
    """Fix the engine without a word where one can be found; the command that needs it reports what is wrong."""
    try:
        _fix(select(flag)[0])
    except ConfigError:
        return


def select(flag: str | None = None) -> tuple[str, str]:
    """Return (engine, why it was chosen) without importing or changing anything.

    Raises:
        ConfigError: no engine is installed, or the one asked for is unknown or not installed.
    """
    for name, why in ((flag, "--backend"), (os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND")):
        if name:
            _require(name, why)
            return name, why
    available = installed()
    configured = _configured()
    if configured in available:
        return configured, str(_keras_json())
    if not available:
        raise ConfigError("No engine is installed.", mend="Install one: pip install 'genloom[jax]'")
    return available[0], f"the first one installed of {', '.join(ENGINES)}"


def installed() -> list[str]:
    """Return the engines installed, in the order of preference, without importing them."""
    return [name for name in ENGINES if _is_installed(name)]


def _is_installed(name: str) -> bool:
    # A folder called `jax` in the working directory is a namespace package without origin: not the engine.
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _require(name: str, why: str) -> None:
    if name not in ENGINES:
        raise ConfigError(
            f"{why} names the unknown engine {name!r}.{nearest(name, ENGINES)}",
            mend=f"Use one of {', '.join(ENGINES)}.",
        )
    if not _is_installed(name):
        raise ConfigError(
            f"{why} asks for {name}, which is not installed.", mend=f"Install it: pip install 'genloom[{name}]'"
        )


def _keras_json() -> pathlib.Path:
    home = os.environ.get("KERAS_HOME")
    return (pathlib.Path(home) if home else pathlib.Path.home() / ".keras") / "keras.json"


def _configured() -> str | None:
    """Return the backend keras.json names; a file that cannot be read names none, as for Keras itself."""
    try:
        content = json.loads(_keras_json().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    name = content.get("backend") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None


def _fix(name: str) -> None:
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != name:
        raise ConfigError(
            f"Keras is imported with {keras.backend.backend()} already, so {name} cannot be used.",
            mend=f"Set KERAS_BACKEND={name} before anything imports Keras.",
        )
    os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ notes would drown ours on stderr
