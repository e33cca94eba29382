"""What a modality promises, held against what it answers: whoever wrote it is told which promise broke."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom.arguments import described
from genloom.errors import PluginError
from genloom.modalities.modality import Modality, Reader, Writer

if TYPE_CHECKING:
    from PIL.Image import Image

    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec

__all__ = ["Held"]

_ALWAYS = (".npz", ".png")  # endings that no modality writes by itself


class Held(Modality):
    """A modality whose answers are checked before anybody computes with them.

    Args:
        own: what a plugin offers.
        name: of its plugin and component, for errors.

    Raises:
        PluginError: here and in every method, for an answer that is not what `Modality` says; names the promise.
    """

    def __init__(self, own: Modality, name: str) -> None:
        self.own, self._name = own, name
        self.numeric, self.in_rows, self.features, self.like = own.numeric, own.in_rows, own.features, own.like
        for what, given in (("features", self.features), ("like", self.like)):
            if not isinstance(given, str):
                raise PluginError(f"{name}: {what} is {described(given)}.", mend="Write a name, or '' for none.")

    def shaped(self, x: NDArray[Any], name: str) -> NDArray[Any]:
        """Return samples, as many as were given."""
        found = self.own.shaped(x, name)
        return self._rows("shaped()", found, len(x), axes=2)

    def span(self, x: NDArray[Any], name: str) -> tuple[float, float] | None:
        """Return two numbers, the lower one first, or None."""
        found = self.own.span(x, name)
        self._held(found is None or _bounds(found), "span()", found, "(lowest, highest), or None")
        return found

    def readers(self) -> Mapping[str, Reader]:
        """Return functions by ending, each of which returns samples."""
        found = self._functions("readers()", self.own.readers())
        return {ending: functools.partial(self._read, ending, read) for ending, read in found.items()}

    def condition(self, name: str, rows: NDArray[Any], spec: DataSpec) -> NDArray[Any]:
        """Return arrays, as many as were given."""
        return self._rows("condition()", self.own.condition(name, rows, spec), len(rows), axes=1)

    def pictured(self, spec: DataSpec) -> bool:
        """Return yes or no."""
        found = self.own.pictured(spec)
        self._held(isinstance(found, (bool, np.bool_)), "pictured()", found, "True or False")
        return found

    def picture(
        self,
        samples: NDArray[Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: NDArray[Any] | None = None,
    ) -> Image:
        """Return a picture."""
        from PIL.Image import Image

        found = self.own.picture(samples, spec, columns, labels)
        self._held(isinstance(found, Image), "picture()", found, "a Pillow image")
        return found

    def summary(self, samples: NDArray[Any], spec: DataSpec) -> Mapping[str, NDArray[Any]]:
        """Return a number of each sample by name."""
        found = self.own.summary(samples, spec)
        self._held(isinstance(found, Mapping), "summary()", found, "a dict of arrays by name")
        for name, given in found.items():
            kept = isinstance(name, str) and _array(given).shape == (len(samples),) and _amounts(given)
            self._held(kept, f"summary() of {name!r}", given, f"one number of each of {len(samples)} samples")
        return found

    def featured(self, samples: NDArray[Any], spec: DataSpec) -> NDArray[Any]:
        """Return finite amounts, a row for each sample."""
        found = self.own.featured(samples, spec)
        x, n = _array(found), len(samples)
        self._held(x.ndim == 2 and len(x) == n and _amounts(x), "featured()", found, f"amounts ({n}, d)")
        lost = int((~np.isfinite(np.asarray(x, np.float64))).any(axis=1).sum())
        if lost:
            raise PluginError(
                f"{self._name}: featured() returned numbers that are not finite for {lost} of {n} samples.",
                mend="Return a number where there is none to measure, such as 0.",
            )
        return x

    def ending(self, drawn: Samples) -> str:
        """Return an ending that is written."""
        found = self.own.ending(drawn)
        endings = [*_ALWAYS, *self.writers()]
        self._held(found in endings, "ending()", found, f"one of {', '.join(endings)}")
        return found

    def writers(self) -> Mapping[str, Writer]:
        """Return functions by ending, each of which returns bytes."""
        found = self._functions("writers()", self.own.writers())
        return {ending: functools.partial(self._written, ending, write) for ending, write in found.items()}

    def _read(self, ending: str, read: Reader, content: bytes) -> NDArray[Any]:
        found = read(content)
        self._held(_array(found).ndim >= 2, f"the reader of {ending}", found, "samples (n, …)")
        return _array(found)

    def _written(self, ending: str, write: Writer, drawn: Samples) -> bytes:
        found = write(drawn)
        self._held(isinstance(found, bytes), f"the writer of {ending}", found, "the bytes of a file")
        return found

    def _functions(self, promise: str, found: Any) -> Mapping[str, Callable[..., Any]]:
        kept = isinstance(found, Mapping) and all(map(_is_ending, found)) and all(map(callable, found.values()))
        self._held(kept, promise, found, "a dict from endings, such as '.fen', to functions")
        return found

    def _rows(self, promise: str, found: Any, n: int, axes: int) -> NDArray[Any]:
        x = _array(found)
        self._held(x.ndim >= axes and len(x) == n, promise, found, f"an array of {n} rows")
        return x

    def _held(self, kept: bool, promise: str, found: Any, wanted: str) -> None:
        """Raise PluginError where a promise was not kept."""
        if not kept:
            raise PluginError(f"{self._name}: {promise} returned {described(found)}.", mend=f"Return {wanted}.")


def _array(found: Any) -> NDArray[Any]:
    """Return what was given as an array; one without axes where it is none, or holds objects."""
    try:
        x = np.asarray(found)
    except ValueError:  # lists of several lengths
        x = np.empty((), object)
    return x if x.dtype.kind != "O" else np.empty(())


def _amounts(found: Any) -> bool:
    return _array(found).dtype.kind in "biuf"


def _bounds(found: Any) -> bool:
    numbers_of = [found[0], found[1]] if isinstance(found, (tuple, list)) and len(found) == 2 else []
    finite = all(isinstance(bound, numbers.Real) and math.isfinite(bound) for bound in numbers_of)
    return bool(numbers_of) and finite and numbers_of[0] < numbers_of[1]


def _is_ending(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(".") and name == name.lower()
