"""Distillation: a model of few network calls learns from a run of many, its teacher, in place of the data's own noise.

`genloom train diffusion/consistency --init-from TEACHER --retain diffusion/distil`: the student begins with the
teacher's weights, and each model of the family knows how it is taught (`Diffusion.taught`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError
from genloom.model import Phase, Preparation, Start
from genloom_diffusion.checks import check_guidance
from genloom_diffusion.model import Diffusion

if TYPE_CHECKING:
    from collections.abc import Callable

    from genloom import GenerativeModel

__all__ = ["Distil"]


class Distil(Preparation):
    """Train on what a teacher says: the weights that the training starts from."""

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Build the teacher beside the student.

        Raises:
            ConfigError: the model is of another family, there is no run to learn from, or guidance without labels.
        """
        if not isinstance(model, Diffusion):
            raise ConfigError(
                f"diffusion/distil cannot teach {type(model).__name__}: no flow takes its noise to data.",
                mend="Take another remedy.",
            )
        if start.model is None or (start.run is None and start.measured):
            raise ConfigError("diffusion/distil has no teacher.", mend="Name a run: --init-from RUN.")
        if self.options.guidance != 1.0:
            guided = dataclasses.replace(model.options, guidance=self.options.guidance)
            check_guidance(guided, bool(model.conditional))
        teacher = start.model()
        teacher.trainable = False
        self.teacher = teacher
        self._student: Callable[[], Diffusion] = lambda: model  # which holds this, and not the other way round

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Return the family's one phase with the teacher's loss."""
        return [dataclasses.replace(phase, loss=self._loss) for phase in phases]

    def _loss(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        return self._student().taught(batch, self.teacher, self.options)
