"""The replay of a captured graph: every short cut gives what the plain call gives, and nothing frozen that changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

torch = pytest.importorskip("torch")
if keras.config.backend() != "torch":
    pytest.skip("torch's own", allow_module_level=True)

from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from genloom.backend.torch_graph import DIRECT, replayed  # noqa: E402

aten = torch.ops.aten


def tensor(*shape: int) -> Any:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) + 0.1


A, B = tensor(3, 4), tensor(3, 4)

# Arguments of an operation, where (x) alone is not what it takes.
ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    aten.add.Tensor: (A, B),
    aten.bmm.default: (tensor(2, 3, 4), tensor(2, 4, 5)),
    aten.cat.default: ([A, B], 1),
    aten.clamp.default: (A, 0.3, 0.8),
    aten.div.Scalar: (A, 3.0),
    aten.div.Tensor: (A, B),
    aten.expand.default: (tensor(3, 1), [3, 4]),
    aten.leaky_relu.default: (A - 0.5, 0.2),
    aten.mm.default: (A, tensor(4, 2)),
    aten.mul.Scalar: (A, 3.0),
    aten.mul.Tensor: (A, B),
    aten.permute.default: (tensor(2, 3, 4), [2, 0, 1]),
    aten.pow.Tensor_Scalar: (A, 3.0),
    aten.pow.Tensor_Tensor: (A, B),
    aten.rsub.Scalar: (A, 3.0),
    aten.select.int: (A, 1, 2),
    aten.sub.Tensor: (A, B),
    aten.sum.dim_IntList: (A, [0], True),
    aten.unsqueeze.default: (A, 1),
    aten.view.default: (A, [2, 6]),
}


@pytest.mark.parametrize("operation", list(DIRECT), ids=str)
def test_a_binding_computes_what_its_operation_does(operation: Any) -> None:
    arguments = ARGUMENTS.get(operation, (A - 0.5 if "relu" in str(operation) else A,))
    expected, found = operation(*arguments), DIRECT[operation](*arguments)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


def replay(fn: Callable[..., Any], *inputs: Any) -> Callable[..., Any]:
    return replayed(make_fx(fn, tracing_mode="real")(*inputs))


def test_variables_are_read_and_written_where_they_are() -> None:
    counter, total = torch.zeros(()), torch.zeros(3)

    def step(x: Any) -> tuple[Any, ...]:
        counter.add_(1)
        first = total[:1]  # a view taken before what it shows changes
        total.add_(x * counter + torch.ones_like(x))
        return (first.clone(), total.sum())

    again = replay(step, torch.ones(3))
    counter.zero_()
    total.zero_()
    for i in range(1, 4):
        before = total.clone()
        first, summed = again(torch.full((3,), 2.0))
        assert counter == i
        assert torch.equal(total, before + 2.0 * i + 1.0)
        assert first == total[0]
        assert summed == total.sum()


def test_a_constant_that_the_step_changes_is_made_anew() -> None:
    def step(x: Any) -> tuple[Any, ...]:
        sums = torch.zeros_like(x)
        sums.add_(x)
        return (sums,)

    again = replay(step, torch.ones(3))
    assert torch.equal(again(torch.ones(3))[0], torch.ones(3))
    assert torch.equal(again(torch.ones(3))[0], torch.ones(3))


def test_random_numbers_are_drawn_again() -> None:
    again = replay(lambda x: (x + torch.rand(3),), torch.zeros(3))
    assert not torch.equal(again(torch.zeros(3))[0], again(torch.zeros(3))[0])
