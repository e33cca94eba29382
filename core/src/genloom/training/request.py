"""What a training is asked for, before anything of it is looked at; of several seeds one request each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.arguments import many, seed_number
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.opening import Data
    from genloom.model import GenerativeModel

__all__ = ["Request", "each_seed"]


@dataclasses.dataclass(frozen=True)
class Request:
    """What the caller of `genloom.train` gave.

    Attributes:
        model: an id, or a model object.
        data: what `genloom.data.open` takes; None for a run to resume takes its own.
        preset: named option values and training settings of the component.
        options: the model's options; below them those of the run to resume, or of `init_from` when no preset is named.
        asked: training settings; None counts as not given.
        seed: from 0 to 2⁶³ − 1.
        init_from: a run; None for a run to resume takes the one that it began from.
        out: the run directory, None for a new one.
        resume: whether to go on with the run in `out`.
    """

    model: str | GenerativeModel
    data: Data | None
    preset: str | None
    options: Mapping[str, Any] | None
    asked: Mapping[str, Any]
    seed: int
    init_from: str | Path | None
    out: str | Path | None
    resume: bool


def each_seed(request: Request, seeds: Sequence[int]) -> list[Request]:
    """Return a request for each seed, `<out>-seed<seed>`; of those to resume, what was not reached begins.

    Raises:
        ConfigError: no seeds, one twice, a model object, whose weights are drawn already, or none to resume.
    """
    seeds = [seed_number(seed) for seed in many("seeds", seeds, object, "a list of whole numbers, such as [1, 2]")]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds must be different whole numbers, got {list(seeds)}.")
    if not isinstance(request.model, str):
        raise ConfigError("seeds need a model's id: a model object has its weights already.")
    places = [None if request.out is None else Path(f"{request.out}-seed{seed}") for seed in seeds]
    # A kill in the second of three leaves nothing of the third.
    left = [place for place in places if place is not None and place.exists()] or places[:1]
    return [
        dataclasses.replace(request, seed=seed, out=place, resume=request.resume and place in left)
        for seed, place in zip(seeds, places, strict=True)
    ]
