"""From settings to `model.compile`: the family's own optimizers, changed where the settings say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from genloom.messages import tell
from genloom.model.optimizer_copies import configuration, copied, treating_alike
from genloom.training.settings import TrainingSettings

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["compile_model"]


def compile_model(model: GenerativeModel, settings: TrainingSettings, total_steps: int) -> None:
    """Compile a model for a training of `total_steps` steps.

    A model that is compiled already keeps its optimizers, moving average, accumulation, update rule and compilation
    where the settings do not say otherwise. A warm-up that is too long for the training takes half of it, and that is
    said; the run keeps what was asked for, so that one that goes on for longer warms up as if it had been that long
    from the beginning.
    """
    warmup = _fitting(settings, settings.warmup_steps, total_steps)
    if warmup < settings.warmup_steps and total_steps:
        tell(f"{settings.warmup_steps} warm-up steps do not fit into {total_steps} steps: {warmup} are used.")
    compiled = model.optimizer is not None
    updating = model._update if compiled else None
    update = settings.update or (updating.rule if updating else "alternating")
    accumulate = settings.accumulate or (updating.accumulate if updating else 1)
    ema = settings.ema if settings.ema is not None else (model.optimizer.ema if compiled else None)
    bases = _bases(model, settings, total_steps, update)
    tuned = {name: _tuned(optimizer, settings, scale, counts) for name, (optimizer, scale, counts) in bases.items()}
    jit = settings.jit_compile or (compiled and model.jit_compile is True) or "auto"
    model.compile(tuned, update=cast(Any, update), ema=ema or None, accumulate=accumulate, jit_compile=jit)


def _bases(
    model: GenerativeModel, settings: TrainingSettings, total_steps: int, update: str
) -> dict[str, tuple[Any, float, tuple[int, int]]]:
    """Return phase → (optimizer, factor of its rate, (warm-up, total) in updates of that phase)."""
    phases = {phase.name: phase for phase in model.training_phases()}
    optimizers = _optimizers(model, settings, list(phases))
    first = _rate(next(iter(optimizers.values())))
    scale = 1.0 if settings.learning_rate is None else settings.learning_rate / first
    bases = {}
    for name, optimizer in optimizers.items():
        phase = phases[name]
        repeats, every = (1, 1) if update == "simultaneous" else (phase.repeats, phase.every)
        warmup, total = (-(-steps // every) * repeats for steps in (settings.warmup_steps, max(1, total_steps)))
        bases[name] = (optimizer, scale, (_fitting(settings, warmup, total), total))
    return bases


def _fitting(settings: TrainingSettings, warmup: int, total: int) -> int:
    from genloom.training.schedules import fitting_warmup

    return fitting_warmup(warmup, total, settings.schedule, settings.decay_share)


def _optimizers(model: GenerativeModel, settings: TrainingSettings, phases: list[str]) -> dict[str, Any]:
    """Return one Keras optimizer per phase, before settings other than `optimizer` change it."""
    import keras

    compiled = model.optimizer
    found: Any = model.default_optimizers() if compiled is None else _with_schedules(compiled)
    found = dict(found) if isinstance(found, Mapping) else dict.fromkeys(phases, found)
    found = {name: keras.optimizers.get(found[name]) for name in phases}
    if settings.optimizer is None:
        return found
    return {name: _other(settings.optimizer, optimizer, model) for name, optimizer in found.items()}


def _with_schedules(compiled: Any) -> dict[str, Any]:
    """Return the optimizers a model was compiled with; the composite keeps their schedules apart from them."""
    found = {}
    for name, optimizer in compiled.phases.items():
        schedule = compiled.schedules[name]
        config = optimizer.get_config() | ({} if schedule is None else {"learning_rate": schedule})
        found[name] = copied(optimizer, config)
    return found


def _other(name: str, optimizer: Any, model: GenerativeModel) -> Any:
    """Return an optimizer of another kind with the same rate; Muon, whose decay is AdamW's, keeps that, too."""
    import keras

    rate = _rate(optimizer)
    if name == "muon":
        from genloom.model.muon import Muon

        decay = optimizer.weight_decay
        made = Muon(rate, matrices=model.hidden_matrices(), **({} if decay is None else {"weight_decay": decay}))
    else:
        made = keras.optimizers.get({"class_name": name, "config": {"learning_rate": rate}})
    return treating_alike(made, optimizer)


def _rate(optimizer: Any) -> float:
    from keras import ops

    return float(ops.convert_to_numpy(optimizer.learning_rate))


def _tuned(optimizer: Any, settings: TrainingSettings, scale: float, counts: tuple[int, int]) -> Any:
    """Return a copy of a Keras optimizer with the settings' rate, schedule, decay and clipping."""
    config, schedule = configuration(optimizer)
    warmup, total = counts
    config["learning_rate"] = _rate(optimizer) * scale if schedule is None or scale != 1.0 else schedule
    if settings.schedule != "constant" or warmup:
        from genloom.training.schedules import WarmupSchedule

        config["learning_rate"] = WarmupSchedule(
            _rate(optimizer) * scale, settings.schedule, warmup, total, settings.decay_share
        )
    if settings.weight_decay is not None:
        config["weight_decay"] = settings.weight_decay or None
    if settings.clip is not None:
        config["clipnorm"] = config["clipvalue"] = None
        config["global_clipnorm"] = settings.clip or None
    return copied(optimizer, config)
