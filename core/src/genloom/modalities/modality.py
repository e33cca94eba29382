"""What a kind of content says of itself, with what holds where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from genloom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from PIL.Image import Image

    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec

__all__ = ["Modality", "Reader", "Writer"]

#: What turns a file's bytes into samples (n, *shape), or raises ValueError.
Reader: TypeAlias = "Callable[[bytes], np.ndarray[Any, Any]]"

#: What turns samples into the bytes of a file.
Writer: TypeAlias = "Callable[[Samples], bytes]"


class Modality:
    """One kind of data.

    A plugin offers an instance, `Component("modality", "mine/palette", "mine.palette:PALETTE", …)`; the part of the id
    after the slash is the `kind` in the `DataSpec` of such data.
    """

    numeric: bool = True
    """Whether values are amounts, which can be added and compared; tokens and notes are names."""

    in_rows: bool = False
    """Whether a picture shows samples in rows, where those of one class then stand together."""

    features: str = ""
    """Name of what `featured` returns, such as `pieces`, where scores look at that and not at the values.

    It stands in the names of scores, `fd[pieces-pca20]`. Features are amounts, even where values are none.
    """

    like: str = ""
    """Kind of data whose models take these, too: `image` for amounts (height, width, channels), `signal` for amounts
    (features,) or (time, channels). Without it models take them that name their kind, `NUMERIC` or `ANY`."""

    def shaped(self, x: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
        """Return arrays (n, …) that come without a spec as samples (n, *shape), with an axis of channels, say.

        Args:
            x: numbers, of two axes or more.
            name: how errors call them.

        Raises:
            DataError: a shape that samples of this kind do not have.
        """
        return x

    def span(self, x: np.ndarray[Any, Any], name: str) -> tuple[float, float] | None:
        """Return the range of values of samples (n, *shape) that come without one; None where there are no bounds.

        Bytes from 0 to 255 are brought to [0, 1].

        Raises:
            DataError: the values do not tell the bounds that they have.
        """
        return None

    def readers(self) -> Mapping[str, Reader]:
        """Return ending → function from a file's bytes to samples (n, *shape): what `files:PATH` reads."""
        return {}

    def condition(self, name: str, rows: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
        """Return a condition as the arrays (n, …) that models get, from what a person wrote.

        Args:
            name: the condition's; labels are read by the names of classes, and come here never.
            rows: (n, …) as given, texts where words were given.
            spec: of the model's samples.

        Raises:
            ValueError: a text that means nothing.
        """
        return rows

    def pictured(self, spec: DataSpec) -> bool:
        """Say whether samples of `spec` have a picture."""
        return False

    def picture(
        self,
        samples: np.ndarray[Any, Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: np.ndarray[Any, Any] | None = None,
    ) -> Image:
        """Draw samples.

        Args:
            samples: (n, *spec.shape), in `spec.value_range`.
            spec: what one sample is.
            columns: samples per row, where they stand in rows; by default the most nearly square layout.
            labels: classes (n,) of the samples, for kinds that are shown by class.

        Raises:
            ConfigError: no samples, a shape that is not the spec's, or a kind without a picture.
        """
        raise ConfigError(f"Samples of kind {spec.kind!r} have no picture.", mend="Write them to .txt or .npz instead.")

    def summary(self, samples: np.ndarray[Any, Any], spec: DataSpec) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return name → a number of each sample (n,); `genloom data check` prints their means over a split."""
        return {}

    def featured(self, samples: np.ndarray[Any, Any], spec: DataSpec) -> np.ndarray[Any, Any]:
        """Return what scores compare samples (n, *spec.shape) by, where `features` names it: amounts (n, d)."""
        return samples.reshape(len(samples), -1)

    def ending(self, drawn: Samples) -> str:
        """Return what one sample is written as, where samples become a folder of files."""
        return ".npz"

    def writers(self) -> Mapping[str, Writer]:
        """Return ending → function from samples to the file's bytes, beside .npz, and .png where there are pictures."""
        return {}
