"""Low-rank adaptation: W + s B A with W frozen and B zero at first (LoRA), its columns of a learned length (DoRA)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genloom.layers import Dropout
from genloom.random import ambient
from genloom_adapt.adapter import Adapter, biased, convolved, matrix_shape

__all__ = ["DoRA", "LoRA"]


class LoRA(Adapter):
    """The low-rank term of one linear layer.

    Args:
        layer: one of `LINEAR`.
        rank: r.
        scale: s.
        dropout: share of the inputs that it does not see in training.
    """

    kind = "lora"

    def __init__(self, layer: Any, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.scale, self.kernel_shape = scale, tuple(int(side) for side in layer.kernel.shape)
        inputs, outputs = matrix_shape(layer)
        # Uniform over ± 1 / √inputs, as the authors' code has it.
        self.a_initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        self.a = self.add_weight(shape=(inputs, rank), initializer=self.a_initializer, name="a")
        self.b = self.add_weight(shape=(rank, outputs), initializer="zeros", name="b")
        self.drop = Dropout(dropout) if dropout else None
        self.built = True

    def delta(self) -> Any:
        """Return s B A in the shape of the kernel, to which it is added."""
        return ops.reshape(self.scale * ops.matmul(self.a, self.b), self.kernel_shape)

    def effective(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Return W + s B A, and the bias."""
        return kernel + self.delta(), bias

    def settle(self, kernel: Any) -> None:
        """Set B to zero."""
        self.b.assign(ops.zeros(self.b.shape))

    def dense(self, x: Any, layer: Any) -> Any:
        """Return W x + s B A x, without making B A."""
        term = self.scale * ops.matmul(ops.matmul(self._seen(x), self.a), self.b)
        y = ops.matmul(x, layer.kernel) + term
        return y + layer.bias if layer.use_bias else y

    def convolution(self, x: Any, layer: Any) -> Any:
        """Return the outputs by one convolution, by two where the term sees other inputs."""
        if self.drop is None:
            return super().convolution(x, layer)
        y = convolved(x, layer.kernel, layer) + convolved(self._seen(x), self.delta(), layer)
        return biased(y, layer.bias if layer.use_bias else None, layer)

    def _seen(self, x: Any) -> Any:
        """Return what the term sees of its inputs: all of them outside training."""
        return x if self.drop is None else self.drop(x, training=ambient() is not None)


class DoRA(LoRA):
    """Magnitude m times direction, (W + s B A) / ‖W + s B A‖, for each output; m begins as ‖W‖ (equation 5).

    The norm counts as a constant in the gradient, as the paper has it (equation 11). Arguments as for `LoRA`.
    """

    kind = "dora"

    def __init__(self, layer: Any, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__(layer, rank, scale, dropout)
        self.m = self.add_weight(shape=self.kernel_shape[-1:], initializer="ones", name="m")
        self.m.assign(_lengths(layer.kernel.value))

    def _ratio(self, kernel: Any) -> Any:
        """Return m / ‖W + s B A‖ (outputs,)."""
        return self.m / ops.stop_gradient(_lengths(kernel + self.delta()))

    def effective(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Return m (W + s B A) / ‖W + s B A‖, and the bias."""
        return (kernel + self.delta()) * self._ratio(kernel), bias

    def settle(self, kernel: Any) -> None:
        """Set B to zero and m to the kernel's lengths: a magnitude below zero has turned its column by now."""
        super().settle(kernel)
        self.m.assign(_lengths(kernel))

    def dense(self, x: Any, layer: Any) -> Any:
        """Return (W x + s B A x) m / ‖W + s B A‖, and the bias."""
        term = self.scale * ops.matmul(ops.matmul(self._seen(x), self.a), self.b)
        y = (ops.matmul(x, layer.kernel) + term) * self._ratio(layer.kernel)
        return y + layer.bias if layer.use_bias else y

    def convolution(self, x: Any, layer: Any) -> Any:
        """Return the outputs of the two kernels, each scaled."""
        if self.drop is None:
            return Adapter.convolution(self, x, layer)
        ratio = self._ratio(layer.kernel)
        y = convolved(x, layer.kernel * ratio, layer) + convolved(self._seen(x), self.delta() * ratio, layer)
        return biased(y, layer.bias if layer.use_bias else None, layer)


def _lengths(kernel: Any) -> Any:
    """Return the Euclidean length of what each output multiplies, (outputs,)."""
    matrix = ops.reshape(kernel, (-1, int(kernel.shape[-1])))
    return ops.sqrt(ops.sum(ops.square(matrix), axis=0) + 1e-12)
