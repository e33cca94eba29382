"""The engine on JAX: nested stateless scopes give functional gradients to imperative code."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from keras import StatelessScope
from keras.src.backend.common.stateless_scope import get_stateless_scope

from genloom.backend.jax_step import StepMixin
from genloom.backend.kept import without_torn
from genloom.backend.memory import physical_memory
from genloom.backend.normalisation import group_norm_in_ops, layer_norm_in_ops
from genloom.backend.purity import run_pure
from genloom.backend.wide import float64_results
from genloom.files.caches import folder_to_keep

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


class _Inner:
    """Run code in a scope that starts from the outer one, and hand its writes back.

    Stateless scopes neither fall through to the outer one nor merge into it by themselves.
    """

    def __init__(self) -> None:
        self.outer = get_stateless_scope()
        self.start = dict(self.outer.state_mapping) if self.outer else {}

    def run(self, fn: Callable[..., Any], args: Sequence[Any], replaced: dict[int, Any]) -> tuple[Any, dict[int, Any]]:
        """Return fn's result and the values it wrote, by variable id."""
        before = {**self.start, **replaced}
        scope = StatelessScope()
        scope.state_mapping = dict(before)
        with scope:
            result = fn(*args)
        writes = {k: v for k, v in scope.state_mapping.items() if before.get(k) is not v}
        return result, writes

    def commit(self, writes: dict[int, Any]) -> None:
        """Write the inner values to the outer scope; outside one they are dropped, as tracing never happened."""
        if self.outer is not None:
            self.outer.state_mapping.update(writes)


def value_and_grad(fn: Callable[[], tuple[Any, Any]], variables: Sequence[Any]) -> tuple[tuple[Any, Any], list[Any]]:
    """Differentiate the first output of `fn` with respect to Keras variables.

    Args:
        fn: takes nothing, returns (scalar, auxiliary pytree); may write to variables (batch statistics).
        variables: Keras variables; one that `fn` does not use gets a zero gradient.

    Returns:
        ((scalar, auxiliary), gradients), one gradient per variable.
    """
    inner = _Inner()
    ids = [id(v) for v in variables]

    def pure(values: list[Any]) -> tuple[Any, Any]:
        (value, aux), writes = inner.run(fn, (), dict(zip(ids, values, strict=True)))
        return value, (aux, writes)

    (value, (aux, writes)), grads = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables])
    inner.commit(writes)
    return (value, aux), list(grads)


def grad(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return x -> d(sum fn(x))/dx, itself differentiable: gradient penalties, scores, R1 and R2."""

    def derivative(x: Any) -> Any:
        inner = _Inner()

        def pure(x: Any) -> tuple[Any, Any]:
            value, writes = inner.run(fn, (x,), {})
            return jnp.sum(value), writes

        result, writes = jax.grad(pure, has_aux=True)(x)
        inner.commit(writes)
        return result

    return derivative


def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return (fn(*primals), directional derivative along `tangents`), by forward mode."""
    return jax.jvp(fn, tuple(primals), tuple(tangents))


def loop(step: Callable[[Any, Any], Any], n: Any, state: Any, until: Callable[[Any], Any] | None = None) -> Any:
    """Apply `state = step(i, state)` for i = 0 … n-1, n an int or an int32 scalar; none after `until(state)` is true.

    What differs between calls must be in `state`.
    """
    if until is None:
        return jax.lax.fori_loop(0, n, step, state)

    def going(at: tuple[Any, Any]) -> Any:
        return jnp.logical_and(at[0] < n, jnp.logical_not(until(at[1])))

    return jax.lax.while_loop(going, lambda at: (at[0] + 1, step(*at)), (jnp.int32(0), state))[1]


def remat(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return fn, computed again in the backward pass; it takes tensors and None, draws and writes nothing."""

    def run(*args: Any) -> Any:
        at = [i for i, x in enumerate(args) if x is not None and jnp.issubdtype(x.dtype, jnp.floating)]

        def differentiable(*values: Any) -> Any:
            given = dict(zip(at, values, strict=True))
            return fn(*(given.get(i, x) for i, x in enumerate(args)))

        values = [args[i] for i in at]
        pure, held = jax.closure_convert(differentiable, *values)  # held: the variables that fn reads
        return _computed_again(pure, values, held)

    return run


def _computed_again(fn: Callable[..., Any], values: Sequence[Any], held: Sequence[Any]) -> Any:
    """Return fn(*values, *held), of which the backward pass keeps these arguments.

    `jax.checkpoint` tells XLA by a barrier to compute again late; on a CPU XLA drops it, computes again at once and
    keeps everything. What depends on the gradient that arrives, if only for NaN, cannot be computed before.
    """

    @jax.custom_vjp
    def call(values: list[Any], held: list[Any]) -> Any:
        return fn(*values, *held)

    def forward(values: list[Any], held: list[Any]) -> tuple[Any, Any]:
        return fn(*values, *held), (values, held)

    def backward(kept: tuple[list[Any], list[Any]], cotangent: Any) -> Any:
        values, held = kept
        one = cotangent.ravel()[0]
        nothing = jnp.where(one == one, 0.0, jnp.nan)
        late = [value + nothing.astype(value.dtype) for value in values]
        return jax.vjp(lambda values, held: fn(*values, *held), late, held)[1](cotangent)

    call.defvjp(forward, backward)
    return call(list(values), list(held))


def compiled(fn: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """Compile a pure function of tensors that reads the variables of `owner` at every call."""

    @jax.jit
    def pure(values: list[Any], *args: Any) -> Any:
        return run_pure(fn, args, zip(owner.variables, values, strict=True), owner)

    return lambda *args: pure([v.value for v in owner.variables], *args)


def _key(seed: int, step: Any, draw: int) -> Any:
    # Mixed here, once: `fold_in` would run the generator in every step, which small networks notice.
    high, low = np.random.SeedSequence([seed & 0xFFFFFFFF, draw]).generate_state(2)
    return jax.random.wrap_key_data(jnp.stack([jnp.uint32(high), jnp.asarray(step, "uint32") ^ low]))


def native_normal(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw standard normals from JAX's generator, keyed by (seed, step, draw)."""
    return jax.random.normal(_key(seed, step, draw), shape, dtype)


def native_uniform(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw uniforms in [0, 1) from JAX's generator, keyed by (seed, step, draw)."""
    return jax.random.uniform(_key(seed, step, draw), shape, dtype)


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Allow float64 inside a `with` block, which JAX and Keras make float32 elsewhere."""
    with jax.enable_x64(True), float64_results():
        yield


def step_flops(model: Any, data: Any) -> float:
    """Return the floating-point operations of one training step on `data`, as XLA counts them."""
    groups = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    state = model._get_jax_state(**dict.fromkeys(groups, True))
    step = jax.jit(model.train_step).lower(state, data)
    counts = step.cost_analysis() or step.compile().cost_analysis()  # on a GPU only what is compiled is counted
    return float(counts["flops"])


def traced(folder: str) -> contextlib.AbstractContextManager[Any]:
    """Write a trace of what runs inside a `with` block, for TensorBoard or Perfetto."""
    return jax.profiler.trace(folder)


def memory() -> int:
    """Return the bytes of memory where samples are drawn."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return int(limit or physical_memory())


def ran_out_of_memory(error: Exception) -> bool:
    """Say whether a call failed for want of memory."""
    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return exhausted or isinstance(error, MemoryError)


def move_towards(averages: Sequence[Any], variables: Sequence[Any], share: Any) -> None:
    """Move float32 averages by a share of the way to the variables' values."""
    for average, variable in zip(averages, variables, strict=True):
        average.assign(average.value + share * (variable.value.astype("float32") - average.value))


def image_layout() -> str:
    """Return the fastest convolution layout here."""
    return "channels_last"


def group_norm(x: Any, groups: int, gamma: Any, beta: Any, epsilon: float, axis: int = -1) -> Any:
    """Normalise channels in groups per sample (Wu and He 2018, eq. 7); x of any shape, channels on axis -1 or 1."""
    return group_norm_in_ops(x, groups, gamma, beta, epsilon, axis)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Normalise the last axis of x in floatx, with a scale and, unless it is None, a shift (Ba et al. 2016, eq. 4)."""
    return layer_norm_in_ops(x, gamma, beta, epsilon)


def prepare_optimizer(optimizer: Any) -> Any:
    """Return the optimizer ready for a compiled step; Keras's own need nothing here."""
    return optimizer


@functools.cache
def keep_compilations() -> None:
    """Let JAX keep what it compiles, so that the next process starts sooner; the user's own settings win."""
    folder = None if jax.config.jax_compilation_cache_dir else folder_to_keep("jax")
    folder = None if folder is None else without_torn(folder)
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", 2**29)
    # By default JAX keeps a second's work and more; initial weights are many compilations of a few hundredths.
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.02)
