"""Which engine Keras runs on: chosen before Keras is imported, which fixes it, in every way in.

Order: the flag, then KERAS_BACKEND, then the Keras that is imported already, then keras.json when its user wrote it and
that engine is installed, then the first one installed of jax, torch and tensorflow.

`import genloom` prepares the choice without a word; whatever needs Keras makes it, and the first one says so.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator

from genloom.errors import ConfigError, nearest

__all__ = ["ENGINES", "choose", "installed", "keras_folder", "prepare", "select", "wished", "without_notes"]

#: Every engine, in the order of preference when nothing else decides.
ENGINES = ("jax", "torch", "tensorflow")

#: What Keras writes into keras.json by itself at its first import, whatever it then runs on.
KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}

# What KERAS_BACKEND holds by our choice: neither a later command nor a child process takes it for a wish.
_DEFAULT = "_GENLOOM_DEFAULT_ENGINE"
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_NOTE = re.compile(rb"I\d{4} |WARNING: All log messages before absl|To enable the following instructions")


def choose(flag: str | None = None) -> str:
    """Fix the engine of this process, say so on stderr where it was not said yet, and import Keras on it.

    Args:
        flag: value of --backend, None without it.

    Returns:
        The engine's name.

    Raises:
        ConfigError: no engine is installed, the one asked for is not, or Keras is imported with another one already.
    """
    name = _fix(flag)
    _say(name)
    with without_notes():
        importlib.import_module("keras")
    return name


def prepare(flag: str | None = None) -> None:
    """Fix the engine without a word where one can be found; what needs it reports what is wrong."""
    with contextlib.suppress(ConfigError):
        _fix(flag)


def select(flag: str | None = None) -> tuple[str, str]:
    """Return (engine, why it was chosen) without importing or changing anything.

    Raises:
        ConfigError: no engine is installed, or the one asked for is unknown or not installed.
    """
    for name, why in _wishes(flag):
        if name:
            _require(name, why)
            return name, why
    available = installed()
    if not available:
        raise ConfigError("No engine is installed.", mend="Install one: pip install 'genloom[jax]'")
    configured = _configured()
    if configured in available:
        return configured, _keras_json()
    return available[0], f"the first one installed of {', '.join(ENGINES)}"


def installed() -> list[str]:
    """Return the engines installed, in the order of preference, without importing them."""
    return [name for name in ENGINES if _is_installed(name)]


def wished() -> str | None:
    """Return the engine that KERAS_BACKEND asks for; what GenLoom wrote there by itself is no wish."""
    name = os.environ.get("KERAS_BACKEND")
    return None if name == os.environ.get(_DEFAULT) else name


def keras_folder() -> str:
    """Return the folder of Keras's settings and downloads, found as Keras finds it."""
    home = os.path.expanduser("~")
    return os.environ.get("KERAS_HOME", os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras"))


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Keep TensorFlow's notes off stderr while something imports it; the rest is passed on when it is done.

    Some of them heed no variable. Who sets TF_CPP_MIN_LOG_LEVEL below 3 sees them all.
    """
    import tempfile

    noisy = os.environ.get("KERAS_BACKEND") == "tensorflow" and "tensorflow" not in sys.modules
    if not noisy or os.environ.get(_LOG_LEVEL) != "3":
        yield
        return
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            kept.seek(0)
            os.write(stderr, b"".join(line for line in kept if not _NOTE.match(line)))
            os.close(stderr)


def _fix(flag: str | None) -> str:
    """Set what Keras reads when it is imported.

    Raises:
        ConfigError: as `choose`.
    """
    by_default = not any(name for name, _ in _wishes(flag))
    name, _ = select(flag)
    running = _running()
    if running not in (None, name):
        raise ConfigError(
            f"Keras is imported with {running} already, so {name} cannot be used.",
            mend=f"Set KERAS_BACKEND={name} before anything imports Keras.",
        )
    os.environ |= {"KERAS_BACKEND": name, _DEFAULT: name if by_default else ""}
    os.environ.setdefault(_LOG_LEVEL, "3")  # TensorFlow's C++ notes would drown ours on stderr
    return name


def _wishes(flag: str | None) -> tuple[tuple[str | None, str], ...]:
    """Return (engine or None, what asks for it) of all that is more than a default, the strongest first."""
    return (flag, "--backend"), (wished(), "KERAS_BACKEND"), (_running(), "Keras, which is imported already")


def _running() -> str | None:
    """Return the engine of the Keras that is imported, None before."""
    keras = sys.modules.get("keras")
    return None if keras is None else str(keras.backend.backend())


@functools.cache
def _say(name: str) -> None:
    """Say once a process which engine it is."""
    print(f"Engine: {name}", file=sys.stderr, flush=True)


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


def _keras_json() -> str:
    return os.path.expanduser(os.path.join(keras_folder(), "keras.json"))


def _configured() -> str | None:
    """Return the backend keras.json names; a file that Keras wrote by itself, or that cannot be read, names none."""
    import json

    try:
        with open(_keras_json(), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content == KERAS_DEFAULTS:
        return None
    name = content.get("backend")
    return name if isinstance(name, str) else None
