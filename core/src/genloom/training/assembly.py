"""Put the callbacks of one training together: the caller's and the plugins' first, then GenLoom's, saving last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from genloom.errors import PluginError
from genloom.model.alarm import Alarm
from genloom.model.promises import check_alarms
from genloom.plugins.hooks import notify
from genloom.runs.sealing import seal
from genloom.training import callbacks as own
from genloom.training.callbacks.stopping import check_logged, default_monitor, parse_bound
from genloom.training.configuration import Job, versions
from genloom.training.continuity import TrainingCallbacks
from genloom.training.feeding import Feed
from genloom.training.session import Session
from genloom.training.settings import FIXED, TrainingSettings
from genloom.training.turning import turned_loss

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["assemble", "check_rules"]


def assemble(
    session: Session, job: Job, feed: Feed, callbacks: Sequence[Any]
) -> tuple[TrainingCallbacks, own.Interruption, own.Progress]:
    """Return the callbacks of a training, and the two that the trainer itself holds.

    Raises:
        ConfigError: a stop_when that names nothing logged, or tensorboard without tensorboardX.
        PluginError: a plugin gave something that is no Keras callback.
    """
    foreign = [*callbacks, *_from_plugins(session)]
    interruption, progress = own.Interruption(session), own.Progress(session)
    listed: list[TrainingCallbacks] = []  # the checkpoint saves the counters of the list it is in
    about = {"spec": job.dataset.spec.to_dict(), "model": job.model_id, "versions": versions()}
    extra = {
        **about,
        **seal(job.document(session.plan.steps_per_epoch), job.dataset.files, ("seed", "init_from", *FIXED)),
    }
    parts = [
        own.StopOnNaN(session),
        *_rules(session, feed),
        own.SampleGrid(session, feed.train, job.seed),
        own.RunLog(session),
        own.Alarms(session, alarms_of(session.model, feed), feed.train),
        *([own.TensorBoard(session)] if session.settings.tensorboard else []),
        progress,
        own.Checkpoint(session, lambda: listed[0].stateful, extra),
        interruption,
    ]
    listed.append(TrainingCallbacks(session, foreign, parts))
    return listed[0], interruption, progress


def alarms_of(model: GenerativeModel, feed: Feed) -> list[Alarm]:
    """Return a model's own alarms, and that of its held-out loss where it measures one that is better when lower.

    Raises:
        PluginError: something that is no alarm, or two of one name.
    """
    own_loss = feed.held_out is not None and "loss" in model.validation and model.directions.get("loss", True)
    return check_alarms(model, [*model.alarms(), *([turned_loss()] if own_loss else [])])


def check_rules(settings: TrainingSettings, model: GenerativeModel, feed: Feed) -> None:
    """Raise ConfigError for a stop_when or best that names nothing logged, before a run says that it has begun."""
    names = _logged_names(model, feed)
    if settings.stop_when is not None:
        parse_bound(settings.stop_when, names)
    if settings.best is not None:
        check_logged("best", settings.best, names)


def _logged_names(model: GenerativeModel, feed: Feed) -> list[str]:
    """Return the names that an epoch's logs have."""
    held_out = model.validation if feed.held_out is not None else ()
    return [*model._update.names, *(f"val_{name}" for name in held_out)]


def _rules(session: Session, feed: Feed) -> list[Any]:
    settings, names = session.settings, _logged_names(session.model, feed)
    rules: list[Any] = []
    if settings.stop_when is not None:
        rules.append(own.StopWhen(settings.stop_when, names))
    if settings.patience is not None:
        rules.append(own.Patience(settings.best or default_monitor(names), settings.best_mode, settings.patience))
    return rules


def _from_plugins(session: Session) -> list[Any]:
    import keras

    found: list[Any] = []
    for status, given in notify("genloom_callbacks", run=session.run):
        for callback in given if isinstance(given, Iterable) else [given]:
            if not isinstance(callback, keras.callbacks.Callback):
                raise PluginError(
                    f"{status.title}: genloom_callbacks gave {callback!r}, which is not a keras.callbacks.Callback."
                )
            found.append(callback)
    return found
