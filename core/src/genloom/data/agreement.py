"""New data for a trained model beside those it knows: are their numbers of one size, do classes mean the same?"""

from __future__ import annotations

import math
from itertools import zip_longest

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, listed
from genloom.messages import tell

__all__ = ["check_classes", "check_units", "tell_classes", "tell_units"]

_FAR = 3.0  # deviations of the mean, or times the scale: beyond it a model meets what it has no place for
_NOTABLE = 0.5  # deviations


def check_units(address: str, new: DataSpec, kept: DataSpec, known: str) -> None:
    """Refuse unbounded data that lie elsewhere, or are of another size, than those whose mean and scale are kept.

    Args:
        address: of the new data.
        new: their spec, with mean and scale as measured.
        kept: what was trained on. Without a scale, or of another shape, it is compared with nothing.
        known: what is named as the place of `kept`, such as a run.

    Raises:
        ConfigError: a mean more than 3 deviations away, or a scale 3 times as large or as small; places are named.
    """
    far = [_compared(new, kept, i) for i, (shift, ratio) in _distances(new, kept) if max(shift, ratio) > _FAR]
    if far:
        raise ConfigError(
            f"{address} has other units than {known}: {listed(far)}.",
            mend="A model that starts from a run keeps that run's units: convert the data, or train without init_from.",
        )


def tell_units(address: str, new: DataSpec, kept: DataSpec, known: str) -> None:
    """Say on stderr where the mean or the scale of new data is off by more than half a deviation."""
    off = [_compared(new, kept, i) for i, (shift, ratio) in _distances(new, kept) if max(shift, ratio - 1) > _NOTABLE]
    if off:
        tell(f"{address} is scaled as {known}, but its statistics differ: {listed(off)}.")


def check_classes(address: str, new: DataSpec, kept: DataSpec, known: str) -> None:
    """Refuse data whose classes have other names, or another order; where one side has no names, say what is assumed.

    Raises:
        ConfigError: both have names and they differ; the first that do are named.
    """
    if other := _other_classes(new, kept):
        raise ConfigError(
            f"{address} has other classes than {known}: {other}.",
            mend="Give data with the same classes in the same order, such as the same folders, or train a new run.",
        )
    _tell_unnamed(address, new, kept, known)


def tell_classes(address: str, new: DataSpec, kept: DataSpec, known: str) -> None:
    """Say on stderr where the classes of new data have other names, or another order."""
    if other := _other_classes(new, kept):
        tell(f"{address} has other classes than {known}: {other}.")
    _tell_unnamed(address, new, kept, known)


def _tell_unnamed(address: str, new: DataSpec, kept: DataSpec, known: str) -> None:
    """Say which classes are taken for which, where only one side has names."""
    if new.classes and kept.classes and bool(new.class_names) != bool(kept.class_names):
        unnamed, first = (address, kept.class_names[0]) if kept.class_names else (known, new.class_names[0])
        tell(f"{unnamed} has no class names: its class 0 is taken as {first!r}, and so on in order.")


def _distances(new: DataSpec, kept: DataSpec) -> list[tuple[int, tuple[float, float]]]:
    """Return of each place how far the mean is, in deviations, and how many times the scale is larger or smaller."""
    if not (new.scale and kept.scale) or new.shape != kept.shape:
        return []
    places = zip(new.mean, new.scale, kept.mean, kept.scale, strict=True)
    return [(i, (_shift(m - mean, scale), _ratio(s, scale))) for i, (m, s, mean, scale) in enumerate(places)]


def _shift(distance: float, kept: float) -> float:
    """What was constant is drawn as that value alone: any other is far."""
    return abs(distance) / kept if kept else (math.inf if distance else 0.0)


def _ratio(new: float, kept: float) -> float:
    """A constant, of scale 0 or in older runs 1, is no narrower unit: a month of a year."""
    if new == kept or (new < kept and (new == 0.0 or 1.0 in (new, kept))):
        return 1.0
    return max(new / kept, kept / new) if kept else math.inf


def _compared(new: DataSpec, kept: DataSpec, place: int) -> str:
    name = new.columns[place] if new.columns else place
    what = "channel" if len(new.shape) > 1 else "column"
    now, was = (f"{spec.mean[place]:.4g} ± {spec.scale[place]:.4g}" for spec in (new, kept))
    return f"{what} {name} has {now} instead of {was}"


def _other_classes(new: DataSpec, kept: DataSpec) -> str:
    """Return how the first class of another name is called in both; "" where all are alike or one has no names."""
    if not (new.class_names and kept.class_names):
        return ""
    pairs = enumerate(zip_longest(new.class_names, kept.class_names))
    return next((f"class {i} is {_named(now)} instead of {_named(was)}" for i, (now, was) in pairs if now != was), "")


def _named(name: str | None) -> str:
    return "none" if name is None else repr(name)
