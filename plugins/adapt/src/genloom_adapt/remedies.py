"""Keep what a model knew while it learns something new: five remedies against forgetting, for every family.

Two of them work through the data (replay, A-GEM), three through the loss (L2-SP, EWC, LwF). What is to be kept is what
the run that a training starts from was trained on, and the runs before it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from keras import ops

from genloom.errors import ConfigError
from genloom.model import Phase, Preparation, Start
from genloom_adapt.ancestry import earlier
from genloom_adapt.anchoring import Anchor, fisher
from genloom_adapt.rehearsal import MEMORY, Mixed, Paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from genloom import GenerativeModel
    from genloom.data import Split

__all__ = ["AGEM", "EWC", "L2SP", "LwF", "Replay"]

_LEAST = 1e-30  # of a square that divides


class Replay(Preparation):
    """Train on old samples among the new ones (Robins 1995)."""

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Open the old data."""
        self.old = earlier(start, "replay")

    def split(self, samples: Split) -> Split:
        """Return all new samples, and so many old ones that these are the share asked for."""
        return Mixed(samples, self.old, self.options.share)


class AGEM(Preparation):
    """Take out of each step what would raise the loss of old samples (Chaudhry et al. 2019, equation 11)."""

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Open the old data."""
        self.old = earlier(start, "agem")

    def split(self, samples: Split) -> Split:
        """Return every new sample with an old one."""
        return Paired(samples, self.old)

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Let each phase learn from the new samples, and not against the old."""
        return [_guarded(phase) for phase in phases]


class _Penalty(Preparation):
    """A remedy that adds something to the loss of each phase, and logs it as `retention`."""

    def penalty(self, phase: Phase, batch: dict[str, Any]) -> Any:
        """Return what is added, a scalar."""
        raise NotImplementedError

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Return the phases with what is added to their losses."""
        several = len(phases) > 1
        return [self._penalised(p, f"{p.name}_retention" if several else "retention") for p in phases]

    def _penalised(self, phase: Phase, name: str) -> Phase:
        def loss(batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
            mean, metrics, weight = phase.loss(batch)
            added = self.penalty(phase, batch)
            return mean + added, {**metrics, name: added}, weight

        return dataclasses.replace(phase, loss=loss, metrics=(*phase.metrics, name))


class L2SP(_Penalty):
    """Stay near the weights that training starts from (Li et al. 2018, equation 2): λ/2 Σ (θ - θ₀)²."""

    holds_weights = True

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Keep the weights as they are now."""
        phases = model.training_phases()
        self.anchors = {phase.name: self.anchor(model, phase, start) for phase in phases}

    def anchor(self, model: GenerativeModel, phase: Phase, start: Start) -> Anchor:
        """Return what holds the variables of a phase."""
        return Anchor(phase.resolve())

    def penalty(self, phase: Phase, batch: dict[str, Any]) -> Any:
        """Return λ/2 Σ F (θ - θ₀)²."""
        return self.options.strength * self.anchors[phase.name].penalty()


class EWC(L2SP):
    """Stay near them where the old data need it (Kirkpatrick et al. 2017, equation 3): λ/2 Σ F (θ - θ₀)².

    F is the mean square of the gradient of -log p of single old samples; the mean over a batch would be squared to
    something else.
    """

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Keep the weights as they are now, and measure F; a checkpoint brings both."""
        self.old = earlier(start, "ewc") if start.measured else ()
        super().prepare(model, start)

    def anchor(self, model: GenerativeModel, phase: Phase, start: Start) -> Anchor:
        """Return what holds the variables of a phase, each by its F."""
        variables = phase.resolve()
        measured = fisher(model, phase, self.old, self.options.samples) if start.measured else [0.0] * len(variables)
        return Anchor(variables, measured)


class LwF(_Penalty):
    """Answer on new samples as the old model does (Li and Hoiem 2017): λ times the family's `distillation_loss`."""

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Build the old model beside this one.

        Raises:
            ConfigError: the family has no distillation loss, or the old model cannot be built.
        """
        if not model.can("distillation_loss"):
            raise ConfigError(f"{type(model).__name__} has no distillation_loss(), which lwf needs.")
        if start.model is None:
            raise ConfigError(
                "lwf needs the model twice, and a model object is there once.", mend="Train it by its id, or take l2sp."
            )
        self.teacher = start.model()
        self.teacher.trainable = False
        self._student: Callable[[], GenerativeModel] = lambda: model  # which holds this, and not the other way round

    def penalty(self, phase: Phase, batch: dict[str, Any]) -> Any:
        """Return λ times how far the predictions are from the old model's."""
        loss = self._student().distillation_loss(batch, self.teacher, self.options.temperature)
        return self.options.strength * loss


def _guarded(phase: Phase) -> Phase:
    """Split what a batch holds of both: a phase learns from the new, and goes nowhere that the old speak against."""

    def fresh(batch: dict[str, Any]) -> Any:
        return phase.loss({name: value for name, value in batch.items() if not name.startswith(MEMORY)})

    def old(batch: dict[str, Any]) -> Any:
        return phase.loss({n.removeprefix(MEMORY): value for n, value in batch.items() if n.startswith(MEMORY)})

    return dataclasses.replace(phase, loss=fresh, change=lambda gradients, along: _not_against(gradients, along(old)))


def _not_against(gradients: list[Any], reference: list[Any]) -> list[Any]:
    """Return g, less (g·r / r·r) r where g·r < 0."""
    dot: Any = sum(ops.sum(g * r) for g, r in zip(gradients, reference, strict=True))
    square: Any = sum(ops.sum(ops.square(r)) for r in reference)
    share = ops.minimum(dot, 0.0) / ops.maximum(square, _LEAST)
    return [g - share * r for g, r in zip(gradients, reference, strict=True)]
