"""The engine on TensorFlow: gradient tapes inside the one `tf.function` that Keras builds."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.name_scope import name_scope as PlainScope
from keras.src.backend.tensorflow.core import name_scope as keras_scope
from tensorflow.python.framework.ops import gradient_registry

from genloom.backend.executions import next_stack, steps_of
from genloom.backend.memory import physical_memory
from genloom.backend.normalisation import group_norm_in_ops, layer_norm_in_ops
from genloom.backend.purity import run_pure
from genloom.files.caches import folder_to_keep
from genloom.messages import tell

__all__ = [
    "StepMixin",
    "building",
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

_ZERO = tf.UnconnectedGradients.ZERO


def value_and_grad(fn: Callable[[], tuple[Any, Any]], variables: Sequence[Any]) -> tuple[tuple[Any, Any], list[Any]]:
    """Differentiate the first output of `fn` with respect to Keras variables.

    Args:
        fn: takes nothing, returns (scalar, auxiliary pytree); may write to variables (batch statistics).
        variables: Keras variables; one that `fn` does not use gets a zero gradient.

    Returns:
        ((scalar, auxiliary), gradients), one gradient per variable.
    """
    values = [v.value for v in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value, aux = fn()
    grads = tape.gradient(value, values, unconnected_gradients=_ZERO)
    return (value, aux), [tf.convert_to_tensor(g) for g in grads]


def grad(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return x -> d(sum fn(x))/dx, itself differentiable: gradient penalties, scores, R1 and R2."""

    def derivative(x: Any) -> Any:
        x = tf.convert_to_tensor(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = tf.reduce_sum(fn(x))
        return tape.gradient(value, x, unconnected_gradients=_ZERO)

    return derivative


def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return (fn(*primals), directional derivative along `tangents`), by forward mode."""
    primals = [tf.convert_to_tensor(p) for p in primals]
    tangents = [tf.convert_to_tensor(t) for t in tangents]

    def both(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        with tf.autodiff.ForwardAccumulator(primals, tangents) as accumulator:
            value = fn(*primals)
        return value, tf.nest.map_structure(lambda v: accumulator.jvp(v, unconnected_gradients=_ZERO), value)

    # Run eagerly, an outer tape forgets how the value came about once the derivative is freed: its gradient is 0.
    return tf.function(both)(primals, tangents) if tf.executing_eagerly() else both(primals, tangents)


def loop(step: Callable[[Any, Any], Any], n: Any, state: Any, until: Callable[[Any], Any] | None = None) -> Any:
    """Apply `state = step(i, state)` for i = 0 … n-1, n an int or an int32 scalar; none after `until(state)` is true.

    What differs between calls must be in `state`.
    """
    flat = keras.tree.flatten(state)

    def body(i: Any, *flat: Any) -> tuple[Any, ...]:
        new = step(i, keras.tree.pack_sequence_as(state, list(flat)))
        return (i + 1, *keras.tree.flatten(new))

    def going(i: Any, *flat: Any) -> Any:
        if until is None:
            return i < n
        return tf.logical_and(i < n, tf.logical_not(until(keras.tree.pack_sequence_as(state, list(flat)))))

    flat = [tf.convert_to_tensor(x) for x in flat]
    out = tf.while_loop(going, body, (tf.constant(0, "int32"), *flat))
    return keras.tree.pack_sequence_as(state, list(out[1:]))


def remat(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return fn, computed again in the backward pass; it takes tensors and None, draws and writes nothing."""
    _without_dependency_pass()

    def run(*args: Any) -> Any:
        at = [i for i, x in enumerate(args) if isinstance(x, tf.Tensor) and x.dtype.is_floating]

        def differentiable(*values: Any) -> Any:
            given = dict(zip(at, values, strict=True))
            return fn(*(given.get(i, x) for i, x in enumerate(args)))

        # TensorFlow adds a number to what it computes again from, which tokens and masks do not survive.
        return tf.recompute_grad(differentiable)(*(args[i] for i in at))

    return run


def _without_dependency_pass() -> None:
    """Turn off TensorFlow's pass over dependencies, which TensorFlow can do for a whole process only, and say so.

    It gives one graph in forty that computes again another gradient: docs/engines.md.
    """
    if tf.config.optimizer.get_experimental_options().get("dependency_optimization", True):
        tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
        tell("remat turns TensorFlow's dependency_optimization off for this process: with it gradients may differ.")


@contextlib.contextmanager
def _unnamed() -> Iterator[None]:
    """Trace without the names of layers.

    Keras numbers its layers per process and TensorFlow's graph optimizer orders sums by the names of their operands,
    so the second model of a process would round otherwise than the first.
    """
    enter, leave = keras_scope.__enter__, keras_scope.__exit__
    keras_scope.__enter__, keras_scope.__exit__ = PlainScope.__enter__, PlainScope.__exit__
    try:
        yield
    finally:
        keras_scope.__enter__, keras_scope.__exit__ = enter, leave


def building() -> contextlib.AbstractContextManager[Any]:
    """Build a model inside a `with` block: TensorFlow keeps an operation for each name a variable ever had.

    Keras numbers its layers per process, so without this every model that is built adds 35 kB for each variable.
    """

    def unnumbered(create: Callable[..., Any], **asked: Any) -> Any:
        with tf.name_scope("model/"):  # with a stroke at its end: whatever scope of a layer is open
            return create(**{**asked, "name": "weight"})

    return tf.variable_creator_scope(unnumbered)


@contextlib.contextmanager
def _forgetting() -> Iterator[None]:
    """Trace without a trace of it: take out the gradients that it registers.

    A function with a gradient of its own, such as silu, registers it for the life of the process, and with it the whole
    graph (6 MiB for each model that is loaded and sampled). What is traced here has its gradients, if any, inside.
    """
    registry = gradient_registry._registry
    before = {*registry}
    try:
        yield
    finally:
        for name in {*registry} - before:
            del registry[name]


def compiled(fn: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """Compile a pure function of tensors that reads the variables of `owner` at every call."""

    @tf.function(reduce_retracing=False, autograph=False)
    def traced(*args: Any) -> Any:
        with _unnamed(), _forgetting():
            return run_pure(fn, args, (), owner)

    return lambda *args: traced(*keras.tree.map_structure(tf.convert_to_tensor, args))


def _seed(seed: int, step: Any, draw: int) -> Any:
    # Replicas of a distributed step share the counter; their index keeps their noise apart.
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group if context is not None else 0
    low = tf.constant(((seed & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000, "int32")
    return tf.stack([low + 1_000_003 * draw, tf.cast(step, "int32") + 7_919 * replica * (1 << 16)])


def native_normal(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw standard normals from TensorFlow's stateless generator, keyed by (seed, step, draw)."""
    return tf.random.stateless_normal(shape, _seed(seed, step, draw), dtype=dtype)


def native_uniform(seed: int, step: Any, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Draw uniforms in [0, 1) from TensorFlow's stateless generator, keyed by (seed, step, draw)."""
    return tf.random.stateless_uniform(shape, _seed(seed, step, draw), dtype=dtype)


def float64() -> contextlib.AbstractContextManager[Any]:
    """Allow float64 inside a `with` block: TensorFlow does everywhere."""
    return contextlib.nullcontext()


def step_flops(model: Any, data: Any) -> float:
    """Return the floating-point operations of the products and convolutions of one training step on `data`."""
    step = tf.function(model.train_step, autograph=False).get_concrete_function(data)
    return float(sum(_flops(operation) for operation in _needed(step.graph)))


def _needed(graph: Any) -> list[Any]:
    """Return the operations that outputs or state depend on; TensorFlow leaves out the others before it runs."""
    needed = {output.op for output in graph.outputs}
    for operation in reversed(graph.get_operations()):  # each after what it reads
        if operation in needed or operation.op_def.is_stateful:
            needed |= {operation, *operation.control_inputs, *(x.op for x in operation.inputs)}
    return list(needed)


def _flops(operation: Any) -> int:
    """Return 2 × the multiplications of one operation, 0 for one that is no product."""
    kind = operation.type
    if kind in ("MatMul", "BatchMatMulV2"):
        rows, columns = operation.inputs[0].shape[-2:]
        inner = rows if operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x") else columns
        return int(2 * inner * operation.outputs[0].shape.num_elements())
    if kind == "Conv2D":
        kernel, out = operation.inputs[1], operation.outputs[0]
    elif kind == "Conv2DBackpropInput":
        kernel, out = operation.inputs[1], operation.inputs[2]
    elif kind == "Conv2DBackpropFilter":
        kernel, out = operation.outputs[0], operation.inputs[2]
    else:
        return 0
    # Each value of the forward output takes one product per weight of its channel.
    return int(2 * out.shape.num_elements() * kernel.shape.num_elements() // kernel.shape[-1])


@contextlib.contextmanager
def traced(folder: str) -> Iterator[None]:
    """Write a trace of what runs inside a `with` block, for TensorBoard."""
    with tf.profiler.experimental.Profile(folder):
        yield


def memory() -> int:
    """Return the bytes of memory where samples are drawn; TensorFlow does not tell a GPU's, so the machine's."""
    return physical_memory()


def ran_out_of_memory(error: Exception) -> bool:
    """Say whether a call failed for want of memory."""
    return isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError))


def move_towards(averages: Sequence[Any], variables: Sequence[Any], share: Any) -> None:
    """Move float32 averages by a share of the way to the variables' values."""
    for average, variable in zip(averages, variables, strict=True):
        delta = average.value - tf.cast(variable.value, "float32")
        if tf.distribute.has_strategy():
            average.value.assign_sub(share * delta)
        else:  # in one pass over the average
            tf.raw_ops.ResourceApplyGradientDescent(var=average.value.handle, alpha=share, delta=delta)


def image_layout() -> str:
    """Return the fastest convolution layout here."""
    return "channels_last"


def group_norm(x: Any, groups: int, gamma: Any, beta: Any, epsilon: float, axis: int = -1) -> Any:
    """Normalise channels in groups per sample (Wu and He 2018, eq. 7); x of any shape, channels on axis -1 or 1."""
    return group_norm_in_ops(x, groups, gamma, beta, epsilon, axis)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Normalise the last axis of x in floatx, with a scale and, unless it is None, a shift (Ba et al. 2016, eq. 4)."""
    return layer_norm_in_ops(x, gamma, beta, epsilon)


@functools.cache
def keep_compilations() -> None:
    """Let XLA keep what it compiles, so that the next process starts sooner; the user's own flags win.

    TensorFlow reads the variable when XLA is first used: after that this changes nothing.
    """
    if "TF_XLA_FLAGS" not in os.environ and (folder := folder_to_keep("xla")) is not None:
        os.environ["TF_XLA_FLAGS"] = (
            f"--tf_xla_persistent_cache_directory={folder} --tf_xla_persistent_cache_read_only=false"
        )


def prepare_optimizer(optimizer: Any) -> Any:
    """Return the optimizer ready for a compiled step, its update one operation per variable where there is a kernel."""
    if type(optimizer).__name__ in ("Adam", "AdamW") and not optimizer.amsgrad and not tf.distribute.has_strategy():
        optimizer._backend_update_step = functools.partial(_fused_adam, optimizer)
    return optimizer


def _fused_adam(optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
    """Move the variables by TensorFlow's kernel of Adam, which has Keras's rule (Kingma and Ba 2015, section 2)."""
    step = tf.cast(optimizer.iterations.value + 1, "float32")
    powers = [tf.pow(tf.constant(beta), step) for beta in (optimizer.beta_1, optimizer.beta_2)]
    for gradient, variable in zip(grads, variables, strict=True):
        i, dtype = optimizer._get_variable_index(variable), variable.dtype
        numbers = [*powers, learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=optimizer._momentums[i].value.handle,
            v=optimizer._velocities[i].value.handle,
            **dict(zip(_ADAM_NUMBERS, [tf.cast(number, dtype) for number in numbers], strict=True)),
            grad=tf.cast(gradient, dtype),
        )


_ADAM_NUMBERS = ("beta1_power", "beta2_power", "lr", "beta1", "beta2", "epsilon")


class StepMixin:
    """Run a model's imperative update inside the `tf.function` that Keras builds."""

    eager_because: str | None = None  # the whole training step is always compiled here

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of every phase, or those of a stack of batches; called by Keras's `fit`."""
        stacked = steps_of(data)
        if stacked is None:
            return self._one_step(data)

        def body(i: Any) -> Any:
            self._one_step(tf.nest.map_structure(lambda column: column[i], stacked))
            return i + 1

        steps = tf.nest.flatten(stacked)[0].shape[0]
        tf.while_loop(lambda i: i < steps, body, (tf.constant(0),), parallel_iterations=1)
        return self.running_means()  # type: ignore[attr-defined]

    def _one_step(self, data: Any) -> dict[str, Any]:
        self.optimizer.follow_schedules()  # type: ignore[attr-defined]
        return self.update_batch(data)  # type: ignore[attr-defined]

    def test_step(self, data: Any) -> dict[str, Any]:
        """Held-out losses of one batch; called by Keras's `evaluate`."""
        return self.validate_batch(data)  # type: ignore[attr-defined]

    def make_train_function(self, force: bool = False) -> None:
        """Compile the step on whole batches with static shapes; Keras's own reads a generator's as unknown."""
        if self.train_function is None or force:  # type: ignore[has-type]
            self.train_function = self._on_batches(self.train_step, super().make_train_function, "train_function")  # type: ignore[misc]

    def make_test_function(self, force: bool = False) -> None:
        """As `make_train_function`, for `evaluate`."""
        if self.test_function is None or force:  # type: ignore[has-type]
            self.test_function = self._on_batches(self.test_step, super().make_test_function, "test_function")  # type: ignore[misc]

    def _on_batches(
        self, step: Callable[[Any], Any], keras_way: Callable[..., None], name: str
    ) -> Callable[[Any], Any]:
        if tf.distribute.has_strategy() or self._distribute_strategy is not None:  # type: ignore[attr-defined]
            keras_way(True)
            return getattr(self, name)
        if not self.run_eagerly:  # type: ignore[attr-defined]
            step = tf.function(_unnamed()(_forgetting()(step)), jit_compile=self.jit_compile, autograph=False)  # type: ignore[attr-defined]
        steps = self.steps_per_execution  # type: ignore[attr-defined]
        if steps == 1:
            return lambda iterator: step(next(iterator))
        if name == "train_function":
            return lambda iterator: step(next_stack(iterator, steps))
        return lambda iterator: [step(batch) for batch in itertools.islice(iterator, steps)][-1]

    def sync_state(self) -> None:
        """Nothing to do: TensorFlow's variables are always current."""
