"""What made each sample of a data set, where that is known: the truth that codes of a model are held against."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import ConfigError

__all__ = ["Factors"]


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """The independent causes of the samples of a data set.

    Attributes:
        names: of the factors.
        sizes: values that each may have, 0 to size − 1.
        train: int32 (n, factors), a row for each training sample, in their order.
        test: int32 (m, factors), of the held-out samples.
        unordered: names of those whose values have no order, such as a shape.

    Raises:
        ConfigError: another number of sizes or columns than of names.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    train: NDArray[np.int32]
    test: NDArray[np.int32]
    unordered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = len(self.names)
        found: list[Any] = [len(self.sizes), *(part.shape[1] for part in (self.train, self.test))]
        if found != [wanted] * 3:
            raise ConfigError(f"{wanted} factors need as many sizes and columns, got {found}.")
