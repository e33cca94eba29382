"""Measure a run against held-out data, beside the floor and simple opponents."""

from __future__ import annotations

import functools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.arguments import many, seed_number, whole
from genloom.data.mixture import IsotropicMixture
from genloom.errors import ConfigError, DataError, RunError
from genloom.files.atomic import make_folder, write_atomic
from genloom.messages import tell
from genloom.metrics.fingerprint import Fingerprint
from genloom.metrics.measured import model_of
from genloom.metrics.result import MetricResult
from genloom.options import MOST_SAMPLES
from genloom.plugins.registry import of_run
from genloom.runs import Run, open_run
from genloom.sampling.sample import chain_of

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.data.opening import Data
    from genloom.data.samples import Samples
    from genloom.metrics.context import MetricContext
    from genloom.postprocess import Chain

__all__ = ["evaluate", "keep"]

#: `(n, seed)` → n samples.
Sampler = Callable[[int, int], "Samples"]

# Samples drawn when n is not given, at most: pairwise metrics then take seconds, not minutes.
_DEFAULT_N = 5_000
# Training samples held in memory while measuring.
_TRAIN_BYTES = 256 * 2**20
# A first draw longer than this is not repeated: compiling is a small part of it.
_LONG_SECONDS = 60.0
# Samples in the pictures before and after post-processing.
_SHOWN = 64


def evaluate(
    run: Run | str | Path,
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    *,
    sampler: Sampler | None = None,
    dataset: Data | None = None,
    post: Iterable[str] | None = None,
    write: bool = True,
) -> dict[str, Any]:
    """Sample a run, measure the samples against held-out data, and write RUN/metrics.json.

    Results of an earlier evaluation stay in the file unless they are measured again, or are of another step. With
    post-processors the samples are measured before and after them, and pictures of both are put into RUN/samples;
    what comes out in another shape or range than the data's is shown only.

    Args:
        run: a run directory or its path.
        metrics: names (`fd[pca20]`, `precision`, …); None measures all default ones that fit the data and says on
            stderr which it skips for want of samples.
        n: samples to draw; None draws as many as are held out, at most 5,000.
        seed: of the samples. Floors and opponents do not depend on it.
        sampler: draws samples instead of the run's own model.
        dataset: the run's data, for a run that was trained on arrays or a data set object; None opens its address.
        post: post-processors in order; None takes those the run was trained with, () none.
        write: False leaves metrics.json as it is; `keep` writes results later.

    Returns:
        schema_version, run, model, data, n, seed, step, and "results": dicts of `MetricResult.to_dict` with "role"
        ("score", "cost", "loss", or "post" for a score after post-processing, with "post", the chain), "seed" and
        "step".

    Raises:
        ConfigError: no run there, a metric or post-processor that does not apply, n below 1.
        DataError: the data are not those of the training, or hold too few samples.
        RunError: the model drew samples that are not finite, or the disk refused.
    """
    seed, metrics = seed_number(seed), _checked_names(metrics)
    _check_sampler(sampler)
    run = run if isinstance(run, Run) else open_run(run)
    steps = chain_of(run, post)
    dataset = _checked_data(run, dataset)
    steps.check(dataset.spec)
    count = _count(n, dataset)
    model, step = (None, run.saved_step or 0) if sampler else _loaded(run)
    drawn, costs = _draw(sampler or _sampler(model), count, seed, "injected" if sampler else _engine(), dataset)
    told_once = functools.cache(tell)  # what is skipped before post-processing is skipped after it, too
    stamp = {"seed": seed, "step": step}
    losses = [*_validation_losses(run, step, model), *_test_losses(run, model, dataset)]
    results = _entries("score", scores(metrics, drawn, dataset, told_once), stamp)
    results += _entries("cost", costs, stamp) + _entries("loss", losses, stamp)
    if steps.texts:
        made = _post_processed(run, model, steps, drawn, dataset)
        after = _scores_after(metrics, made, dataset, told_once)
        results += _entries("post", after, {"post": list(steps.texts), **stamp})
    if write:
        keep(run, results)
    head = {"schema_version": 1, "run": str(run.path), "model": run.config["model"]["id"], "data": dataset.address}
    return {**head, "n": count, **stamp, "results": results}


def _checked_names(metrics: Sequence[str] | None) -> Sequence[str] | None:
    if metrics is None:
        return None
    return many("metrics", metrics, str, "a list of names, such as ['precision', 'recall']")


def _check_sampler(sampler: Any) -> None:
    if sampler is not None and not callable(sampler):
        raise ConfigError(f"sampler must be a function of (n, seed), got {sampler!r}.")


def keep(run: Run, results: Sequence[dict[str, Any]]) -> None:
    """Write results into RUN/metrics.json, beside those of the same weights and samples that are not measured now.

    Raises:
        RunError: the disk refused.
    """
    try:
        earlier = run.metrics()
    except RunError as error:
        tell(f"{error.message} It is written anew, and what it held is lost.")
        earlier = []
    run.write_metrics(_merged(earlier, list(results)))


def _checked_data(run: Run, given: Data | None) -> Dataset:
    from genloom import data

    with of_run(run.config if given is None else {}):
        dataset = data.open(run.address if given is None else given)
    stated = run.config["data"].get("fingerprint")
    if stated in (None, dataset.fingerprint):
        return dataset
    prints = f"fingerprint {dataset.fingerprint} instead of {stated}"
    if given is None:
        raise DataError(
            f"The data at {run.address!r} changed since this run was trained: {prints}.",
            mend="Restore the data, or train again on the new data.",
        )
    raise DataError(
        f"The data given, {dataset.address!r}, are not those of the training, {run.address!r}: {prints}.",
        mend="Leave out dataset=, or hand over what the run was trained on.",
    )


def _count(n: int | None, dataset: Dataset) -> int:
    if len(dataset.test) < 2:
        raise DataError(f"{dataset.address!r} holds {len(dataset.test)} test samples; measuring needs two or more.")
    return min(len(dataset.test), _DEFAULT_N) if n is None else whole("n", n, 1, MOST_SAMPLES)


def _context(dataset: Dataset, count: int) -> MetricContext:
    """Hold out as many samples as are drawn; the rows are the same for every run and every seed of samples."""
    from genloom.data import drawn_rows
    from genloom.data.samples import Samples
    from genloom.metrics.context import MetricContext

    def taken(split: Any, most: int) -> Samples:
        batch = split.take(drawn_rows(len(split), most))
        return Samples(batch["x"], dataset.spec, batch.get("label"))

    train_rows = max(_TRAIN_BYTES // (4 * dataset.spec.size), 1)
    return MetricContext(
        train=taken(dataset.train, train_rows),
        test=taken(dataset.test, count),
        spec=dataset.spec,
        data=dataset.fingerprint,
        density=dataset.density,
    )


def scores(
    names: Sequence[str] | None, drawn: Samples, dataset: Dataset, say: Callable[[str], None] = tell
) -> list[MetricResult]:
    """Measure samples against the held-out ones of a data set, with floors and opponents.

    Args:
        names: metrics by the names they are reported under; None for all default ones that fit.
        drawn: the samples.
        dataset: what they are to be like.
        say: is told which metrics are skipped, or have no value.

    Raises:
        ConfigError: a metric that does not apply.
        DataError: too few samples for a metric that was named; others are skipped and told of.
        NotFoundError: no such metric.
    """
    from genloom.metrics.choosing import choose, enough
    from genloom.metrics.measuring import measure

    context = _context(dataset, len(drawn))
    chosen = choose(
        names,
        dataset.spec,
        data_labelled=context.train.labels is not None,
        samples_labelled=drawn.labels is not None,
        known_modes=isinstance(dataset.density, IsotropicMixture),
    )
    few, where = len(context.test), "held out" if len(drawn) >= len(dataset.test) else "drawn"
    measurable = [metric for metric in chosen if enough(metric, few, where, say, named=names is not None)]
    results = [measure(component, drawn, context) for component in measurable]
    for result in results:
        if result.reason:
            say(f"{result.name} has no value: {result.reason}")
    return results


def _loaded(run: Run) -> tuple[Any, int]:
    """Return the model, opened once so that a second draw meets a compiled sampler, and its step."""
    from genloom.opening.load import load_with_step

    return load_with_step(run)


def _sampler(model: Any) -> Sampler:
    from genloom.sampling.sample import sample

    return lambda n, seed: sample(model, n, seed)


def _engine() -> str:
    from genloom import backend

    return backend.name()


def _post_processed(run: Run, model: Any, steps: Chain, drawn: Samples, dataset: Dataset) -> Samples:
    """Return what the post-processors make of samples, and keep a picture of both."""
    from genloom.modalities import pictured
    from genloom.postprocess import Origin

    made = steps(drawn, Origin(run, None if model is None else lambda: model, dataset))
    for name, shown in (("before", drawn), ("after", made)):
        if pictured(shown.spec):
            _write_picture(run.path / "samples" / f"post-{name}.png", _picture(shown))
    return made


def _picture(samples: Samples) -> Any:
    from genloom.modalities import picture

    labels = samples.labels
    return picture(samples.samples[:_SHOWN], samples.spec, labels=None if labels is None else labels[:_SHOWN])


def _write_picture(path: Path, image: Any) -> None:
    """Write a picture; one that the disk refuses is no reason to lose the scores."""
    from genloom.modalities.drawing import to_bytes

    try:
        make_folder(path.parent)
        write_atomic(path, to_bytes(image))
    except RunError as error:
        tell(str(error))


def _scores_after(
    names: Sequence[str] | None, made: Samples, dataset: Dataset, say: Callable[[str], None]
) -> list[MetricResult]:
    """Measure post-processed samples where they are still of the data's kind."""
    now, spec = made.spec, dataset.spec
    if made.samples.dtype.kind == "U":
        return []  # tokens that became words, as every run of text has it
    if (now.kind, now.shape, now.value_range) != (spec.kind, spec.shape, spec.value_range):
        tell(
            f"post-processed samples are {now.kind} of {now.shape} in {now.value_range}, the data are {spec.kind} of "
            f"{spec.shape} in {spec.value_range}: they are shown, not measured."
        )
        return []
    try:
        return scores(names, made, dataset, say)
    except DataError as error:
        tell(f"post-processed samples are shown, not measured: {error}")
        return []


def _draw(sampler: Sampler, n: int, seed: int, engine: str, dataset: Dataset) -> tuple[Samples, list[MetricResult]]:
    """Draw n samples and time the drawing without its compilation."""
    import numpy as np

    from genloom.data.samples import Samples

    drawn, seconds = _timed(sampler, n, seed)
    state = "first draw"
    if seconds < _LONG_SECONDS:
        state = "compiled"
        drawn, seconds = _timed(sampler, n, seed)
    x = np.asarray(drawn.samples)
    bad = int((~np.isfinite(x).reshape(len(x), -1).all(1)).sum()) if x.dtype.kind == "f" else 0
    if bad:
        raise RunError(f"{bad} of {n} samples are not finite.", mend="The training diverged: see its losses.")
    data = dataset.fingerprint
    setting = f"{engine}, {platform.machine()}, {os.cpu_count()} cores, {state}"
    costs = [_cost("seconds per 1,000 samples", 1000.0 * seconds / n, n, data, setting)]
    if drawn.evaluations is not None:
        costs.append(_cost("network evaluations", float(drawn.evaluations), n, data, ""))
    return Samples(x, dataset.spec, drawn.labels, drawn.seeds), costs


def _timed(sampler: Sampler, n: int, seed: int) -> tuple[Samples, float]:
    from genloom.data.samples import Samples

    start = time.perf_counter()
    drawn = sampler(n, seed)
    seconds = time.perf_counter() - start
    if not isinstance(drawn, Samples):
        raise ConfigError(f"A sampler returns genloom.Samples, this one {type(drawn).__name__}.")
    return drawn, seconds


def _cost(name: str, value: float, n: int, data: str, setting: str) -> MetricResult:
    fingerprint = Fingerprint(metric=name, data=data, n=n, setting=setting)
    return MetricResult(name, value, n, True, fingerprint)


def _validation_losses(run: Run, step: int, model: Any) -> list[MetricResult]:
    """Return the run's last own held-out losses; they compare among runs of one model only."""
    last: dict[str, Any] = {}
    for entry in run.log():
        if step and entry.get("step", 0) > step:
            break  # logged, but never saved: not of the weights that are measured
        held_out = {name: value for name, value in entry.get("losses", {}).items() if name.startswith("val_")}
        last = held_out or last
    config, directions = run.config, {} if model is None else model.directions
    options = json.dumps(
        {**model_of(config), "validation": config.get("training", {}).get("validation")}, sort_keys=True
    )
    return [
        MetricResult(
            name,
            float(value),
            0,  # how many samples it is the mean of is not logged
            directions.get(name.removeprefix("val_"), True),
            Fingerprint(metric=name, data=config["data"].get("fingerprint", ""), n=0, setting=options),
        )
        for name, value in last.items()
        if value is not None and math.isfinite(value)
    ]


def _test_losses(run: Run, model: Any, dataset: Dataset) -> list[MetricResult]:
    """Return the model's own losses on all test samples, as training has them on the samples set aside."""
    if model is None or not model.validation:
        return []
    from genloom.evaluation.heldout import losses

    config, n = run.config, len(dataset.test)
    setting = json.dumps(model_of(config), sort_keys=True)
    found = losses(model, dataset.test, int(config.get("training", {}).get("batch_size", 64)))
    return [
        MetricResult(
            f"test_{name}",
            value,
            n,
            model.directions.get(name, True),
            Fingerprint(metric=f"test_{name}", data=dataset.fingerprint, n=n, setting=setting),
        )
        for name, value in found.items()
        if math.isfinite(value)
    ]


def _entries(role: str, results: Sequence[MetricResult], more: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**result.to_dict(), "role": role, **more} for result in results]


def _merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep what was measured on the same weights and samples and is not measured now."""

    def key(entry: dict[str, Any]) -> tuple[Any, ...]:
        return entry.get("name"), entry.get("fingerprint"), tuple(entry.get("post", ()))

    stamps = {(entry["seed"], entry["step"]) for entry in new}
    now = {key(entry) for entry in new}
    kept = [e for e in old if (e.get("seed"), e.get("step")) in stamps and key(e) not in now]
    return [*kept, *new]
