"""What `fit` is fed: the endless stream of training batches from a step on, and finite held-out batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras

from genloom.backend.executions import next_stack
from genloom.data.loader import Loader
from genloom.data.validation import ValidationBatches, split_validation
from genloom.model.promises import check_split
from genloom.training.plan import Stretch
from genloom.training.settings import TrainingSettings

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.model import GenerativeModel

__all__ = ["Feed", "HeldOut"]


class HeldOut(keras.utils.PyDataset):
    """Held-out batches in the form that Keras's `evaluate` reads again every epoch."""

    def __init__(self, batches: ValidationBatches) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any]:
        return (self.batches[index],)


class Feed:
    """The data of one training.

    Args:
        dataset: where the samples come from; its test split is never touched.
        model: as its training begins; one without held-out losses has nothing set aside.
        settings: batch size and the share set aside.
        seed: fixes the order and what is set aside.
    """

    def __init__(
        self,
        dataset: Dataset,
        model: GenerativeModel,
        settings: TrainingSettings,
        seed: int,
    ) -> None:
        self.train: Any = dataset.train
        self.held_out: HeldOut | None = None
        if settings.validation and model.validation:
            self.train, aside = split_validation(dataset.train, settings.validation, seed)
            self.held_out = HeldOut(ValidationBatches(aside, settings.batch_size))
        for preparation in model.preparations.values():
            self.train = check_split(preparation, preparation.split(self.train))
        self.repeats = max(phase.repeats for phase in model.training_phases())
        self.loader = Loader(self.train, settings.batch_size, seed, repeats=self.repeats)
        self.most = settings.steps_per_execution

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of `batch_size` that the training samples fill."""
        return self.loader.steps_per_epoch

    def stream(self, stretch: Stretch) -> Iterator[Any]:
        """Return a fresh endless stream of a stretch's executions; Keras reads ahead, so each `fit` needs its own."""
        batches = self.loader.stream(stretch.start)
        return batches if self.most == 1 else self._executions(batches, stretch)

    def _executions(self, batches: Iterator[Any], stretch: Stretch) -> Iterator[Any]:
        step = stretch.start
        while True:
            steps = stretch.execution(step, self.most)
            yield next_stack(batches, steps)
            step += steps
