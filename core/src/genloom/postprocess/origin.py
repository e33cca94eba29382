"""Where samples come from: the model and the data that a post-processor may judge them by."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.model import GenerativeModel
    from genloom.runs import Run

__all__ = ["Origin"]

_MEND = "Name the run: genloom sample RUN --post …, or chain(…)(samples, Origin(run))."


class Origin:
    """The model and the data behind samples, opened when a post-processor first asks.

    Args:
        run: the run whose model drew them, or None.
        model: the model itself, where it is open already.
        dataset: the data it was trained on, where they are open already.
    """

    def __init__(
        self, run: Run | None = None, model: GenerativeModel | None = None, dataset: Dataset | None = None
    ) -> None:
        self.run, self._model, self._dataset = run, model, dataset

    @functools.cached_property
    def model(self) -> GenerativeModel:
        """The model that drew the samples.

        Raises:
            ConfigError: nothing says which.
        """
        if self._model is not None:
            return self._model
        if self.run is None:
            raise ConfigError("It is not known which model drew these samples.", mend=_MEND)
        from genloom.loading import load

        return load(self.run)

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
            raise ConfigError("It is not known which data these samples are modelled on.", mend=_MEND)
        from genloom.data.opening import open

        return open(self.run.config["data"]["address"])
