"""Capture a training step once into a flat graph of ATen operations and replay it without Python layers in between.

`make_fx` traces second-order gradients and in-place updates, which `torch.compile` refuses. Variables stay outside
the graph: it reads and writes their storage, so checkpoints and callbacks see every step.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from genloom.backend.torch_agreement import disagreement
from genloom.backend.torch_graph import compiled_by_inductor, replayed
from genloom.backend.torch_recording import Recorded, Recorder, kept_generator, recorder_of, waits_refused
from genloom.backend.torch_tracing import REFUSALS, cause_of, leaves_of, signature_of, traced

__all__ = ["Captured"]

_TRIALS = 2  # batches; on the first one alone a frozen number would be right
_INDUCTOR, _CUDA_GRAPH = "Inductor", "a CUDA graph"
# Inductor sums in another order, and Adam's first step magnifies that where a gradient is near zero; yet what it
# forgets or freezes differs by a whole update.
_OF_AN_UPDATE = 0.1


@dataclasses.dataclass
class _Trial:
    """An eager step on a batch: the state before and after it, and what it logged."""

    before: list[torch.Tensor]
    after: list[torch.Tensor]
    logs: dict[str, Any]


@dataclasses.dataclass
class _Form:
    """A captured step as it is replayed.

    Args:
        replay: a function of the batch's tensors.
        names: of what it returns.
        tool: what made it from the plain replay, None for that itself.
        trials: batches on which it must still agree with an eager step.
        share: of an update, allowed as a difference.
        plainer: makes the form to use when this one is refused; None when only eager steps are left.
        fastest: nothing faster is to be made of it.
    """

    replay: Callable[..., tuple[torch.Tensor, ...]]
    names: list[str]
    tool: str | None = None
    trials: int = _TRIALS
    share: float = 0.0
    plainer: Callable[[], _Form] | None = None
    fastest: bool = False


class Captured:
    """A training step that is captured once per signature of its batch and then replayed.

    On its first two batches a capture runs from the state and the random numbers of an eager step and is compared
    with it: what it froze shows on the second. A step that cannot be captured, or whose replay differs, runs eagerly
    from then on and says so once. What agreed is recorded where the device records, and compared once more.

    Args:
        fn: `fn(batch) -> dict of tensors`; reads and writes the variables of `state()`.
        state: returns every Keras variable that `fn` may write.
        seed: called with the device's generator before each run.
        device: where the state lies.
        enabled: False runs eagerly always.
        inductor: compile the captured graph with Inductor; one that it cannot compile is replayed as it is.
        recorder_of: what records on a device, None where nothing does.
    """

    def __init__(
        self,
        fn: Callable[[Any], dict[str, Any]],
        state: Callable[[], list[Any]],
        seed: Callable[[torch.Generator], None],
        device: torch.device,
        enabled: bool = True,
        inductor: bool = False,
        recorder_of: Callable[[torch.device], Recorder | None] = recorder_of,
    ) -> None:
        self.fn, self.state, self.seed, self.device = fn, state, seed, device
        self.enabled, self.inductor = enabled, inductor
        self.recorder_of = recorder_of
        self.forms: dict[Any, _Form] = {}
        self.captures = 0
        self.recordings = 0
        self.fallback: str | None = None

    def __call__(self, data: Any) -> dict[str, Any]:
        """Run one step on a batch pytree."""
        flat = leaves_of(data)
        with kept_generator(self.device) as generator:
            if not self.enabled:
                return self._eager(data, flat, generator)
            form = self.forms.get(signature_of(flat))
            if form is None or form.trials:
                return self._on_trial(form, data, flat, generator)
            return self._replay(form, flat, generator)

    def rehearse(self, data: Any) -> None:
        """Run one step whose operations can be watched, and put everything back."""
        flat, before = leaves_of(data), self._snapshot()
        form = self.forms.get(signature_of(flat))
        if form is not None and form.tool == _CUDA_GRAPH and form.plainer is not None:
            form = form.plainer()
        with kept_generator(self.device) as generator:
            if form is None:
                self._eager(data, flat, generator)
            else:
                self._replay(form, flat, generator)
        self._restore(before)

    def _eager(self, data: Any, flat: Sequence[torch.Tensor], generator: torch.Generator) -> dict[str, Any]:
        self.seed(generator)
        return self.fn(keras.tree.pack_sequence_as(data, list(flat)))

    def _replay(self, form: _Form, flat: Sequence[torch.Tensor], generator: torch.Generator) -> dict[str, Any]:
        self.seed(generator)
        with torch.inference_mode():
            return dict(zip(form.names, form.replay(*flat), strict=True))

    def _values(self) -> list[torch.Tensor]:
        return [variable.value.detach() for variable in self.state()]

    def _snapshot(self) -> list[torch.Tensor]:
        return [value.clone() for value in self._values()]

    def _restore(self, kept: Sequence[torch.Tensor]) -> None:
        for value, old in zip(self._values(), kept, strict=True):
            value.copy_(old)

    def _on_trial(
        self, form: _Form | None, data: Any, flat: list[torch.Tensor], generator: torch.Generator
    ) -> dict[str, Any]:
        """Run a step eagerly and captured, and keep the fastest form that does what the eager step does."""
        before = self._snapshot()
        try:
            logs = self._eager(data, flat, generator)
        except BaseException:
            self._restore(before)  # what the step had written before it failed
            raise
        trial, reason = _Trial(before, self._snapshot(), logs), None
        if form is None:
            form, reason = self._captured(data, flat, generator, trial)
        while form is not None:
            found, reason = self._tried(form, data, flat, generator, trial)
            if found is not None:
                self._keep(form, flat)
                return found
            form = self._plainer(form, reason)
        self._restore(trial.after)
        self.enabled, self.fallback = False, reason
        warnings.warn(f"This training step runs eagerly on torch, more slowly: {reason}", stacklevel=3)
        return logs

    def _captured(
        self, data: Any, flat: list[torch.Tensor], generator: torch.Generator, trial: _Trial
    ) -> tuple[_Form | None, str | None]:
        """Trace the step; return its form, or None and why there is none."""
        self._restore(trial.before)
        self.seed(generator)
        try:
            module = traced(
                lambda *leaves: tuple(self.fn(keras.tree.pack_sequence_as(data, list(leaves))).values()), flat
            )
            return self._form(module, list(trial.logs)), None
        except REFUSALS as error:
            return None, cause_of(error)

    def _form(self, module: torch.fx.GraphModule, names: list[str]) -> _Form:
        """Return the fastest form of a traced step."""

        def plain() -> _Form:
            return _Form(replayed(module), names)

        if not self.inductor:
            return plain()
        try:
            return _Form(compiled_by_inductor(module), names, _INDUCTOR, share=_OF_AN_UPDATE, plainer=plain)
        except Exception as error:  # whatever the lack of a compiler may raise
            self._without(_INDUCTOR, cause_of(error))
            return plain()

    def _tried(
        self, form: _Form, data: Any, flat: list[torch.Tensor], generator: torch.Generator, trial: _Trial
    ) -> tuple[dict[str, Any] | None, str | None]:
        """Replay a form from the state before a trial; return what it logs, or None and what is wrong with it."""
        self._restore(trial.before)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                logs = self._replay(form, flat, generator)
        except Exception as error:  # whatever a compiler, or the lack of one, may raise
            return None, cause_of(getattr(error, "inner_exception", error))
        found = self._snapshot()

        def again() -> list[torch.Tensor]:
            self._restore(trial.before)
            self._eager(data, flat, generator)
            return self._values()

        paths = [variable.path for variable in self.state()]
        repeats = self.device.type == "cpu"
        reason = disagreement(paths, trial.before, trial.after, found, None if repeats else again, form.share)
        self._restore(found)
        return (logs, None) if reason is None else (None, reason)

    def _plainer(self, form: _Form, reason: str | None) -> _Form | None:
        """Return what to try in place of a refused form, and say so."""
        if form.plainer is None:
            return None
        self._without(form.tool, reason)
        return form.plainer()

    def _without(self, tool: str | None, reason: str | None) -> None:
        self.inductor = self.inductor and tool != _INDUCTOR
        warnings.warn(f"This training step is replayed without {tool}: {reason}", stacklevel=5)

    def _keep(self, form: _Form, flat: list[torch.Tensor]) -> None:
        """Count a trial of a form that agreed, and after the last one record it where the device records."""
        key = signature_of(flat)
        self.captures += key not in self.forms
        form = dataclasses.replace(form, trials=max(form.trials - 1, 0))
        recorder = self.recorder_of(self.device)
        if not (form.trials or form.fastest or recorder is None):
            form = self._recorded(form, flat, recorder)
        self.forms[key] = form

    def _recorded(self, form: _Form, flat: list[torch.Tensor], recorder: Recorder) -> _Form:
        """Return a recording of a form, still to be tried, or the form where it cannot be recorded."""
        plain = dataclasses.replace(form, fastest=True)
        before = self._snapshot()
        try:
            with torch.inference_mode():
                with waits_refused(self.device):
                    form.replay(*flat)
                replay = Recorded(form.replay, flat, recorder)
        except RuntimeError as error:
            self._without(_CUDA_GRAPH, cause_of(error))
            return plain
        finally:
            self._restore(before)
        self.recordings += 1
        return dataclasses.replace(plain, replay=replay, tool=_CUDA_GRAPH, trials=1, plainer=lambda: plain)
