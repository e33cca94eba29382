"""Memory for time: a part of a network that is computed again in the backward pass, with the noise it had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genloom import backend
from genloom.random import NoiseStream, ambient, training_noise

__all__ = ["remat"]


def remat(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return fn, of which the backward pass keeps its inputs and its noise alone (Chen et al. 2016, section 4).

    Args:
        fn: takes tensors and None, returns a tensor; may read variables and draw training noise, writes nothing.
    """
    stream = ambient()
    if stream is None:
        return backend.remat(fn)
    drawn = _Drawn(stream)

    def again(*args: Any) -> Any:
        with training_noise(drawn.from_the_first()):
            return fn(*args)

    return backend.remat(again)


class _Drawn(NoiseStream):
    """Another stream's draws, each made once and then given again.

    Engines that draw in order would draw anew, and PyTorch computes again in a thread without an ambient stream.
    """

    def __init__(self, stream: NoiseStream) -> None:
        super().__init__(stream.seed, stream.step, stream.mode)
        self.stream = stream
        self.kept: list[Any] = []

    def from_the_first(self) -> _Drawn:
        """Begin again."""
        self.draws = 0
        return self

    def normal(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw standard normals of `shape`."""
        return self._once(self.stream.normal, shape, dtype)

    def uniform(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Draw uniforms in [0, 1) of `shape`."""
        return self._once(self.stream.uniform, shape, dtype)

    def _once(self, draw: Callable[..., Any], shape: Sequence[int], dtype: str) -> Any:
        if self.draws == len(self.kept):
            self.kept.append(draw(shape, dtype))
        self.draws += 1
        return self.kept[self.draws - 1]
