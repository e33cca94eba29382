"""What is in a data set, and what is wrong with it, before any training: the answer of `genloom data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genloom.data.dataset import Dataset
from genloom.data.opening import Data
from genloom.data.opening import open as open_dataset
from genloom.data.span import narrow
from genloom.data.spec import DataSpec
from genloom.data.summary import MOST_READ, summarise
from genloom.errors import ConfigError, listed
from genloom.files.atomic import make_folder, write_atomic
from genloom.modalities import picture
from genloom.modalities.drawing import to_bytes

__all__ = ["MANY_CLASSES", "SCHEMA_VERSION", "check", "inspect"]

SCHEMA_VERSION = 1
MANY_CLASSES = 20  # of more than this the empty ones are counted, not listed
_RARE = 0.1  # a class below this share of an even one is worth a warning
_STEPS = 256  # of float32 within one deviation; fewer and values come in visible steps
_SHOWN = 64  # samples in a picture


def check(data: Data, out: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Open a data set, read every sample (of millions, two million evenly spaced), and report.

    Args:
        data: as for `genloom.data.open`.
        out: where a PNG of training samples is written, for kinds that have pictures.
        options: options of the source.

    Returns:
        Plain values for JSON: schema_version, address, fingerprint, spec, notes, treatment (what is done to values
        before a model sees them), train and test (each with samples, dtype, minimum, maximum, mean, deviation,
        constant, duplicates, nan, out_of_range, what the modality counts and, when labelled, classes as name -> count;
        where values are no amounts, as tokens, the four numbers of them are None), leaked (test samples that are in
        train too), warnings (sentences), and out.

    Raises:
        DataError: the data cannot be used; names the file and the mend.
        ConfigError: `out` without pictures to draw.
    """
    return inspect(open_dataset(data, **options), out)


def inspect(dataset: Dataset, out: str | Path | None = None) -> dict[str, Any]:
    """Report on a data set that is open already (see `check`)."""
    train, test = (summarise(split, dataset.spec) for split in (dataset.train, dataset.test))
    seen = set(train.hashes)
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "address": dataset.address,
        "fingerprint": dataset.fingerprint,
        "spec": dataset.spec.to_dict(),
        "notes": list(dataset.notes),
        "treatment": treatment(dataset.spec),
        "train": train.to_dict(),
        "test": test.to_dict(),
        "leaked": sum(name in seen for name in test.hashes),
    }
    report["warnings"] = [
        *(
            f"Read {MOST_READ:,} of {split.samples:,} samples of {name}, evenly spaced; counts are of those."
            for name, split in (("train", train), ("test", test))
            if split.samples > MOST_READ
        ),
        *_warnings(report),
        *_narrow(report["train"], dataset.spec),
        *_coarse(dataset.spec),
    ]
    if out is not None:
        report["out"] = str(_draw(dataset, Path(out)))
    return report


def treatment(spec: DataSpec) -> str:
    """Say what is done to values before a model sees them; samples come back in the data's own units."""
    if spec.value_range is not None:
        low, high = spec.value_range
        levels = f", {spec.levels} levels" if spec.levels else ""
        return f"Values from {low:g} to {high:g}{levels}: models see them from -1 to 1."
    if not spec.scale:
        return f"Models see the {'tokens' if spec.vocabulary else 'values'} as they are."
    what = _what(spec)
    shown = [
        f"{_place(spec, place)}: {spec.mean[place]:.5g} ± {deviation:.5g}"
        for place, deviation in enumerate(spec.scale)
        if deviation
    ]
    text = f"Unbounded: models see (x - mean) / deviation of each {what} ({listed(shown)}), samples are in x's units."
    constant = [_place(spec, place) for place, deviation in enumerate(spec.scale) if not deviation]
    return text + (f" One value only, which samples have exactly: {what} {listed(constant)}." if constant else "")


def _narrow(train: dict[str, Any], spec: DataSpec) -> list[str]:
    warning = None if train["minimum"] is None else narrow(train["minimum"], train["maximum"], spec)
    return [] if warning is None else [warning]


def _coarse(spec: DataSpec) -> list[str]:
    """Warn of places whose mean is so large that float32 leaves their spread few steps."""
    coarse = [
        _place(spec, place)
        for place, (mean, deviation) in enumerate(zip(spec.mean, spec.scale, strict=True))
        if 0 < deviation < _STEPS * abs(mean) * np.finfo(np.float32).eps
    ]
    words = "the mean is so large that float32 keeps few digits of the variation; subtract it first."
    return [f"In {_what(spec)} {listed(coarse)} {words}"] if coarse else []


def _what(spec: DataSpec) -> str:
    return "channel" if len(spec.shape) > 1 else "column"


def _place(spec: DataSpec, place: int) -> str:
    return spec.columns[place] if len(spec.columns) == len(spec.scale) else str(place)


def _warnings(report: dict[str, Any]) -> list[str]:
    found = []
    for part in ("train", "test"):
        summary = report[part]
        texts = {
            "nan": "samples with NaN or infinite values",
            "out_of_range": "samples outside the value range",
            "constant": "samples of one value only",
            "duplicates": "repeated samples",
        }
        found += [f"{summary[key]} {text} in {part}." for key, text in texts.items() if summary[key]]
    if report["leaked"]:
        found.append(f"{report['leaked']} test samples are also in train: held-out scores will be too good.")
    return found + _rare(report["train"].get("classes", {}))


def _rare(classes: dict[str, int]) -> list[str]:
    """Warn of each rare class; of many classes the empty ones are counted."""
    even = sum(classes.values()) / max(len(classes), 1)
    found: list[str] = []
    if len(classes) > MANY_CLASSES:
        empty = sum(not count for count in classes.values())
        found += [f"{empty} of {len(classes)} classes have no training sample."] if empty else []
        classes = {name: count for name, count in classes.items() if count}
    found += [
        f"Class {name} has {count} of {sum(classes.values())} training samples."
        for name, count in classes.items()
        if count < _RARE * even
    ]
    return found


def _draw(dataset: Dataset, out: Path) -> Path:
    """Write a picture of up to 64 training samples, spread evenly over the split."""
    if out.suffix.lower() != ".png":
        raise ConfigError(f"The picture is a PNG, got {out}.", mend="End the name in .png.")
    shown = min(len(dataset.train), _SHOWN)
    x = dataset.train.take(np.arange(shown) * len(dataset.train) // shown)["x"]
    image = picture(x, dataset.spec)
    make_folder(out.parent)
    write_atomic(out, to_bytes(image))
    return out
