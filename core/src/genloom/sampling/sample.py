"""`genloom.sample`: a run opened, its model asked, plugins wrapped around it, post-processors put after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from genloom.errors import PluginError
from genloom.sampling.drawing import draw_samples
from genloom.sampling.samples import Samples

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.runs import Run

__all__ = ["own_post", "sample"]


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
        seed: any integer; fixes every sample.
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
        ConfigError: n or chunk below 1, an unknown option, a condition that does not fit, a post-processor that does
            not take these data.
        NotFoundError: a post-processor that nothing offers.
        RunError: the model drew values that are not finite or leave the range of its data, or the memory does not
            hold one sample.
        PluginError: a plugin's `genloom_sample` failed.
    """
    from genloom.plugins import hooks
    from genloom.plugins.offers import SampleRequest
    from genloom.postprocess import Origin, chain

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


def _run(source: Any) -> Run | None:
    """Return the run, or None for a model."""
    from genloom.runs import Run, open_run

    if isinstance(source, (str, Path)):
        return open_run(source)
    return source if isinstance(source, Run) else None


def _model(run: Run | None, source: Any, weights: str) -> GenerativeModel:
    if run is None:
        return cast("GenerativeModel", source)
    from genloom.opening.load import load

    return load(run, weights=weights)  # type: ignore[arg-type]
