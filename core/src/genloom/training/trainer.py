"""`genloom.train`: the main path of every training, from a request to a finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from genloom.arguments import many
from genloom.errors import ConfigError, RunError
from genloom.files.atomic import write_atomic
from genloom.messages import tell
from genloom.model.state import restore
from genloom.opening.memory import within_memory
from genloom.plugins.registry import of_run, required
from genloom.profiling.step import check_length, profile_of
from genloom.runs import Run, create_run, load_latest
from genloom.runs.directory import check_place, no_run
from genloom.runs.going_on import begins_anew, telling_the_way_on
from genloom.runs.stretches import TABLE, begin
from genloom.training.assembly import assemble, check_rules
from genloom.training.configuration import Job, circumstances, free_path, resolve
from genloom.training.feeding import Feed
from genloom.training.notices import notices
from genloom.training.optimizing import compile_model
from genloom.training.plan import Plan
from genloom.training.request import Request, each_seed
from genloom.training.resuming import check_same
from genloom.training.session import Session
from genloom.training.stored import stored_config

if TYPE_CHECKING:
    from genloom.data.opening import Data
    from genloom.model import GenerativeModel

__all__ = ["train"]

_SMALLER = "Start again with a smaller batch size; `accumulate` keeps the samples per update the same."


def train(
    model: str | GenerativeModel,
    data: Data | None = None,
    *,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    stop_when: str | None = None,
    patience: int | None = None,
    init_from: str | Path | None = None,
    dry_run: bool = False,
    callbacks: Sequence[Any] = (),
    profile: bool = False,
    **settings: Any,
) -> Any:
    """Train a model and keep the run.

    Args:
        model: a model's id (`genloom list models`), or a model object.
        data: an address such as "digits" (`genloom list datasets`), an open data set, or arrays: x, (x, label), and
            what else `genloom.data.open` takes. None for a run to resume takes its own, where they have an address.
        preset: named option values and training settings of the model.
        options: the model's options by name (`genloom show ID`).
        epochs: passes over the training data.
        steps: training steps in all, instead of epochs.
        batch_size: samples per update.
        seed: of the weights, the order of the data and the noise; from 0 to 2⁶³ − 1.
        seeds: train one run for each, `<out>-seed<seed>`.
        out: the run directory; a new one under `runs` by default.
        resume: go on with the run in `out` where it stopped; bitwise on the same machine, backend and versions, on CPU.
        stop_when: "METRIC<VALUE" (also <=, >, >=), looked at after each epoch.
        patience: epochs without a better held-out number, of those that measure it, before training stops.
        init_from: a run whose weights to start from, names and shapes checked; without a preset the model has its
            options, but for those given.
        dry_run: build the model and describe the training, write nothing.
        callbacks: Keras callbacks; ones with counters offer `get_state` and `set_state`.
        profile: time some of the steps and write RUN/profile.json and a trace in RUN/profile; changes no weight.
        **settings: further fields of `genloom.training.TrainingSettings`.

    Returns:
        The finished run; a list of runs for `seeds`; a dict for `dry_run`.

    Raises:
        ConfigError: anything unknown, out of range or contradictory, or a resumed run that would change.
        DataError: the data cannot be used.
        NotFoundError: no such model or data source.
        RunError: a loss or weight became NaN, an alarm stopped the training, or no checkpoint is whole.
    """
    lengths = {"epochs": epochs, "steps": steps, "batch_size": batch_size}
    asked = {**settings, **lengths, "stop_when": stop_when, "patience": patience}
    request = Request(model, data, preset, options, asked, seed, init_from, out, resume)
    requests = [request] if seeds is None else each_seed(request, seeds)
    found = [_answer(each, dry_run, callbacks, profile) for each in requests]
    return found[0] if seeds is None else found


def _answer(request: Request, dry_run: bool, callbacks: Sequence[Any], profiled: bool) -> Any:
    """Return the finished run of one training, or its description."""
    callbacks = many("callbacks", callbacks, keras.callbacks.Callback, "a list of Keras callbacks")
    stored = _stored(request)
    with of_run(stored or {}):
        job = resolve(request, stored)
    if stored is not None:
        check_same(job, stored, Path(str(request.out)))
    if dry_run:
        from genloom.training.dry_run import describe

        return describe(job)
    run = create_run(free_path(job) if request.out is None else request.out, request.resume)
    with run.lock(), telling_the_way_on(run):
        return _train(job, run, callbacks, profiled)


def _train(job: Job, run: Run, callbacks: Sequence[Any], profiled: bool) -> Run:
    """Train from the run's last checkpoint, or from the beginning."""
    arrays, manifest = _saved(run)
    model = job.start(resumed=bool(arrays))
    feed = Feed(job.dataset, model, job.settings, job.seed)
    plan = Plan.of(job.settings, feed.steps_per_epoch)
    compile_model(model, job.settings, plan.total_steps)
    check_rules(job.settings, model, feed)
    if arrays:
        restore(model, arrays)
    if _ended(run, job, plan, manifest["step"]):
        tell(f"{str(run.path)!r} is finished at step {manifest['step']}. To train further, give more epochs or steps.")
        return run
    if profiled:
        check_length(plan.total_steps - manifest["step"], job.settings.steps_per_execution)
    stretches = begin(run.config if run.exists else {}, manifest["step"], circumstances(job, plan.total_steps))
    notices(run, model, job, feed, plan, stretches)
    run.rewind_log(manifest["step"])  # before the new length is written: a run of that length has not ended
    run.write_config({**job.document(feed.steps_per_epoch), TABLE: stretches})
    for name, content in job.dataset.files.items():
        write_atomic(run.path / name, content)
    session = Session(
        run, model, job.settings, plan, manifest["step"], seconds_before=manifest.get("seconds", 0.0), resumed=arrays
    )
    training, interruption, progress = assemble(session, job, feed, callbacks)
    profile = profile_of(session, training) if profiled else None
    try:
        with within_memory("A training step", _SMALLER), interruption.watching(), session.saving:
            training.on_train_begin()
            for stretch in plan.stretches(session.step):
                training.stretch = stretch
                model.fit(
                    feed.stream(stretch),
                    initial_epoch=stretch.first_epoch,
                    epochs=stretch.end_epoch,
                    steps_per_epoch=stretch.executions(job.settings.steps_per_execution),
                    validation_data=feed.held_out,
                    validation_freq=job.settings.validate_every,
                    callbacks=training,
                    shuffle=False,  # the stream's order is its own
                    verbose=0,
                )
                if model.stop_training:
                    break
            training.finish()
    finally:
        progress.close()
    if session.alarm is not None:
        said, mend = session.alarm
        raise RunError(f"Stopped at step {session.step} by an alarm: {said}", mend=mend)
    run.finish(session.step, plan.epoch_of(session.step), session.seconds)
    if profile is not None:
        profile.finish()
    return run


def _saved(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arrays and manifest to go on from: of the last checkpoint, or step 0 where none was due so far.

    Raises:
        RunError: no checkpoint is whole, or those that were written are gone.
    """
    if run.latest() is None and begins_anew(run):
        return {}, {"step": 0}
    return load_latest(run)


def _ended(run: Run, job: Job, plan: Plan, step: int) -> bool:
    """Whether the run has ended as planned, by its length or a rule of its own, and is not asked for more.

    Raises:
        ConfigError: it has not ended, and is already beyond the length asked for.
    """
    if not run.exists or not step:
        return False
    finished = run.last_entry.get("status") == "finished"
    if plan.total_steps < step and not finished:
        raise ConfigError(
            f"Cannot resume to {plan.total_steps} steps: {str(run.path)!r} is at step {step}.",
            mend="Ask for more epochs or steps, or for none.",
        )
    before = run.config["training"]
    asked = dataclasses.asdict(job.settings)
    rules = all(before.get(name) == asked[name] for name in ("stop_when", "patience"))
    planned = Plan.of(job.settings, plan.steps_per_epoch).total_steps
    was = before["steps"] if "steps" in before else before.get("epochs", 0) * plan.steps_per_epoch
    return finished and (planned < step or (rules and planned == was))


def _stored(request: Request) -> dict[str, Any] | None:
    """Return the configuration of the run to resume, None of one that was killed before it wrote any.

    Raises:
        ConfigError: `resume` without `out`, with a folder that is not there, or with a run that was not trained here.
        DamagedRunError: its run.toml says what it cannot.
        NotFoundError: the plugin of its model is absent.
    """
    if not request.resume:
        return None
    if request.out is None:
        raise ConfigError("resume needs a run.", mend="Give out=RUN (--out RUN).")
    run = Run(request.out)
    if run.exists:
        stored = stored_config(run) if run.address else None
        if stored is not None and isinstance(request.model, str):
            required("model", stored["model"]["id"], stored["model"].get("plugin"))
        return stored
    if not run.path.exists():
        raise no_run(run.path)
    check_place(run.path)
    tell(f"{str(run.path)!r} holds nothing yet: the run begins.")
    return None
