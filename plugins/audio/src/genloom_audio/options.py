"""Options of the sources of sound, light enough to list without their libraries."""

from __future__ import annotations

import dataclasses

from genloom.options import LARGEST_SEED, option

__all__ = ["FolderOptions", "ToneOptions"]


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """Options of `audio:DIR`."""

    rate: int = option(
        8000, "samples per second; recordings of another rate are converted", minimum=100, maximum=192_000
    )
    seconds: float = option(
        1.0, "length: longer recordings are cut, shorter ones end in silence", minimum=1e-3, maximum=600
    )
    channels: int = option(1, "1 takes the mean of all channels, 2 wants stereo", choices=(1, 2))
    test: float = option(0.1, "share held out when there are no train and test folders", minimum=0.001, maximum=0.9)


@dataclasses.dataclass(frozen=True)
class ToneOptions:
    """Options of `tones`."""

    n: int = option(4000, "training sounds; a fifth as many are made for the test", minimum=48, maximum=10**6)
    rate: int = option(4000, "samples per second", minimum=2000, maximum=48_000)
    seconds: float = option(0.256, "length of each", minimum=0.05, maximum=10.0)
    seed: int = option(0, "fixes the sounds", minimum=-LARGEST_SEED, maximum=LARGEST_SEED)
