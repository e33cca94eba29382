"""TOML files that a person writes: what is wrong with one is said in words, and its values by their dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, reason
from genloom.files import bounded

__all__ = ["flat", "read_toml"]


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        what: it is, such as "configuration file".

    Raises:
        ConfigError: no such file, one that may not be read, no text, or no TOML; names the line.
    """
    try:
        return bounded.table(bounded.content(Path(path)))
    except FileNotFoundError:
        raise ConfigError(f"There is no {what} {str(path)!r}.", mend="Name one that exists.") from None
    except OSError as error:
        raise ConfigError(f"The {what} {str(path)!r} cannot be read: {reason(error)}.") from error
    except ValueError as error:
        if Path(path).is_dir():
            raise ConfigError(f"{str(path)!r} is a folder, no {what}.", mend="Name a TOML file.") from None
        raise ConfigError(f"The {what} {str(path)!r} is no TOML: {error}.", mend="Mend the file.") from error


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of nested tables by its dotted name, such as model.options.latent."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
