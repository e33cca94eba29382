"""The settings of one training, typed and checked in one place for Python, presets, files and flags alike."""

from __future__ import annotations

import dataclasses

from genloom.options import option
from genloom.runs.manifest import LAST_STEP

__all__ = ["FIXED", "TrainingSettings", "typed"]


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained; what it is made of are its own options.

    Layers, later ones win: these defaults, the component's `training`, its preset's `training`,
    what the caller gives.
    """

    epochs: int = option(10, "Passes over the training data; not used when `steps` is given.", minimum=0)
    steps: int | None = option(None, "Training steps in all, in place of epochs.", minimum=0, maximum=LAST_STEP)
    batch_size: int = option(64, "Samples per update of a phase.", minimum=1)
    optimizer: str | None = option(
        None,
        "Optimizer of every phase; None keeps the family's. Muon moves matrices of hidden layers, AdamW the rest.",
        choices=("adam", "adamw", "muon", "sgd", "rmsprop", "adamax", "nadam", "lion"),
    )
    learning_rate: float | None = option(
        None, "Rate of the first phase, the others keep their ratio to it; None keeps the family's.", minimum=0.0
    )
    schedule: str = option(
        "constant",
        "Shape of the rate after warm-up; wsd stays constant and falls at the end.",
        choices=("constant", "cosine", "linear", "wsd"),
    )
    warmup_steps: int = option(
        0,
        "Steps over which the rate rises from zero; half of all where there are too few.",
        minimum=0,
        maximum=LAST_STEP,
    )
    decay_share: float = option(
        0.2, "Share of the steps, the last ones, over which wsd falls.", minimum=0.001, maximum=1.0
    )
    weight_decay: float | None = option(None, "Decoupled weight decay; None keeps the family's.", minimum=0.0)
    clip: float | None = option(None, "Largest global norm of a phase's gradients; None does not clip.", minimum=0.0)
    ema: float | None = option(
        None, "Decay of the moving average of weights used to sample, 0 for none.", minimum=0.0, maximum=1.0
    )
    accumulate: int | None = option(None, "Parts a batch is split into to save memory; None means one.", minimum=1)
    update: str | None = option(
        None,
        "Whether each phase sees the update of the one before; None means alternating.",
        choices=("alternating", "simultaneous"),
    )
    steps_per_execution: int = option(
        1, "Training steps run in one call of the engine: faster where a step is short.", minimum=1
    )
    jit_compile: bool = option(
        False, "Compile the step further: by Inductor on torch, by XLA on TensorFlow; JAX always does."
    )
    precision: str = option("float32", "Type of the arithmetic in layers.", choices=("float32", "bfloat16"))
    noise: str = option(
        "native", "Training noise from the engine, or portable across engines.", choices=("native", "portable")
    )
    validation: float = option(0.1, "Share of the training data set aside, 0 for none.", minimum=0.0, maximum=0.9)
    validate_every: int = option(1, "Epochs between two validations.", minimum=1)
    checkpoint_every: int = option(1, "Epochs between two checkpoints.", minimum=1)
    checkpoint_steps: int = option(
        0, "Steps between two more checkpoints within an epoch, 0 for none.", minimum=0, maximum=LAST_STEP
    )
    keep: int = option(2, "Newest checkpoints kept.", minimum=2)
    best: str | None = option(None, "Logged number whose best checkpoint is kept as well, such as val_loss.")
    best_mode: str = option("min", "Whether the lowest or the highest number is best.", choices=("min", "max"))
    patience: int | None = option(
        None, "Epochs without a better number, of those that measure it, before training stops.", minimum=1
    )
    stop_when: str | None = option(None, "Stop when a logged number passes a bound: 'METRIC<VALUE'.")
    sample_every: int = option(1, "Epochs between two pictures of samples, 0 for none.", minimum=0)
    sample_count: int = option(64, "Samples in a picture.", minimum=1)
    adapt: str | None = option(
        None, "Freeze the weights of init_from and train adapters: lora or lora:rank=8,alpha=16,target=*query|*value."
    )
    retain: str | None = option(
        None,
        "Remedy against forgetting what init_from was trained on: replay:share=0.2, ewc:strength=1, l2sp, lwf or agem.",
    )
    post: tuple[str, ...] = option(
        (), "Post-processors that sample and evaluate apply in order, each NAME or NAME:k=v,k=v; training is without."
    )
    log_every: int = option(
        0, "Steps between two lines of the log within an epoch, 0 for none.", minimum=0, maximum=LAST_STEP
    )
    progress: str = option(
        "auto",
        "Progress on stderr: a bar on a terminal and a line per epoch elsewhere (auto), or always one of them.",
        choices=("auto", "bar", "lines", "none"),
    )
    tensorboard: bool = option(False, "Whether to write RUN/tensorboard as well.")


#: Settings that `genloom train` has flags for; the others are given with --set.
_FLAGS = ("epochs", "steps", "batch_size", "stop_when", "patience", "adapt", "retain", "post")


def typed(name: str) -> str:
    """Return a setting as it is typed on the command line: --batch-size, or --set training.clip."""
    return f"--{name.replace('_', '-')}" if name in _FLAGS else f"--set training.{name}"


#: What a resumed run cannot change: another value would make it another training.
FIXED = (
    "adapt",
    "batch_size",
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "decay_share",
    "weight_decay",
    "clip",
    "ema",
    "accumulate",
    "update",
    "steps_per_execution",
    "jit_compile",
    "precision",
    "noise",
    "retain",
    "validation",
)
