"""A captured step as a CUDA graph: the device starts all its kernels at once, without Python or the dispatcher."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

__all__ = ["Recorded", "Recorder", "generator_of", "kept_generator", "recorder_of", "waits_refused"]

Outputs = tuple[torch.Tensor, ...]

#: Records what a function starts on a device, without running it: returns its outputs, and what fills them anew.
Recorder = Callable[[Callable[[], Outputs]], tuple[Outputs, Callable[[], None]]]


def recorder_of(device: torch.device) -> Recorder | None:
    """Return what records on a device, None where nothing does."""
    return _cuda_graph if device.type == "cuda" else None


@contextlib.contextmanager
def waits_refused(device: torch.device) -> Iterator[None]:
    """Raise RuntimeError where the host waits for a device, which no recording survives.

    A recording that fails half-way leaves torch's generators unusable for the process, so a function is run under
    this before it is recorded.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(action="ignore"):  # torch tells that it may miss some waits
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _cuda_graph(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
    graph = torch.cuda.CUDAGraph()
    # Other threads read data ahead meanwhile, and may move it to the device.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = run()
    return outputs, graph.replay


class Recorded:
    """A function of tensors that was recorded once; its inputs are copied to where they lay then.

    Args:
        run: takes tensors, returns tensors, and writes to others in place, always the same ones.
        inputs: of the types and shapes that every call has.
        recorder: of the device.

    Raises:
        RuntimeError: it cannot be recorded, mostly because the host waits for the device in it.
    """

    def __init__(self, run: Callable[..., Outputs], inputs: Sequence[torch.Tensor], recorder: Recorder) -> None:
        self._inputs = [value.clone() for value in inputs]
        self._outputs, self._play = recorder(lambda: run(*self._inputs))

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        """Return the outputs as tensors of their own, which the next call leaves as they are."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._play()
        return tuple(value.clone() for value in self._outputs)


def generator_of(device: torch.device) -> torch.Generator:
    """Return the generator that draws on a device unless another is named."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    return torch.default_generator


@contextlib.contextmanager
def kept_generator(device: torch.device) -> Iterator[torch.Generator]:
    """Put a device's generator back as it was after a `with` block: a step's draws are no draws of the user's."""
    generator = generator_of(device)
    state = generator.get_state()
    try:
        yield generator
    finally:
        generator.set_state(state)
