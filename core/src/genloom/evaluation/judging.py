"""How good a model is on a data set, as one number."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.model import GenerativeModel

__all__ = ["Judge"]

_TEST = "test_"


@dataclasses.dataclass(frozen=True)
class Judge:
    """One measure, the same for every model and data set that it is asked about.

    Attributes:
        name: a held-out loss of the model, such as test_loss, or a metric of samples, such as fd[pca20].
        n: samples drawn for a metric of samples, at most as many as are held out.
        seed: of the samples.
    """

    name: str
    n: int = 2_000
    seed: int = 0

    def check(self, model: GenerativeModel, dataset: Dataset) -> None:
        """Refuse a measure that this model or these data do not have, before anything is trained.

        Raises:
            ConfigError: no such held-out loss, or a metric that does not take these data.
            NotFoundError: no such metric.
        """
        if self._loss is not None:
            if self._loss not in model.validation:
                known = [_TEST + name for name in model.validation]
                raise ConfigError(
                    f"{type(model).__name__} has no held-out loss {self.name!r}.{nearest(self.name, known)}",
                    mend=f"Use {', '.join(known) or 'a metric of samples, such as fd[pca20]'}.",
                )
            self._refuse_without_direction(model.directions.get(self._loss, True))
            return
        from genloom.metrics.choosing import choose

        labelled = "label" in dataset.test.take([0])
        (metric,) = choose([self.name], dataset.spec, data_labelled=labelled, samples_labelled=labelled)
        self._refuse_without_direction(metric.metric.lower_is_better)

    def _refuse_without_direction(self, lower_is_better: bool | None) -> None:
        if lower_is_better is None:
            raise ConfigError(
                f"Of {self.name} neither more nor less is better.",
                mend="Use a measure with a direction, such as test_loss or fd.",
            )

    @property
    def _loss(self) -> str | None:
        return self.name.removeprefix(_TEST) if self.name.startswith(_TEST) else None

    def __call__(self, model: GenerativeModel, dataset: Dataset) -> tuple[float, bool]:
        """Return (value, whether lower is better) of a model on the held-out samples of a data set."""
        if self._loss is not None:
            from genloom.evaluation.heldout import losses

            return losses(model, dataset.test)[self._loss], bool(model.directions.get(self._loss, True))
        from genloom.evaluation.evaluate import scores
        from genloom.sampling.drawing import draw_samples

        drawn: Any = draw_samples(model, min(self.n, len(dataset.test)), self.seed)
        (result,) = scores([self.name], drawn, dataset)
        if result.reason:
            raise DataError(f"{self.name} has no value: {result.reason}", mend="Use another measure.")
        return float(result.value), bool(result.lower_is_better)
