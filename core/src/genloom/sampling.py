"""`genloom.sample`: sample i of a seed is the same at any batch size and on every backend.

Samples are drawn in chunks of one shape, each by one compiled function, with one random key per sample.
"""

from __future__ import annotations

import inspect
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genloom.arguments import seed_number, whole
from genloom.conditioning import conditions, is_conditional
from genloom.creation import checked_model
from genloom.data.fitting import SLACK
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, PluginError, RunError, nearest
from genloom.options import MOST_SAMPLES, check_number
from genloom.runs.files import tell
from genloom.samples import Samples

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.runs import Run

__all__ = ["draw_samples", "evaluations", "forget_samplers", "own_post", "sample"]

_MOST_AT_ONCE = 256
_HELD = 128  # a network's activations, as a multiple of its sample: a U-Net of some hundred channels
_SHARE = 8  # of the memory, one part is for a chunk


def sample(
    model_or_run: GenerativeModel | Run | str | Path,
    n: int,
    seed: int = 0,
    condition: Mapping[str, Any] | None = None,
    *,
    offset: int = 0,
    chunk: int | None = None,
    weights: Literal["ema", "trained"] = "ema",
    post: Iterable[str] | None = None,
    **options: Any,
) -> Samples:
    """Draw samples and post-process them.

    Args:
        model_or_run: a model, a run, or a run's path.
        n: number of samples.
        seed: from 0 to 2⁶³ − 1; fixes every sample.
        condition: arrays by name with n rows, or single values for all: {"label": 3}, {"label": "cat"},
            {"label": ["cat", "dog"]}. What is written as text or number is a class's name first; an array of integers
            holds numbers of classes, as batches and `Samples.labels` do. Without a label a conditional model gets
            labels drawn by `seed` from the frequencies in the training data.
        offset: number of the first sample, to continue where another call ended.
        chunk: samples drawn at once; by default a power of two that suits their size and the memory, halved while
            memory runs out.
        weights: "ema" uses the moving average of the weights where there is one, "trained" the weights themselves.
        post: post-processors in order, such as ["clip", "upscale:factor=4"]; None applies those the run was trained
            with (none for a model), () none.
        **options: the model's own sampling options, the keywords of its `draw`.

    Raises:
        ConfigError: no run or model, numbers that are none or out of bounds, an unknown option, a condition that does
            not fit, a post-processor that does not take these data.
        NotFoundError: a post-processor that nothing offers.
        RunError: the model drew values that are not finite or leave the range of its data, or the memory does not
            hold one sample.
        PluginError: a plugin's `genloom_sample` failed, or the model drew samples of another shape than its data's.
    """
    from genloom.hookspecs import SampleRequest
    from genloom.plugins import hooks
    from genloom.postprocess import Origin, chain

    n, seed, offset, chunk = _numbers(n, seed, offset, chunk)
    run = _run(model_or_run)
    steps = chain(own_post(run) if post is None else post)  # before the model is opened: a wrong name costs nothing
    model = _model(run, model_or_run, weights)
    steps.check(model.spec)
    request = SampleRequest(
        n=n,
        seed=seed,
        condition=condition,
        options=options,
        draw=lambda: draw_samples(
            model, n, seed, condition, offset=offset, chunk=chunk, weights=weights, options=options
        ),
    )
    drawn = hooks.sample(run, request)
    if not isinstance(drawn, Samples):
        raise PluginError(
            f"A genloom_sample wrapper returned {type(drawn).__name__} instead of Samples.",
            mend="Let the wrapper return what its `yield` gives, changed by its `replace`.",
        )
    return steps(drawn, Origin(run, lambda: model))


def own_post(run: Run | None) -> tuple[str, ...]:
    """Return the post-processors that a run was trained with, in order; none for None."""
    return () if run is None else tuple(run.config.get("training", {}).get("post", ()))


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
        labels=arrays["label"] if is_conditional(model) else None,
        seeds=np.stack([np.full(n, seed, np.int64), numbers], axis=1),
        spec=model.spec,
        evaluations=evaluations(model, options),
        seconds=seconds,
        compile_seconds=compile_seconds,
        step=model.loaded_step,
    )


def _run(source: Any) -> Run | None:
    """Return the run, or None for a model."""
    from genloom.runs import Run, open_run

    if isinstance(source, (str, os.PathLike)):
        return open_run(Path(source))
    return source if isinstance(source, Run) else None


def _model(run: Run | None, source: Any, weights: str) -> GenerativeModel:
    if run is None:
        return checked_model(source, "a model, a run, or a run's path")
    from genloom.loading import load

    return load(run, weights=weights)  # type: ignore[arg-type]


def _numbers(n: Any, seed: Any, offset: Any, chunk: Any) -> tuple[int, int, int, int | None]:
    return (
        whole("n", n, 1, MOST_SAMPLES),
        seed_number(seed),
        whole("offset", offset, 0, MOST_SAMPLES),
        None if chunk is None else whole("chunk", chunk, 1, MOST_SAMPLES),
    )


def _check_options(model: GenerativeModel, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        check_number(value, name)
    parameters = inspect.signature(model.draw).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.name not in ("keys", "condition")]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{type(model).__name__} has no sampling option {name!r}.{nearest(name, known)}",
                mend=f"Options: {', '.join(known) or 'none'}.",
            )


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
        draw, first = _sampler(model, size, options)
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


def _sampler(model: GenerativeModel, size: int, options: dict[str, Any]) -> tuple[Callable[..., Any], bool]:
    """Return the compiled function for chunks of one size, and whether it is new."""
    from genloom import backend

    key = (size, repr(sorted(options.items())))
    cache: dict[Any, Any] = model.__dict__.setdefault("_samplers", {})
    new = key not in cache
    if new:
        cache[key] = backend.compiled(lambda keys, condition: model.draw(keys, condition, **options), model)
    return cache[key], new


def forget_samplers(model: GenerativeModel) -> None:
    """Compile anew when next asked: a compiled function computes what the layers were when it was traced."""
    model.__dict__.pop("_samplers", None)


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
    import contextlib

    from keras import ops

    from genloom import random
    from genloom.promises import check_drawn

    n, seed, offset = numbers
    parts, compile_seconds = [], 0.0
    model.sync_state()
    with model.averaged_weights() if weights == "ema" else contextlib.nullcontext():
        for start in range(0, n, size):
            begin = time.perf_counter()
            rows = np.minimum(np.arange(start, start + size), n - 1)  # the padding repeats the last condition
            condition = {name: array[rows] for name, array in arrays.items()}
            drawn = draw(random.keys(seed, size, offset + start), condition)
            check_drawn(type(model).__name__, drawn, (size, *model.spec.shape))
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
            raise RunError(
                f"{name} drew values in [{values.min():.4g}, {values.max():.4g}], its data is in [{low:g}, {high:g}].",
                mend="Let the model's draw() map its output to the value range, or clip it.",
            )
        values = np.clip(values, np.float32(low), np.float32(high))
    return values


def evaluations(model: GenerativeModel, options: dict[str, Any]) -> int | None:
    """A family may say how many network evaluations one sample costs: `evaluations(**options) -> int`."""
    count = getattr(model, "evaluations", None)
    return int(count(**options)) if callable(count) else None
