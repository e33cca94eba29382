"""A published configuration: a JSON object of which every value is checked as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genloom.errors import ConfigError, nearest

__all__ = ["Config"]


class Config:
    """A published configuration, of which every value is checked as it is read; null counts as absent.

    Args:
        values: the JSON object.
        file: names it in errors.

    Raises:
        ConfigError: by every method that reads: a value that is absent, of the wrong type, or that no model computes.
    """

    def __init__(self, values: Mapping[str, Any], file: str) -> None:
        self.values = {key: value for key, value in values.items() if value is not None}
        self.file = file

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number; without a default it has to be there."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or (value < 1 and value != default):
            raise self._wrong(key, value, "a positive whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a positive number."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise self._wrong(key, value, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def table(self, key: str) -> Config:
        """Return an object within; an absent one is empty."""
        value = self._value(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Config(value, f"{self.file}: {key}")

    def only(self, key: str, *known: Any) -> None:
        """Refuse a value other than those known, of which the first stands for an absent one."""
        value = self.values.get(key, known[0])
        if value not in known:
            raise self.refused(key, value, *known)

    def refused(self, key: str, value: Any, *known: Any) -> ConfigError:
        """Return the error for a value that asks for what no model here computes."""
        return ConfigError(
            f"{self.file} asks for {key}={value!r}, which language/transformer does not compute.",
            mend=f"Only {' or '.join(map(repr, known))} can be read.",
        )

    def _value(self, key: str, default: Any) -> Any:
        if key not in self.values and default is None:
            raise ConfigError(
                f"{self.file} lacks {key!r}.{nearest(key, self.values)}",
                mend="Fetch the configuration again, whole.",
            )
        return self.values.get(key, default)

    def _wrong(self, key: str, value: Any, wanted: str) -> ConfigError:
        return ConfigError(f"{self.file} has {key}={value!r}, not {wanted}.", mend="Fetch the configuration again.")
