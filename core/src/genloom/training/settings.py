"""The settings of one training, typed and checked in one place for Python, presets, files and flags alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from genloom.errors import ConfigError
from genloom.options import option
from genloom.runs.manifest import LAST_STEP

__all__ = ["FIXED", "FLAGS", "INHERITED", "TrainingSettings", "of_one_length", "typed"]

T = TypeVar("T")


def _setting(
    default: T, help: str, *, flag: str | None = None, fixed: bool = False, inherited: bool = False, **limits: Any
) -> T:
    """Declare a setting.

    Args:
        default: the value without any layer.
        help: what it means.
        flag: what the value of its flag of `genloom train` looks like, "" where the type says so; None without a flag.
        fixed: whether a resumed run must keep it, for another value would make it another training.
        inherited: whether `genloom update` takes the run's own.
        **limits: see `genloom.option`.
    """
    declared: Any = option(default, help, **limits)
    return dataclasses.field(
        default=default, metadata={**declared.metadata, "flag": flag, "fixed": fixed, "inherited": inherited}
    )


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained; what it is made of are its own options.

    Layers, later ones win: these defaults, the component's `training`, its preset's `training`,
    what the caller gives.
    """

    epochs: int = _setting(10, "Passes over the training data.", minimum=0, flag="", inherited=True)
    steps: int | None = _setting(
        None, "Training steps in all, in place of epochs.", minimum=0, maximum=LAST_STEP, flag="", inherited=True
    )
    batch_size: int = _setting(64, "Samples per update of a phase.", minimum=1, flag="", fixed=True, inherited=True)
    optimizer: str | None = _setting(
        None,
        "Optimizer of every phase; None keeps the family's. Muon moves matrices of hidden layers, AdamW the rest.",
        choices=("adam", "adamw", "muon", "sgd", "rmsprop", "adamax", "nadam", "lion"),
        fixed=True,
        inherited=True,
    )
    learning_rate: float | None = _setting(
        None,
        "Rate of the first phase, the others keep their ratio to it; None keeps the family's.",
        minimum=0.0,
        fixed=True,
        inherited=True,
    )
    schedule: str = _setting(
        "constant",
        "Shape of the rate after warm-up; wsd stays constant and falls at the end.",
        choices=("constant", "cosine", "linear", "wsd"),
        fixed=True,
        inherited=True,
    )
    warmup_steps: int = _setting(
        0,
        "Steps over which the rate rises from zero; half of all where there are too few.",
        minimum=0,
        maximum=LAST_STEP,
        fixed=True,
        inherited=True,
    )
    decay_share: float = _setting(
        0.2, "Share of the steps, the last ones, over which wsd falls.", minimum=0.001, maximum=1.0, fixed=True
    )
    weight_decay: float | None = _setting(
        None, "Decoupled weight decay; None keeps the family's.", minimum=0.0, fixed=True, inherited=True
    )
    clip: float | None = _setting(
        None, "Largest global norm of a phase's gradients; None does not clip.", minimum=0.0, fixed=True, inherited=True
    )
    ema: float | None = _setting(
        None,
        "Decay of the moving average of weights used to sample, 0 for none.",
        minimum=0.0,
        maximum=1.0,
        fixed=True,
        inherited=True,
    )
    accumulate: int | None = _setting(
        None, "Parts a batch is split into to save memory; None means one.", minimum=1, fixed=True, inherited=True
    )
    update: str | None = _setting(
        None,
        "Whether each phase sees the update of the one before; None means alternating.",
        choices=("alternating", "simultaneous"),
        fixed=True,
        inherited=True,
    )
    steps_per_execution: int = _setting(
        1, "Training steps run in one call of the engine: faster where a step is short.", minimum=1, fixed=True
    )
    jit_compile: bool = _setting(
        False, "Compile the step further: by Inductor on torch, by XLA on TensorFlow; JAX always does.", fixed=True
    )
    precision: str = _setting(
        "float32", "Type of the arithmetic in layers.", choices=("float32", "bfloat16"), fixed=True, inherited=True
    )
    noise: str = _setting(
        "native",
        "Training noise from the engine, or portable across engines.",
        choices=("native", "portable"),
        fixed=True,
        inherited=True,
    )
    validation: float = _setting(
        0.1, "Share of the training data held out, 0 for none.", minimum=0.0, maximum=0.9, fixed=True, inherited=True
    )
    validate_every: int = _setting(1, "Epochs between two validations.", minimum=1)
    checkpoint_every: int = _setting(1, "Epochs between two checkpoints.", minimum=1)
    checkpoint_steps: int = _setting(
        0, "Steps between two more checkpoints within an epoch, 0 for none.", minimum=0, maximum=LAST_STEP
    )
    keep: int = _setting(2, "Newest checkpoints kept.", minimum=2)
    best: str | None = _setting(None, "Logged number whose best checkpoint is kept as well, such as val_loss.")
    best_mode: str = _setting("min", "Whether the lowest or the highest number is best.", choices=("min", "max"))
    patience: int | None = _setting(
        None, "Stop after this many epochs, of those that measure it, without a better number.", minimum=1, flag=""
    )
    stop_when: str | None = _setting(
        None, "Stop once a logged number passes a value, such as 'val_loss<90'.", flag="METRIC<VALUE"
    )
    stop_on_alarm: bool = _setting(
        False,
        "Stop, with exit code 1 and a checkpoint, when an alarm of the model sounds, such as collapsed codes.",
    )
    sample_every: int = _setting(1, "Epochs between two pictures of samples, 0 for none.", minimum=0)
    sample_count: int = _setting(64, "Samples in a picture.", minimum=1)
    adapt: str | None = _setting(
        None,
        "Freeze the weights of the run to start from and train adapters, such as lora:rank=8,target=*query|*value.",
        flag="lora[:K=V,…]",
        fixed=True,
    )
    retain: str | None = _setting(
        None,
        "Remedy against forgetting the run to start from: replay:share=0.2, ewc:strength=1, l2sp, lwf or agem.",
        flag="NAME[:K=V,…]",
        fixed=True,
    )
    post: tuple[str, ...] = _setting(
        (),
        "Post-processors that sample and evaluate apply, in order (repeatable); training applies none.",
        flag="NAME[:K=V,…]",
        fixed=True,
        inherited=True,
    )
    log_every: int = _setting(
        0, "Steps between two lines of the log within an epoch, 0 for none.", minimum=0, maximum=LAST_STEP
    )
    progress: str = _setting(
        "auto",
        "Progress on stderr: a bar on a terminal and a line per epoch elsewhere (auto), or always one of them.",
        choices=("auto", "bar", "lines", "none"),
    )
    tensorboard: bool = _setting(False, "Whether to write RUN/tensorboard as well.")


def _names(what: Callable[[Mapping[str, Any]], bool]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(TrainingSettings) if what(field.metadata))


#: Settings that `genloom train` has flags for; the others are given with --set.
FLAGS = _names(lambda said: said["flag"] is not None)

#: What a resumed run cannot change: another value would make it another training.
FIXED = _names(lambda said: said["fixed"])

#: What an update of a run is trained with where nothing else is asked for.
INHERITED = _names(lambda said: said["inherited"])

#: Settings of which a later layer's one takes away the other of those below it.
_EITHER = ("epochs", "steps")


def typed(name: str) -> str:
    """Return a setting as it is typed on the command line: --batch-size, or --set training.clip."""
    return f"--{name.replace('_', '-')}" if name in FLAGS else f"--set training.{name}"


def of_one_length(layers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return layers of settings of which the last that says how long, in epochs or in steps, alone says so.

    Raises:
        ConfigError: one layer says both.
    """
    found: list[dict[str, Any]] = []
    for layer in layers:
        given = {name: value for name in _EITHER if (value := layer.get(name)) is not None}
        if len(given) > 1:
            said = " and ".join(f"{name}={value}" for name, value in given.items())
            raise ConfigError(f"{said} exclude each other.", mend="Give one of them.")
        if given:
            found = [{name: value for name, value in below.items() if name not in _EITHER} for below in found]
        found.append(dict(layer))
    return found
