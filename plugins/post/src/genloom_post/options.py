"""Options of the post-processors."""

from __future__ import annotations

import dataclasses

from genloom import option

__all__ = [
    "ContrastOptions",
    "DeduplicateOptions",
    "DenoiseOptions",
    "DequantiseOptions",
    "GammaOptions",
    "NormaliseOptions",
    "PaletteOptions",
    "QuantiseOptions",
    "RejectOptions",
    "ScaleOptions",
    "SharpenOptions",
    "SuperResolutionOptions",
    "TileOptions",
    "TrimOptions",
]


@dataclasses.dataclass(frozen=True)
class GammaOptions:
    """Options of `gamma`."""

    gamma: float = option(1.0, "exponent over [0, 1]: below 1 lightens, above 1 darkens", minimum=0.01, maximum=100.0)


@dataclasses.dataclass(frozen=True)
class ContrastOptions:
    """Options of `contrast`."""

    amount: float = option(1.5, "slope about the middle of the range; 1 changes nothing", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class DenoiseOptions:
    """Options of `denoise`."""

    method: str = option(
        "median",
        "median takes out specks, bilateral keeps edges, nlm (non-local means) keeps textures",
        choices=("median", "bilateral", "nlm"),
    )
    strength: float = option(0.1, "of nlm and bilateral: the noise to expect, in units of the range", minimum=1e-4)
    radius: int = option(1, "of median and bilateral: pixels looked at on each side", minimum=1, maximum=32)


@dataclasses.dataclass(frozen=True)
class SharpenOptions:
    """Options of `sharpen`."""

    amount: float = option(1.0, "how much of the difference to the blurred picture is added", minimum=0.0)
    radius: float = option(1.0, "standard deviation of the blur, in pixels", minimum=0.1)


@dataclasses.dataclass(frozen=True)
class DequantiseOptions:
    """Options of `dequantise`."""

    levels: int = option(256, "values that the data were rounded to", minimum=2)
    seed: int = option(
        0, "of the noise; sample i of a seed gets the same noise wherever it stands", minimum=0, maximum=2**63 - 1
    )


@dataclasses.dataclass(frozen=True)
class PaletteOptions:
    """Options of `palette`."""

    colours: int = option(16, "colours left in each picture", minimum=2, maximum=256)


@dataclasses.dataclass(frozen=True)
class NormaliseOptions:
    """Options of `normalise`."""

    peak: float = option(0.95, "largest absolute value afterwards, as a share of the range", minimum=0.0, maximum=1.0)


@dataclasses.dataclass(frozen=True)
class TrimOptions:
    """Options of `trim`."""

    threshold: float = option(40.0, "decibels below a sound's own peak that count as silence", minimum=0.0)
    margin: float = option(0.0, "seconds of it that are kept on each side", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class RejectOptions:
    """Options of `reject`."""

    by: str = option(
        "discriminator",
        "who judges: the model's own discriminator, or a classifier of the training data that looks for the label",
        choices=("discriminator", "classifier"),
    )
    keep: float = option(0.5, "share that is kept, of every class", minimum=0.001, maximum=1.0)
    method: str = option(
        "best",
        "best keeps the highest scores; sampling keeps more variety (Azadi et al. 2019)",
        choices=("best", "sampling"),
    )


@dataclasses.dataclass(frozen=True)
class DeduplicateOptions:
    """Options of `deduplicate`."""

    distance: float = option(
        0.05, "samples this near count as one: root mean square over the range, or share of other tokens", minimum=0.0
    )
    against: str = option(
        "samples",
        "samples leaves one of each, training leaves out copies of training samples, both does both",
        choices=("samples", "training", "both"),
    )


@dataclasses.dataclass(frozen=True)
class TileOptions:
    """Options of `tile`."""

    columns: int = option(0, "pictures in a row; as many as rows when 0", minimum=0)
    padding: int = option(1, "pixels between two pictures", minimum=0)
    fill: float = option(1.0, "what is between them, from 0, the lowest value, to 1", minimum=0.0, maximum=1.0)


@dataclasses.dataclass(frozen=True)
class SuperResolutionOptions:
    """Options of `super-resolution`."""

    factor: int = option(2, "how many times larger each side becomes", minimum=2, maximum=8)
    epochs: int = option(30, "passes over the patches of the training pictures, at most", minimum=1)
    seed: int = option(0, "of the network's weights", minimum=0, maximum=2**63 - 1)


@dataclasses.dataclass(frozen=True)
class ScaleOptions:
    """Options of `scale`."""

    key: str = option("c", "key note", choices=("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b"))
    scale: str = option(
        "major",
        "which scale",
        choices=(
            "major",
            "minor",
            "harmonic-minor",
            "dorian",
            "mixolydian",
            "major-pentatonic",
            "minor-pentatonic",
            "blues",
        ),
    )
    lowest: int | None = option(None, "MIDI number of the lowest pitch; known for 88 and 128 pitches", minimum=0)


@dataclasses.dataclass(frozen=True)
class QuantiseOptions:
    """Options of `quantise`."""

    per_quarter: int = option(4, "lines of the grid in a quarter note: 4 for sixteenths", minimum=1)
