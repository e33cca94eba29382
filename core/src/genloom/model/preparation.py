"""What is put on a model between its building and its training, such as adapters or a remedy against forgetting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import keras

from genloom.model.phase import Phase

if TYPE_CHECKING:
    from genloom.data.dataset import Split
    from genloom.model.generative import GenerativeModel
    from genloom.runs import Run

__all__ = ["Preparation", "Start"]


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a training begins; the defaults are those of a model whose weights are read next.

    Attributes:
        seed: of what is drawn.
        run: the run whose weights the training starts from, None without one.
        model: builds the model once more, with the weights that the training starts from; None where nobody can, for
            the training was given a model object.
        measured: whether to measure what depends on the weights; else a checkpoint brings it, or nothing is trained.
    """

    seed: int = 0
    run: Run | None = None
    model: Callable[[], GenerativeModel] | None = None
    measured: bool = False


class Preparation(keras.layers.Layer):
    """The base of what changes how a model is trained: its phases and its samples, each in one method.

    A subclass is the target of a component of kind `adapter` or `remedy`, called with the component's options. It is a
    layer, so that the variables and layers that it holds are saved with the model, as `preparations/<slot>/…`.

    Args:
        options: the component's checked options, None without any.
    """

    kept: ClassVar[bool] = False
    """Whether the model computes with it after the training, and so is loaded with it."""

    holds_weights: ClassVar[bool] = False
    """Whether it holds the model's own weights in place, and so has nothing to do beside frozen ones."""

    def __init__(self, options: Any = None) -> None:
        super().__init__()
        self.options = options
        self.built = True

    @property
    def prompt(self) -> Any:
        """A learned prompt, which the family reads as `GenerativeModel.prompt`; None without one."""
        return None

    def prepare(self, model: GenerativeModel, start: Start) -> None:
        """Look at the model, which has the weights to start from, and make what is needed; nothing by default."""

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Return the phases that are trained in place of the model's own."""
        return phases

    def split(self, samples: Split) -> Split:
        """Return what is trained on in place of the training samples."""
        return samples

    def merge(self, model: GenerativeModel) -> None:
        """Put what was learned into the model's own weights, so that it computes the same without the preparation.

        Raises:
            ConfigError: no weights can stand in for it.
        """
