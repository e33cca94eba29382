"""Keep what a model knew while it learns something new: six remedies against forgetting, for every family.

Two of them work through the data (replay, A-GEM), three through the loss (L2-SP, EWC, LwF); adapters, the sixth, are
in `lora.py`. What is to be kept is what the run that a training starts from was trained on, and the runs before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genloom.adaptation.anchoring import Anchor, fisher
from genloom.adaptation.rehearsal import MEMORY, Mixed, Paired
from genloom.errors import ConfigError, nearest
from genloom.model.phase import Phase
from genloom.options import configure, option, parse_assignments

if TYPE_CHECKING:
    from genloom.data.dataset import Split
    from genloom.model import GenerativeModel

__all__ = [
    "AGEM",
    "EWC",
    "L2SP",
    "LwF",
    "Replay",
    "Retention",
    "needs_memory",
    "parse_retention",
    "rehearsed",
    "retain",
]


@dataclasses.dataclass(frozen=True)
class Replay:
    """Train on old samples among the new ones (Robins 1995)."""

    share: float = option(0.2, "share of the samples that are old", minimum=0.001, maximum=0.999)


@dataclasses.dataclass(frozen=True)
class L2SP:
    """Stay near the weights that training starts from (Li et al. 2018, equation 2): λ/2 Σ (θ - θ₀)²."""

    strength: float = option(0.01, "λ", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class EWC:
    """Stay near them where the old data need it (Kirkpatrick et al. 2017, equation 3): λ/2 Σ F (θ - θ₀)².

    F is the mean square of the gradient of -log p of single old samples; the mean over a batch would be squared to
    something else.
    """

    strength: float = option(1.0, "λ", minimum=0.0)
    samples: int = option(256, "old samples that F is the mean of", minimum=1)


@dataclasses.dataclass(frozen=True)
class LwF:
    """Answer on new samples as the old model does (Li and Hoiem 2017): λ times the family's `distillation_loss`."""

    strength: float = option(1.0, "λ", minimum=0.0)
    temperature: float = option(2.0, "of both distributions, for families that have one", minimum=0.01)


@dataclasses.dataclass(frozen=True)
class AGEM:
    """Take out of each step what would raise the loss of old samples (Chaudhry et al. 2019, equation 11)."""


Retention = Replay | L2SP | EWC | LwF | AGEM

_KINDS: dict[str, type] = {"replay": Replay, "l2sp": L2SP, "ewc": EWC, "lwf": LwF, "agem": AGEM}


def parse_retention(text: str) -> Retention:
    """Read a remedy with its options after a colon: `replay:share=0.1`, `ewc:strength=30,samples=500`.

    Raises:
        ConfigError: another name, or an unknown option.
    """
    name, _, rest = text.partition(":")
    kind = _KINDS.get(name.strip())
    if kind is None:
        raise ConfigError(
            f"There is no remedy {name!r} against forgetting.{nearest(name, _KINDS)}",
            mend=f"Use {', '.join(_KINDS)}.",
        )
    values = parse_assignments(item for item in rest.split(",") if item.strip())
    found: Retention = configure(kind, values, named=f"{name.strip()}:{{}}".format)
    return found


def needs_memory(options: Retention) -> bool:
    """Say whether a remedy reads old data while it trains."""
    return isinstance(options, (Replay, AGEM))


def rehearsed(new: Split, old: Sequence[Split], text: str) -> Split:
    """Return what a remedy that reads old data trains on.

    Raises:
        DataError: old and new samples do not go together.
    """
    options = parse_retention(text)
    return Mixed(new, old, options.share) if isinstance(options, Replay) else Paired(new, old)


def retain(
    model: GenerativeModel,
    options: Retention,
    old: Sequence[Split],
    teacher: Callable[[], GenerativeModel],
    measure: bool = True,
) -> None:
    """Change the losses of a model that has the weights to start from; it must be compiled again.

    Args:
        model: any family's.
        options: the remedy.
        old: training data of what is to be kept, for EWC.
        teacher: builds the old model, for LwF.
        measure: False where a checkpoint is read next: EWC's F comes from there, too.

    Raises:
        ConfigError: LwF of a family without a distillation loss, or EWC of a network that writes in training.
    """
    if isinstance(options, Replay):
        return
    phases = model.phases()
    if isinstance(options, AGEM):
        _replace(model, [_guarded(phase) for phase in phases])
        return
    if isinstance(options, LwF):
        if not model.can("distillation_loss"):
            raise ConfigError(f"{type(model).__name__} has no distillation_loss(), which lwf needs.")
        model.teacher = teacher()
        model.teacher.trainable = False
        _replace(model, [_penalised(phase, len(phases), _distance(model, options)) for phase in phases])
        return
    samples = options.samples if isinstance(options, EWC) else 0
    model.anchors = {phase.name: _anchor(model, phase, old, samples, measure) for phase in phases}
    _replace(model, [_penalised(p, len(phases), _pull(model.anchors[p.name], options.strength)) for p in phases])


def _anchor(model: GenerativeModel, phase: Phase, old: Sequence[Split], samples: int, measure: bool) -> Anchor:
    variables = phase.resolve()
    if not samples:
        return Anchor(variables)
    return Anchor(variables, fisher(model, phase, old, samples) if measure else [0.0] * len(variables))


def _pull(anchor: Anchor, strength: float) -> Callable[[dict[str, Any]], Any]:
    return lambda batch: strength * anchor.penalty()


def _distance(model: Any, options: LwF) -> Callable[[dict[str, Any]], Any]:
    return lambda batch: options.strength * model.distillation_loss(batch, model.teacher, options.temperature)


def _replace(model: Any, phases: list[Phase]) -> None:
    model.phases = lambda: list(phases)


def _penalised(phase: Phase, count: int, penalty: Callable[[dict[str, Any]], Any]) -> Phase:
    """Add a penalty to a phase's loss, and log it."""
    name = "retention" if count == 1 else f"{phase.name}_retention"

    def loss(batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        mean, metrics, weight = phase.loss(batch)
        added = penalty(batch)
        return mean + added, {**metrics, name: added}, weight

    return dataclasses.replace(phase, loss=loss, metrics=(*phase.metrics, name))


def _guarded(phase: Phase) -> Phase:
    """Split what a batch holds of both: a phase learns from the new, and is guarded by the old."""

    def fresh(batch: dict[str, Any]) -> Any:
        return phase.loss({name: value for name, value in batch.items() if not name.startswith(MEMORY)})

    def old(batch: dict[str, Any]) -> Any:
        return phase.loss({n.removeprefix(MEMORY): value for n, value in batch.items() if n.startswith(MEMORY)})

    return dataclasses.replace(phase, loss=fresh, guard=old)
