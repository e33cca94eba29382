"""Where samples come from: the model and the data that a post-processor may judge them by."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.model import GenerativeModel
    from genloom.runs import Run

__all__ = ["Origin"]


class Origin:
    """The model and the data behind samples, opened when a post-processor first asks.

    Args:
        run: the run whose model drew them, or None.
        model: opens the model, such as `lambda: genloom.load(run)`.
        dataset: the data it was trained on, where they are open already.
    """

    def __init__(
        self,
        run: Run | None = None,
        model: Callable[[], GenerativeModel] | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        self.run, self._model, self._dataset = run, model, dataset

    @functools.cached_property
    def model(self) -> GenerativeModel:
        """The model that drew the samples.

        Raises:
            ConfigError: nothing says which.
        """
        if self._model is None:
            raise ConfigError(
                "It is not known which model drew these samples.", mend="Pass Origin(run, lambda: genloom.load(run))."
            )
        return self._model()

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data that the model was trained on.

        Raises:
            ConfigError: nothing says which.
            DataError: they cannot be opened.
        """
        if self._dataset is not None:
            return self._dataset
        if self.run is None:
            raise ConfigError("It is not known which data these samples are modelled on.", mend="Pass Origin(run).")
        from genloom.data.opening import open
        from genloom.plugins.registry import of_run

        with of_run(self.run.config):
            return open(self.run.address)
