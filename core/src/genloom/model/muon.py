"""Muon (Jordan et al. 2024): momentum whose singular values are made equal, for the matrices of hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

__all__ = ["Muon", "hidden_matrices", "orthogonalised"]

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero; it ends near 1, not at it (Jordan et al. 2024)
_RMS_OF_ADAMW = 0.2  # so large is an update of AdamW, in steps of its rate (Liu et al. 2025, section 2.2)


@keras.saving.register_keras_serializable(package="genloom")
class Muon(keras.optimizers.Optimizer):
    """Move matrices of hidden layers along their orthogonalised momentum, everything else by AdamW.

    An update of a matrix is scaled by 0.2 √max(rows, columns), not by √max(1, rows / columns) as in Jordan et al. 2024:
    its root mean square is then that of AdamW, whose rate and decay carry over (Liu et al. 2025, equation 4).
    Kernels of convolutions count as matrices of (places · inputs, outputs).

    Args:
        learning_rate: of both rules, a number or a schedule.
        weight_decay: decoupled decay of both, or None.
        momentum: of the matrices, in [0, 1); it looks ahead (Nesterov).
        beta_1: decay of AdamW's means.
        beta_2: decay of AdamW's squares.
        epsilon: beside the root in AdamW.
        matrices: the variables that Muon moves, each with two axes or more; None for every one named "kernel".
        **kwargs: Keras's own, such as `global_clipnorm`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float | None = 0.1,
        momentum: float = 0.95,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        matrices: Sequence[keras.Variable] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **{"name": "muon", **kwargs})
        self.momentum, self.beta_1, self.beta_2, self.epsilon = momentum, beta_1, beta_2, epsilon
        self._matrices = None if matrices is None else {self._var_key(variable) for variable in matrices}

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the state: a momentum for each variable, and a mean square for those that AdamW moves."""
        if self.built:
            return
        super().build(variables)
        self._momenta = [self.add_variable_from_reference(v, name="momentum") for v in variables]
        self._squares = [
            None if self._is_matrix(v) else self.add_variable_from_reference(v, name="square") for v in variables
        ]

    def _is_matrix(self, variable: keras.Variable) -> bool:
        chosen = variable.name == "kernel" if self._matrices is None else self._var_key(variable) in self._matrices
        return chosen and len(variable.shape) > 1

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable along its gradient."""
        i = self._get_variable_index(variable)
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        if self._squares[i] is None:
            self.assign_sub(variable, rate * self._direction(gradient, self._momenta[i]))
        else:
            self.assign_sub(variable, rate * self._adam(gradient, self._momenta[i], self._squares[i]))

    def _direction(self, gradient: Any, mean: Any) -> Any:
        """Return the update of a matrix for a rate of 1 (Jordan et al. 2024; its scale: Liu et al. 2025)."""
        self.assign(mean, self.momentum * mean + gradient)
        ahead = gradient + self.momentum * mean
        matrix = ops.reshape(ahead, (-1, ahead.shape[-1]))  # (places · inputs, outputs)
        scale = _RMS_OF_ADAMW * max(matrix.shape) ** 0.5
        return ops.reshape(scale * orthogonalised(matrix), gradient.shape)

    def _adam(self, gradient: Any, mean: Any, square: Any) -> Any:
        """Return the update of anything else for a rate of 1 (Kingma and Ba 2015, algorithm 1)."""
        step = ops.cast(self.iterations + 1, gradient.dtype)
        self.assign(mean, mean + (1.0 - self.beta_1) * (gradient - mean))
        self.assign(square, square + (1.0 - self.beta_2) * (ops.square(gradient) - square))
        corrected = square / (1.0 - ops.power(self.beta_2, step))
        return mean / (1.0 - ops.power(self.beta_1, step)) / (ops.sqrt(corrected) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments but `matrices`, which belong to one model."""
        names = ("momentum", "beta_1", "beta_2", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def orthogonalised(x: Any, steps: int = 5) -> Any:
    """Return a matrix with the singular vectors of x (rows, columns) and singular values near 1.

    Newton–Schulz iteration with Jordan's quintic: values of more than a thousandth of x's norm end in [0.5, 1.5].
    """
    a, b, c = _QUINTIC
    tall = x.shape[0] > x.shape[1]
    x = ops.transpose(x) if tall else x  # the products below are of the shorter side
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(steps):
        gram = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return ops.transpose(x) if tall else x


def hidden_matrices(model: keras.Model) -> list[keras.Variable]:
    """Return the kernels of a model's networks but the last of each, which makes its output."""
    found = []
    for network in model.layers:
        kernels = [v for v in network.trainable_variables if v.name == "kernel" and len(v.shape) > 1]
        found += kernels[:-1]
    return found
