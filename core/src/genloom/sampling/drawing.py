"""Drawing: sample i of a seed is the same at any batch size and on every backend.

Samples are drawn in chunks of one shape, each by one compiled function, with one random key per sample.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.data.fitting import SLACK
from genloom.data.samples import Samples
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, PluginError, RunError, nearest
from genloom.messages import tell
from genloom.options import check_number
from genloom.sampling.conditions import conditions

if TYPE_CHECKING:
    from genloom.data.spec import DataSpec
    from genloom.model import GenerativeModel

__all__ = ["draw_samples"]

_MOST_AT_ONCE = 256
_HELD = 128  # a network's activations, as a multiple of its sample: a U-Net of some hundred channels
_SHARE = 8  # of the memory, one part is for a chunk


def draw_samples(
    model: GenerativeModel,
    n: int,
    seed: int = 0,
    condition: Mapping[str, Any] | None = None,
    *,
    offset: int = 0,
    chunk: int | None = None,
    weights: str = "ema",
    options: Mapping[str, Any] | None = None,
) -> Samples:
    """Draw samples as `sample` does, without the plugins' wrappers and post-processors."""
    options = dict(options or {})
    _check_options(model, options)
    if weights not in ("ema", "trained"):
        raise ConfigError(f"weights must be 'ema' or 'trained', got {weights!r}.{nearest(weights, ('ema', 'trained'))}")
    arrays = conditions(model, n, seed, condition, offset)
    begin = time.perf_counter()
    values, compile_seconds = _drawn(model, options, chunk, (n, seed, offset), arrays, weights)
    seconds = time.perf_counter() - begin
    numbers = np.arange(offset, offset + n, dtype=np.int64)
    return Samples(
        samples=model.finish(_checked(values, model), arrays, options),
        labels=arrays["label"] if model.takes_labels else None,
        seeds=np.stack([np.full(n, seed, np.int64), numbers], axis=1),
        spec=model.spec,
        evaluations=model.evaluations(**options),
        seconds=seconds,
        compile_seconds=compile_seconds,
        step=model.loaded_step,
    )


def _check_options(model: GenerativeModel, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        check_number(value, name)
    known = _known_options(type(model))
    for name in options:
        if known is not None and name not in known:
            raise ConfigError(
                f"{type(model).__name__} has no sampling option {name!r}.{nearest(name, known)}",
                mend=f"Options: {', '.join(known) or 'none'}.",
            )


def _known_options(kind: type[GenerativeModel]) -> list[str] | None:
    """Return the names that `draw` takes; one that takes any hands them on to that of a class above. None: any."""
    from genloom.model.family import Family

    known: list[str] = []
    for each in (vars(above)["draw"] for above in kind.__mro__ if "draw" in vars(above) and above is not Family):
        parameters = [*inspect.signature(each).parameters.values()][3:]  # after self, keys and condition
        known += [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in known]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return known
    return None


def _drawn(
    model: GenerativeModel,
    options: dict[str, Any],
    chunk: int | None,
    numbers: tuple[int, int, int],
    arrays: dict[str, np.ndarray[Any, Any]],
    weights: str,
) -> tuple[np.ndarray[Any, Any], float]:
    """Return all samples and the seconds of compiling; without a given chunk, halve it while memory runs out."""
    from genloom import backend

    size = chunk or _chunk(numbers[0], model.spec, backend.memory())
    while True:
        draw, first = model.sampler(size, options)
        try:
            return _in_chunks(model, draw, first, size, numbers, arrays, weights)
        except Exception as error:
            if chunk is not None or not backend.ran_out_of_memory(error):
                raise
            if size == 1:
                raise RunError(f"The memory does not hold one sample of {type(model).__name__}: {error}") from error
            size //= 2
            tell(f"memory ran out: drawing {size} samples at once.")


def _chunk(n: int, spec: DataSpec, memory: int) -> int:
    """Samples drawn at once: a power of two, so that nearby n share one compiled function."""
    fitting = memory // (_SHARE * _HELD * 4 * spec.size)
    most = max(1, min(_MOST_AT_ONCE, fitting))
    return min(1 << (n - 1).bit_length(), 1 << int(math.log2(most)))


def _in_chunks(
    model: GenerativeModel,
    draw: Callable[..., Any],
    first: bool,
    size: int,
    numbers: tuple[int, int, int],
    arrays: dict[str, np.ndarray[Any, Any]],
    weights: str,
) -> tuple[np.ndarray[Any, Any], float]:
    """Return all samples, and the seconds of the first call when the function is new."""
    from keras import ops

    from genloom import random
    from genloom.model.promises import check_drawn

    n, seed, offset = numbers
    parts, compile_seconds = [], 0.0
    model.sync_state()
    with model.averaged_weights() if weights == "ema" else contextlib.nullcontext():
        for start in range(0, n, size):
            begin = time.perf_counter()
            rows = np.minimum(np.arange(start, start + size), n - 1)  # the padding repeats the last condition
            condition = {name: array[rows] for name, array in arrays.items()}
            drawn = draw(random.keys(seed, size, offset + start), condition)
            check_drawn(model, drawn, (size, *model.spec.shape))
            parts.append(ops.convert_to_numpy(drawn)[: n - start])
            if first and start == 0:
                compile_seconds = time.perf_counter() - begin
    return np.concatenate(parts), compile_seconds


def _checked(values: np.ndarray[Any, Any], model: GenerativeModel) -> np.ndarray[Any, Any]:
    """Return samples as float32 (tokens as int32) after checking numbers and range."""
    name, spec = type(model).__name__, model.spec
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int32)
    values = values.astype(np.float32)
    bad = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    if bad:
        raise RunError(
            f"{bad} of {len(values)} samples of {name} are not finite.", mend="The training diverged: see its losses."
        )
    if spec.value_range is not None:
        low, high = spec.value_range
        slack = SLACK * (high - low)
        if values.min() < low - slack or values.max() > high + slack:
            raise PluginError(
                f"{name}.draw() returned values in [{values.min():.4g}, {values.max():.4g}]: its data are in "
                f"[{low:g}, {high:g}].",
                mend="Let the model's draw() map its output to the value range, or clip it.",
            )
        values = np.clip(values, np.float32(low), np.float32(high))
    return values
