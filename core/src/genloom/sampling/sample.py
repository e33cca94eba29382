"""`genloom.sample`: a run opened, its model asked, plugins wrapped around it, post-processors put after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.arguments import seed_number, whole
from genloom.data.samples import Samples
from genloom.errors import PluginError
from genloom.opening.building import checked_model
from genloom.options import MOST_SAMPLES
from genloom.sampling.drawing import draw_samples

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.plugins.offers import SampleRequest
    from genloom.postprocess import Chain
    from genloom.runs import Run

__all__ = ["chain_of", "sample"]


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
        RunError: the model drew values that are not finite, or the memory does not hold one sample.
        PluginError: a plugin's `genloom_sample` failed, or the model drew samples of another shape or range than its
            data's.
    """
    from genloom.plugins.offers import SampleRequest
    from genloom.postprocess import Origin

    n, seed, offset, chunk = _numbers(n, seed, offset, chunk)
    run = _run(model_or_run)
    steps = chain_of(run, post)  # before the model is opened: a wrong name costs nothing
    model = _model(run, model_or_run, weights)
    steps.check(model.spec)
    draw = partial(
        draw_samples, model, n, seed, condition, offset=offset, chunk=chunk, weights=weights, options=options
    )
    request = SampleRequest(n, seed, condition, options, draw)
    return steps(_drawn(run, request), Origin(run, lambda: model))


def _drawn(run: Run | None, request: SampleRequest) -> Samples:
    """Return what the model draws, as the plugins' wrappers hand it on.

    Raises:
        PluginError: one hands on something else.
    """
    from genloom.plugins import hooks

    drawn = hooks.sample(run, request)
    if not isinstance(drawn, Samples):
        raise PluginError(
            f"A genloom_sample wrapper returned {type(drawn).__name__} instead of Samples.",
            mend="Let the wrapper return what its `yield` gives, changed by its `replace`.",
        )
    return drawn


def chain_of(run: Run | None, post: Iterable[str] | None) -> Chain:
    """Return the post-processors that are asked for, in order; for None those that the run was trained with, if any."""
    from genloom.plugins.registry import of_run
    from genloom.postprocess import chain

    if post is not None or run is None:
        return chain(post or ())
    with of_run(run.config):
        return chain(run.config.get("training", {}).get("post", ()))


def _run(source: Any) -> Run | None:
    """Return the run, or None for a model."""
    from genloom.runs import Run, open_run

    if isinstance(source, (str, os.PathLike)):
        return open_run(Path(source))
    return source if isinstance(source, Run) else None


def _model(run: Run | None, source: Any, weights: str) -> GenerativeModel:
    if run is None:
        return checked_model(source, "a model, a run, or a run's path")
    from genloom.opening.load import load

    return load(run, weights=weights)  # type: ignore[arg-type]


def _numbers(n: Any, seed: Any, offset: Any, chunk: Any) -> tuple[int, int, int, int | None]:
    return (
        whole("n", n, 1, MOST_SAMPLES),
        seed_number(seed),
        whole("offset", offset, 0, MOST_SAMPLES),
        None if chunk is None else whole("chunk", chunk, 1, MOST_SAMPLES),
    )
