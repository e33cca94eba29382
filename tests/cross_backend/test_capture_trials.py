"""A wrong capture is caught on the first batches, and one that differs by chance as eager steps do is kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import DataSpec, GenerativeModel, Phase, backend

pytestmark = pytest.mark.skipif(backend.name() != "torch", reason="only torch captures")

if backend.name() == "torch":
    import torch

    from genloom.backend.torch_agreement import disagreement
    from genloom.backend.torch_capture import Captured


class Line(GenerativeModel):
    """One matrix that is moved towards noisy data; subclasses get one thing wrong."""

    def __init__(self) -> None:
        super().__init__(DataSpec((6,), kind="signal", value_range=None))
        self.matrix = self.add_weight(shape=(6, 6), initializer="zeros", name="matrix")
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")
        self.calls = 0.0

    def phases(self) -> list[Phase]:
        return [Phase("line", [self.matrix], self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> Any:
        return ops.mean(ops.square(self.noisy(batch["x"]) @ self.matrix - batch["x"])), {}, 1.0

    def noisy(self, x: Any) -> Any:
        return x + self.normal(tuple(x.shape))

    def after_step(self) -> None:
        self.seen.assign_add(1.0)


class FrozenScalar(Line):
    """A number of Python's own, which a trace takes for a constant."""

    def loss_of(self, batch: dict[str, Any]) -> Any:
        self.calls += 1.0
        loss, metrics, weight = super().loss_of(batch)
        return loss * self.calls, metrics, weight


class ForgottenWrite(Line):
    """A variable that is given another tensor, while a capture knows the one it had."""

    def after_step(self) -> None:
        self.seen._value = self.seen.value + 1.0


class StaleDraw(Line):
    """Noise from NumPy, drawn while tracing and never again."""

    def noisy(self, x: Any) -> Any:
        return x + ops.convert_to_tensor(np.random.default_rng(int(self.calls)).normal(size=x.shape), "float32")

    def after_step(self) -> None:
        super().after_step()
        self.calls += 1.0


class ReplayedBatch(Line):
    """A batch that reaches the loss on another way than its argument."""

    def loss_of(self, batch: dict[str, Any]) -> Any:
        return super().loss_of({"x": self.handed})


def batches_to(model: Line, steps: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.normal(size=(8, 6)).astype("float32")
        model.handed = ops.convert_to_tensor(x)
        yield ({"x": x},)


def trained(model: Any, steps: int = 4) -> Any:
    model.compile(keras.optimizers.Adam(1e-2))
    for batch in batches_to(model, steps):
        model.fit((each for each in [batch]), steps_per_epoch=1, verbose=0, shuffle=False)
    return model


def told(run: Callable[[], Any]) -> list[str]:
    """What a function warns of, as one who trains reads it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        run()
    return [str(each.message) for each in caught if each.category is UserWarning]


def test_a_right_step_passes_its_trials() -> None:
    model = trained(Line())
    assert (model._captured.fallback, model._captured.captures) == (None, 1)
    assert float(ops.convert_to_numpy(model.seen)) == 4.0


@pytest.mark.parametrize("wrong", [FrozenScalar, ForgottenWrite, StaleDraw, ReplayedBatch])
def test_a_wrong_capture_is_caught(wrong: type[Line]) -> None:
    model = wrong()
    (line,) = told(lambda: trained(model))
    assert line.startswith("This training step runs eagerly on torch, more slowly: ")
    assert "gives another value of" in line or "depends on more than its variables" in line
    assert model._captured.fallback is not None


class Noisy:
    """Eager steps of a device whose sums round otherwise each time: Adam's first step on a gradient of a few zeros."""

    def __init__(self, noise: float) -> None:
        self.random = torch.Generator().manual_seed(0)
        self.noise = noise
        self.gradient = torch.randn(40, 50, generator=self.random)
        self.gradient[:2] = 0.0  # a twentieth of the signs turn by chance
        self.before = [torch.zeros(40, 50), torch.zeros(40, 50), torch.zeros(())]

    def step(self, *, rate: float = 1e-3, gradient: Any = None) -> list[Any]:
        gradient = self.gradient if gradient is None else gradient
        g = gradient + self.noise * torch.randn(40, 50, generator=self.random)
        return [-rate * torch.sign(g), 0.1 * g, torch.ones(())]

    def judged(self, found: list[Any]) -> str | None:
        reason = disagreement(["weights", "slot", "counter"], self.before, self.step(), found, self.step)
        return None if reason is None else reason.removeprefix("its captured form gives another value of ")


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_a_replay_that_differs_as_eager_steps_do_agrees(noise: float) -> None:
    device = Noisy(noise)
    assert [device.judged(device.step()) for _ in range(20)] == [None] * 20


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda d: [d.before[0], *d.step()[1:]], "weights"),  # a write forgotten
        (lambda d: [*d.step()[:2], torch.zeros(())], "counter"),
        (lambda d: d.step(rate=0.9e-3), "weights"),  # a rate of another step
        (lambda d: d.step(gradient=torch.roll(d.gradient, 1, 0)), "weights"),  # another batch
        (lambda d: d.step(gradient=1.05 * d.gradient), "slot"),  # a part of the loss scaled: Adam's signs hide it
    ],
    ids=["write", "counter", "rate", "batch", "scale"],
)
def test_a_wrong_replay_is_seen_through_the_noise(wrong: Callable[[Any], list[Any]], named: str, noise: float) -> None:
    device = Noisy(noise)
    assert device.judged(wrong(device)) == named


@pytest.mark.parametrize("factors", [(1.0, 2.0, 3.0), (1.0, -1.0, 1.0)])
def test_a_step_that_depends_on_more_than_its_variables_is_refused(factors: tuple[float, ...]) -> None:
    """Its own runs differ as much as a wrong capture would."""
    device = Noisy(0.0)
    eager, second, third = (device.step(gradient=f * device.gradient) for f in factors)
    runs = iter([second, third])
    reason = disagreement(["weights", "slot", "counter"], device.before, eager, second, lambda: next(runs))
    assert reason is not None and "depends on more than its variables" in reason


def recorded(line: Line, wrong: bool) -> Any:
    """Train on a device that records by running once and putting everything back; a wrong one plays half of it."""
    plays: list[int] = []

    def record(run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        state = line._captured._snapshot()
        outputs = run()
        line._captured._restore(state)

        def play() -> None:
            plays.append(len(plays))
            for old, new in zip(outputs, run(), strict=True):
                old.copy_(new)
            if wrong:
                line.matrix.value.mul_(0.5)

        return outputs, play

    line.compile(keras.optimizers.Adam(1e-2))
    line._captured_for = line.optimizer
    line._captured = Captured(
        line.update_batch,
        lambda: [*line.variables, *line.optimizer.variables, *line.metrics_variables],
        line._seed_step,
        line.step.value.device,
        recorder_of=lambda device: record,
    )
    for batch in batches_to(line, 6):
        line.fit((each for each in [batch]), steps_per_epoch=1, verbose=0, shuffle=False)
    return len(plays)


def test_a_recording_takes_over_after_the_trials() -> None:
    """Two steps are compared with eager ones, the recording's first one too; it plays the last four of six."""
    line, plain = Line(), trained(Line(), steps=6)
    assert recorded(line, wrong=False) == 4
    assert (line._captured.recordings, line._captured.fallback) == (1, None)
    np.testing.assert_array_equal(ops.convert_to_numpy(line.matrix), ops.convert_to_numpy(plain.matrix))


def test_a_wrong_recording_gives_way_to_the_replay() -> None:
    line, plain = Line(), trained(Line(), steps=6)
    (told_once,) = told(lambda: recorded(line, wrong=True))
    assert told_once.startswith("This training step is replayed without a CUDA graph: its captured form gives")
    assert (line._captured.captures, line._captured.fallback) == (1, None)
    np.testing.assert_array_equal(ops.convert_to_numpy(line.matrix), ops.convert_to_numpy(plain.matrix))
