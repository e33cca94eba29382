"""Options of the post-processors."""

from __future__ import annotations

import dataclasses

from genloom import option

__all__ = [
    "ContrastOptions",
    "DenoiseOptions",
    "DequantiseOptions",
    "GammaOptions",
    "NormaliseOptions",
    "PaletteOptions",
    "SharpenOptions",
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
    seed: int = option(0, "of the noise; sample i of a seed gets the same noise wherever it stands", minimum=0)


@dataclasses.dataclass(frozen=True)
class PaletteOptions:
    """Options of `palette`."""

    colours: int = option(16, "colours left in each picture", minimum=2, maximum=256)


@dataclasses.dataclass(frozen=True)
class NormaliseOptions:
    """Options of `normalise`."""

    peak: float = option(0.95, "largest absolute value afterwards, as a share of the range", minimum=0.0, maximum=1.0)
