"""(IA)³ (Liu et al. 2022): a learned factor for each activation, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from genloom.errors import ConfigError
from genloom_adapt.adapter import Adapter, matrix_shape, targets
from genloom_adapt.options import IA3Options

if TYPE_CHECKING:
    from genloom import GenerativeModel

__all__ = ["IA3", "sides"]


def sides(model: GenerativeModel, options: IA3Options) -> dict[str, tuple[Any, str]]:
    """Return the layers to adapt by their paths, each with the side that is scaled: "outputs" or "inputs".

    Raises:
        ConfigError: no linear layer has such a name, or both sides of one are to be scaled.
    """
    outputs = targets(model, options.target)
    inputs = targets(model, options.inputs) if options.inputs else {}
    if both := sorted(outputs.keys() & inputs.keys()):
        raise ConfigError(
            f"ia3 scales one side of a layer, and both target={options.target!r} and inputs={options.inputs!r} name "
            f"{both[0]!r}.",
            mend="Let each name others; an empty inputs= scales no inputs.",
        )
    found = {path: (layer, "outputs") for path, layer in outputs.items()}
    return found | {path: (layer, "inputs") for path, layer in inputs.items()}


class IA3(Adapter):
    """l ⊙ (W x + b), or W (l ⊙ x) + b, with l one at first.

    Args:
        layer: one of `LINEAR`.
        side: "outputs" or "inputs"; a convolution's inputs are scaled one factor for each place and channel.
    """

    kind = "ia3"

    def __init__(self, layer: Any, side: str) -> None:
        super().__init__()
        self.side, self.kernel_shape = side, tuple(int(length) for length in layer.kernel.shape)
        inputs, outputs = matrix_shape(layer)
        self.l = self.add_weight(shape=(outputs if side == "outputs" else inputs,), initializer="ones", name="l")
        self.built = True

    def effective(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Return the kernel and the bias with their rows or columns scaled."""
        if self.side == "outputs":
            return kernel * self.l, None if bias is None else bias * self.l
        matrix = ops.reshape(kernel, (-1, self.kernel_shape[-1]))
        return ops.reshape(matrix * self.l[:, None], self.kernel_shape), bias

    def settle(self, kernel: Any) -> None:
        """Set l to one."""
        self.l.assign(ops.ones(self.l.shape))
