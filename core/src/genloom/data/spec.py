"""What one sample of a data set is: the description that travels with data, models, runs and samples."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from genloom.errors import ConfigError, nearest

__all__ = ["MOST_CLASSES", "DataSpec", "is_text"]

_KIND = re.compile(r"[a-z][a-z0-9-]*")

#: A model has weights, and run.toml a name and a share, for each.
MOST_CLASSES = 100_000
_MOST_LEVELS = 65_536  # of a value: sixteen bits


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Describe one sample of a data set.

    Attributes:
        shape: shape of one sample, without the batch axis, channels last: (height, width, channels) for an
            image, (features,) for a signal or table.
        kind: the modality's name, such as image, signal, table or text (`genloom list modalities`).
        dtype: NumPy name of the stored type.
        value_range: (lowest, highest) value of a sample, or None when values are unbounded.
        mean: of unbounded data: the training samples' mean, one for each place of the last axis (a column, a
            channel). Empty means 0. `genloom.data.open` and `genloom.train` measure it.
        scale: of unbounded data: their standard deviation, laid out as `mean`; 0 where a column is constant, which
            samples then have exactly. Empty means 1.
        levels: of data with a range: how many values there are, evenly from the lowest to the highest, such as 256 of
            bytes; 0 where that is unknown or values are continuous. Discrete likelihoods are over these.
        classes: number of classes, 0 without labels, `MOST_CLASSES` at most.
        class_names: one name per class, or empty.
        class_frequencies: share of each class in the training data; labels are drawn from it when no
            condition is given. Empty means uniform.
        vocabulary: number of tokens of a text or music, 0 otherwise.
        columns: column names of a table.
        rate: Hz of audio, frames/s of video, ticks per quarter of music, characters per token of held-out text.
        maximum_length: longest sequence, 0 where it does not apply.
        condition: names of the arrays a condition holds, ("label",) for class labels.

    Raises:
        ConfigError: an unknown kind, an empty or non-positive shape, an inverted range, names that do not
            match the number of classes, a mean and scale that do not fit, levels of data without a range.
    """

    shape: tuple[int, ...]
    kind: str = "image"
    dtype: str = "float32"
    value_range: tuple[float, float] | None = (0.0, 1.0)
    classes: int = 0
    class_names: tuple[str, ...] = ()
    class_frequencies: tuple[float, ...] = ()
    vocabulary: int = 0
    columns: tuple[str, ...] = ()
    rate: float | None = None
    maximum_length: int = 0
    condition: tuple[str, ...] = ()
    # Not in the description: fingerprints of texts hold that, and are those of runs from before.
    mean: tuple[float, ...] = dataclasses.field(default=(), repr=False)
    scale: tuple[float, ...] = dataclasses.field(default=(), repr=False)
    levels: int = dataclasses.field(default=0, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not _KIND.fullmatch(self.kind):
            raise ConfigError(f"{self.kind!r} is not a kind of data.", mend="Use one of: genloom list modalities.")
        if not _is_row(self.shape, numbers.Integral) or not all(side > 0 for side in self.shape):
            raise ConfigError(f"A sample's shape needs positive sides, such as (28, 28, 1), got {self.shape!r}.")
        if self.value_range is not None and not _is_range(self.value_range):
            raise ConfigError(f"value_range must be (lowest, highest), got {self.value_range!r}.")
        if not isinstance(self.classes, numbers.Integral):
            raise ConfigError(f"classes must be a whole number, got {self.classes!r}.")
        for name in ("class_names", "class_frequencies"):
            if getattr(self, name) and len(getattr(self, name)) != self.classes:
                raise ConfigError(f"{name} has {len(getattr(self, name))} entries for {self.classes} classes.")
        if not 0 <= self.classes <= MOST_CLASSES:
            raise ConfigError(
                f"Data have {self.classes} classes, where {MOST_CLASSES:,} are the most.",
                mend="Are they codes? Number the classes from 0 without gaps, or leave the labels out.",
            )
        for name in (*self.class_names, *self.columns):
            if not isinstance(name, str) or not is_text(name):
                raise ConfigError(f"{name!r} is not a valid name: it is not UTF-8.", mend="Give it another name.")
        if self.mean or self.scale:
            self._check_scale()
        if self.levels:
            self._check_levels()

    def _check_levels(self) -> None:
        """Raise ConfigError unless levels are two or more of a range."""
        whole = isinstance(self.levels, numbers.Integral) and not isinstance(self.levels, bool)
        if not whole or not 2 <= self.levels <= _MOST_LEVELS:
            raise ConfigError(f"levels must be 2 to {_MOST_LEVELS:,}, or 0 where unknown, got {self.levels!r}.")
        if self.value_range is None:
            raise ConfigError(f"{self.levels} levels need a value range.", mend="Give value_range=lowest,highest.")

    def _check_scale(self) -> None:
        """Raise ConfigError unless mean and scale are finite, the scale not negative, and one per place."""
        wanted = int(self.shape[-1])
        if self.value_range is not None:
            raise ConfigError(f"Data in {self.value_range} have no mean and scale.", mend="Give value_range=None.")
        if not len(self.mean) == len(self.scale) == wanted:
            raise ConfigError(
                f"mean and scale have {len(self.mean)} and {len(self.scale)} entries; samples of {self.shape} need "
                f"{wanted}."
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 <= value < math.inf for value in self.scale):
            raise ConfigError(
                f"mean must be finite and scale 0 or more, got {self.mean} and {self.scale}.",
                mend="See: genloom data check SRC.",
            )

    @property
    def size(self) -> int:
        """Number of values in one sample."""
        total = 1
        for side in self.shape:
            total *= side
        return total

    @property
    def holds_tokens(self) -> bool:
        """Whether samples are tokens, whole numbers below `vocabulary`."""
        return self.vocabulary > 0

    @property
    def centre(self) -> float:
        """Middle of the value range, 0 when unbounded."""
        return 0.0 if self.value_range is None else (self.value_range[0] + self.value_range[1]) / 2

    @property
    def half_width(self) -> float:
        """Half the width of the value range, 1 when unbounded."""
        return 1.0 if self.value_range is None else (self.value_range[1] - self.value_range[0]) / 2

    @property
    def divisors(self) -> tuple[float, ...]:
        """What normalising unbounded data divides by: the scale, 1 where a column is constant."""
        return tuple(value or 1.0 for value in self.scale)

    @property
    def log_volume(self) -> float:
        """Log of how many times more volume a sample has than its normalised form: what a density in nats loses."""
        if self.scale:
            return self.size / len(self.scale) * sum(map(math.log, self.divisors))
        return self.size * math.log(self.half_width)

    def class_name(self, label: int) -> str:
        """Return the name of a class, its number where classes have no names."""
        return self.class_names[label] if self.class_names else str(int(label))

    def normalise(self, x: Any) -> Any:
        """Map samples (…, *shape), or flat ones (…, size), from their own units to those a model works in.

        The value range goes to [-1, 1]; unbounded data get mean 0 and deviation 1. Any floating array or tensor.
        """
        mean, scale = self._units(x, self.divisors)
        return (x - mean) / scale

    def denormalise(self, x: Any) -> Any:
        """Map samples back to the data's own units: the inverse of `normalise`; a constant column has its value."""
        mean, scale = self._units(x, self.scale)
        return x * scale + mean

    def _units(self, x: Any, scale: tuple[float, ...]) -> tuple[Any, Any]:
        """Return mean and scale: numbers, or rows as long as the last axis of x."""
        if not self.scale:
            return self.centre, self.half_width
        import numpy as np

        repeats = max(1, int(x.shape[-1]) // len(self.scale))
        rows = np.tile(self.mean, repeats), np.tile(scale, repeats)
        if isinstance(x, np.ndarray):
            return rows[0].astype(x.dtype), rows[1].astype(x.dtype)
        from keras import ops  # x is a tensor, so an engine is there

        return ops.convert_to_tensor(rows[0], x.dtype), ops.convert_to_tensor(rows[1], x.dtype)

    def replace(self, **changes: Any) -> DataSpec:
        """Return a copy with some fields changed.

        A mean and scale are left out of one with another range or shape, levels of one with another range.
        """
        plain: dict[str, Any] = {"mean": (), "scale": ()} if {"value_range", "shape"} & set(changes) else {}
        plain |= {"levels": 0} if "value_range" in changes else {}
        return dataclasses.replace(self, **{**plain, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, without empty fields: TOML and JSON can hold it."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        plain["value_range"] = "unbounded" if self.value_range is None else list(self.value_range)
        return {k: v for k, v in plain.items() if v not in (None, [], 0)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DataSpec:
        """Rebuild a spec from `to_dict`; an unknown key is an error with the nearest name."""
        names = {field.name for field in dataclasses.fields(cls)}
        for key in plain:
            if key not in names:
                raise ConfigError(f"Unknown key {key!r} in a data spec.{nearest(key, names)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        if values.get("value_range") == "unbounded":
            values["value_range"] = None
        return cls(**values)


def _is_row(value: Any, kind: type) -> bool:
    """Say whether a value is a list or tuple of numbers of a kind, one at least."""
    numeric = isinstance(value, (tuple, list)) and all(isinstance(x, kind) and not isinstance(x, bool) for x in value)
    return numeric and len(value) > 0


def _is_range(value: Any) -> bool:
    return _is_row(value, numbers.Real) and len(value) == 2 and value[0] < value[1]


def is_text(name: str) -> bool:
    """Say whether a name can be written as UTF-8, and so be kept in a run."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # a byte that is not UTF-8, as a file system may have it
        return False
    return True
