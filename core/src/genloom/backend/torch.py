"""The engine on PyTorch: exact functional gradients, and whole steps captured once and replayed.

Keras runs eagerly here, and on small networks its Python costs more than the arithmetic; `torch_capture` removes it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from genloom.backend.executions import steps_of
from genloom.backend.memory import physical_memory
from genloom.backend.normalisation import group_norm_in_ops
from genloom.backend.purity import run_pure
from genloom.backend.torch_capture import Captured
from genloom.backend.torch_loops import LoopCache
from genloom.backend.wide import float64_results

__all__ = [
    "StepMixin",
    "compiled",
    "float64",
    "grad",
    "group_norm",
    "image_layout",
    "jvp",
    "keep_compilations",
    "layer_norm",
    "loop",
    "memory",
    "move_towards",
    "native_normal",
    "native_uniform",
    "prepare_optimizer",
    "ran_out_of_memory",
    "remat",
    "step_flops",
    "traced",
    "value_and_grad",
]


def value_and_grad(fn: Callable[[], tuple[Any, Any]], variables: Sequence[Any]) -> tuple[tuple[Any, Any], list[Any]]:
    """Differentiate the first output of `fn` with respect to Keras variables.

    Args:
        fn: takes nothing, returns (scalar, auxiliary pytree); may write to variables (batch statistics).
        variables: Keras variables; one that `fn` does not use gets a zero gradient.

    Returns:
        ((scalar, auxiliary), gradients), one gradient per variable.
    """
    values = [v.value for v in variables]
    with torch.enable_grad():
        value, aux = fn()
        with _in_order(values):
            grads = torch.autograd.grad(value, values, allow_unused=True, materialize_grads=True)
    return (value.detach(), keras.tree.map_structure(_detach, aux)), list(grads)


class _InOrder(TorchDispatchMode):
    """Hand the gradients of convolutions their arguments in memory's order.

    torch's float64 kernel, unlike that of float32, does not take a kernel whose axes Keras has turned.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            args = [x.contiguous() if isinstance(x, torch.Tensor) else x for x in args]
        return func(*args, **(kwargs or {}))


def _in_order(values: Sequence[torch.Tensor]) -> contextlib.AbstractContextManager[Any]:
    return _InOrder() if any(value.dtype == torch.float64 for value in values) else contextlib.nullcontext()


def _detach(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) else x


def grad(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return x -> d(sum fn(x))/dx, itself differentiable: gradient penalties, scores, R1 and R2."""

    def derivative(x: Any) -> Any:
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_(True)
            (result,) = torch.autograd.grad(
                fn(x).sum(), (x,), create_graph=True, allow_unused=True, materialize_grads=True
            )
        return result

    return derivative


def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return (fn(*primals), directional derivative along `tangents`), by forward mode."""
    # torch's own first use of forward mode goes through the deprecated torch.jit.script.
    quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
    with quiet, forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        duals = [forward_ad.make_dual(p, t) for p, t in zip(primals, tangents, strict=True)]
        pairs = keras.tree.map_structure(lambda v: tuple(forward_ad.unpack_dual(v)), fn(*duals))
    if isinstance(pairs, tuple) and len(pairs) == 2 and isinstance(pairs[0], torch.Tensor):
        value, tangent = pairs
        return value, torch.zeros_like(value) if tangent is None else tangent
    raise TypeError("jvp() on torch takes functions that return one tensor.")


def remat(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return fn, computed again in the backward pass; it takes tensors and None, draws and writes nothing."""
    # A captured step holds the second computation as operations of its own, and frees what the first one made.
    return functools.partial(checkpoint, fn, use_reentrant=False, preserve_rng_state=False)


_LOOPS = LoopCache()


def loop(step: Callable[[Any, Any], Any], n: Any, state: Any, until: Callable[[Any], Any] | None = None) -> Any:
    """Apply `state = step(i, state)` for i = 0 … n-1, n an int or an int32 scalar; none after `until(state)` is true.

    What differs between calls must be in `state`.
    """
    return _LOOPS.run(step, n, state, until)


def compiled(fn: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """Return a pure function of tensors without gradients; its `loop` is captured one step at a time."""
    cache = LoopCache()

    def run(*args: Any) -> Any:
        args = keras.tree.map_structure(lambda a: keras.ops.convert_to_tensor(a), args)
        with torch.no_grad(), _loops_of(cache):
            return run_pure(fn, args, (), owner)

    return run


@contextlib.contextmanager
def _loops_of(cache: LoopCache) -> Iterator[None]:
    global _LOOPS
    outer, _LOOPS = _LOOPS, cache.restart()
    try:
        yield
    finally:
        _LOOPS = outer


# Inside a step the default generator was seeded from (seed, step), so the order of draws keys them.


def native_normal(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw standard normals from torch's generator, which the step seeded from (seed, step)."""
    return torch.randn(shape, dtype=getattr(torch, dtype), device=step.device)


def native_uniform(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw uniforms in [0, 1) from torch's generator, which the step seeded from (seed, step)."""
    return torch.rand(shape, dtype=getattr(torch, dtype), device=step.device)


def float64() -> contextlib.AbstractContextManager[None]:
    """Allow float64 inside a `with` block, which Keras makes float32 elsewhere."""
    return float64_results()


def step_flops(model: Any, data: Any) -> float:
    """Return the floating-point operations of the products and convolutions of one training step on `data`."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model._captured.rehearse(data)
    return float(counter.get_total_flops())


@contextlib.contextmanager
def traced(folder: str) -> Iterator[None]:
    """Write a trace of what runs inside a `with` block, for Perfetto or Chrome."""
    with torch.profiler.profile() as profile:
        yield
    os.makedirs(folder, exist_ok=True)
    profile.export_chrome_trace(os.path.join(folder, "trace.json"))


def memory() -> int:
    """Return the bytes of memory where samples are drawn."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    return physical_memory()


def ran_out_of_memory(error: Exception) -> bool:
    """Say whether a call failed for want of memory; on a CPU torch has no class of its own for that."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


@torch.no_grad()
def move_towards(averages: Sequence[Any], variables: Sequence[Any], share: Any) -> None:
    """Move float32 averages by a share of the way to the variables' values."""
    for average, variable in zip(averages, variables, strict=True):
        average.value.lerp_(variable.value.to(torch.float32), share)


def image_layout() -> str:
    """Return the fastest convolution layout here: NCHW is three times faster on torch's CPU kernels."""
    return "channels_first"


def group_norm(x: Any, groups: int, gamma: Any, beta: Any, epsilon: float, axis: int = -1) -> Any:
    """Normalise channels in groups per sample (Wu and He 2018, eq. 7); x of any shape, channels on axis -1 or 1.

    Channels on axis 1 reach torch's fused kernel, but under `jvp`: its derivative takes contiguous tensors only.
    """
    if axis != 1 or forward_ad.unpack_dual(x).tangent is not None:
        return group_norm_in_ops(x, groups, gamma, beta, epsilon, axis)
    gamma, beta = (keras.ops.cast(keras.ops.convert_to_tensor(v), x.dtype) for v in (gamma, beta))
    return torch.nn.functional.group_norm(x, groups, gamma, beta, epsilon)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Normalise the last axis of x in floatx, with a scale and, unless it is None, a shift (Ba et al. 2016, eq. 4)."""
    floatx = keras.config.floatx()
    y, gamma = (keras.ops.cast(keras.ops.convert_to_tensor(v), floatx) for v in (x, gamma))
    beta = None if beta is None else keras.ops.cast(keras.ops.convert_to_tensor(beta), floatx)
    return keras.ops.cast(torch.nn.functional.layer_norm(y, y.shape[-1:], gamma, beta, epsilon), x.dtype)


def keep_compilations() -> None:
    """Nothing to do: torch compiles for those who ask, and Inductor then keeps it."""


def prepare_optimizer(optimizer: Any) -> Any:
    """Return the optimizer ready for capture, its update in one pass where torch has a kernel for it.

    Keras's fused update of most optimizers passes the rate as a Python number, which a captured step would freeze;
    those use Keras's plain per-variable update instead.
    """
    if type(optimizer).__name__ in ("Adam", "AdamW"):
        if not optimizer.amsgrad:
            optimizer._parallel_update_step = functools.partial(_fused_adam, optimizer)
    elif hasattr(optimizer, "_parallel_update_step"):

        def each(grads: Any, variables: Any, learning_rate: Any) -> None:
            for gradient, variable in zip(grads, variables, strict=True):
                optimizer.update_step(gradient, variable, learning_rate)

        optimizer._parallel_update_step = each
    return optimizer


_LONG_AGO = 1e9  # steps after which torch's kernel corrects no bias


def _fused_adam(optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
    """Move the variables by Keras's Adam in torch's fused kernel (Kingma and Ba 2015, section 2's second form).

    Keras adds ε to the root before its bias is corrected, torch after; with the correction in the rate and a kernel
    that believes its own to be long over, the two are one rule.
    """
    at = [optimizer._get_variable_index(variable) for variable in variables]
    means, squares = ([slots[i].value for i in at] for slots in (optimizer._momentums, optimizer._velocities))
    step = (optimizer.iterations.value + 1).to(torch.float32)
    corrected = torch.sqrt(1 - optimizer.beta_2**step) / (1 - optimizer.beta_1**step)
    rate = learning_rate.value if isinstance(learning_rate, keras.Variable) else learning_rate
    torch._fused_adam_(
        [variable.value for variable in variables],
        [gradient.contiguous() for gradient in grads],  # the kernel runs over memory, whatever the strides
        means,
        squares,
        [],
        [torch.full((), _LONG_AGO, device=step.device)] * len(at),
        lr=rate * corrected,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,  # AdamW's decay is Keras's, applied before
        eps=optimizer.epsilon,
        amsgrad=False,
        maximize=False,
    )


class StepMixin:
    """Run a model's imperative update, captured once per signature unless the model is compiled with run_eagerly."""

    _captured_for: Any = None
    _captured: Any = None

    @property
    def eager_because(self) -> str | None:
        """Why the training step runs eagerly; None when it is captured, or was not run yet."""
        return None if self._captured is None else self._captured.fallback

    def make_train_function(self, force: bool = False) -> None:
        """Run the steps of one execution, which Keras hands over as a list; its own refuses more than one."""
        self._known_step = int(self.step.value)  # type: ignore[attr-defined]
        self.train_function = lambda batches: [self.train_step(batch) for batch in batches][-1]

    def make_test_function(self, force: bool = False) -> None:
        """As `make_train_function`, for `evaluate`."""

        @torch.no_grad()
        def execution(batches: list[Any]) -> dict[str, Any]:
            return [self.test_step(batch) for batch in batches][-1]

        self.test_function = execution

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of every phase, or those of a stack of batches; called by Keras's `fit`."""
        stacked = steps_of(data)
        if stacked is None:
            # Of one batch alone Keras hands over (x, y, sample_weight), and a model of ours reads x.
            return self._one_step(data[0] if isinstance(data, tuple) else data)
        columns = keras.tree.map_structure(torch.unbind, stacked)
        for i in range(len(keras.tree.flatten(stacked)[0])):
            logs = self._one_step(keras.tree.map_structure_up_to(stacked, lambda column, i=i: column[i], columns))
        return logs

    def _one_step(self, data: Any) -> dict[str, Any]:
        optimizer = self.optimizer  # type: ignore[attr-defined]
        optimizer.follow_schedules()
        if self._captured_for is not optimizer:
            self._captured_for = optimizer
            self._known_step = int(self.step.value)  # type: ignore[attr-defined]
            self._captured = Captured(
                self.update_batch,  # type: ignore[attr-defined]
                lambda: [*self.variables, *optimizer.variables, *self.metrics_variables],  # type: ignore[attr-defined]
                self._seed_step,
                self.step.value.device,  # type: ignore[attr-defined]
                enabled=not self.run_eagerly,  # type: ignore[attr-defined]
                inductor=self.jit_compile is True,  # type: ignore[attr-defined]
            )
        logs = self._captured(data)
        self._known_step += 1
        return logs

    def _seed_step(self, generator: torch.Generator) -> None:
        # A fixed mix keeps (seed, step) and (seed + 1, step - 1) apart. The step is counted here as well as in its
        # variable, which on a GPU could only be read by waiting for the step before.
        generator.manual_seed((self.seed * 0x9E3779B97F4A7C15 + self._known_step) & 0x7FFFFFFFFFFFFFFF)  # type: ignore[attr-defined]

    def test_step(self, data: Any) -> dict[str, Any]:
        """Held-out losses of one batch; called by Keras's `evaluate`."""
        return self.validate_batch(data)  # type: ignore[attr-defined]

    def sync_state(self) -> None:
        """Nothing to do: torch's variables are always current."""
