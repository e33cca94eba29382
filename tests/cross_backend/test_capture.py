"""On torch every first-party step is captured whole and replayed to the values that eager steps give."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from genloom import backend

pytestmark = [pytest.mark.skipif(backend.name() != "torch", reason="only torch captures"), pytest.mark.long]

DROPOUT = {
    "diffusion/ddpm",
    "diffusion/dit",
    "diffusion/levels",
    "diffusion/masked",
    "gan/dcgan",
    "gan/mlp",
    "language/transformer",
}
STEPS = 4


def optimizer_of(name: str) -> keras.optimizers.Optimizer:
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 20)
    if name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9)
    return {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name](schedule)


def trained(first_party: ModuleType, id: str, optimizer: str, **settings: Any) -> Any:
    """A model after STEPS steps with all that usually breaks capture: dropout, schedule, accumulation, average."""
    model = first_party.build(id, **({"dropout": 0.2} if id in DROPOUT else {}))
    model.noise = "native"
    model.compile(optimizer_of(optimizer), **{"ema": 0.9, "accumulate": 2, **settings})
    stream = ((first_party.batch_of(model, step),) for step in range(STEPS))
    model.fit(stream, steps_per_epoch=STEPS, verbose=0, shuffle=False)
    return model


def same(one: Any, other: Any) -> None:
    """Compare weights, slots, averages and counters bit by bit: replay runs the kernels that eager steps run."""
    for a, b in zip(_variables(one), _variables(other), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a.value), ops.convert_to_numpy(b.value), err_msg=a.path)


def _variables(model: Any) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


@pytest.fixture(scope="module")
def single(first_party: ModuleType) -> Callable[[str, str], Any]:
    """A model after captured steps one by one, trained once for all who look at it."""
    return functools.cache(functools.partial(trained, first_party))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_captured_steps_equal_eager_ones(
    model_id: str, optimizer: str, first_party: ModuleType, single: Callable[[str, str], Any]
) -> None:
    captured = single(model_id, optimizer)
    assert captured._captured.fallback is None
    assert captured._captured.captures == 1
    same(captured, trained(first_party, model_id, optimizer, run_eagerly=True))
    moved = [
        np.abs(ops.convert_to_numpy(now.value - before.value)).max() > 0
        for now, before in zip(captured.weights, first_party.build(model_id).weights, strict=True)
    ]
    # The U-Net begins with layers of zeros, behind which SGD moves nothing at first.
    assert sum(moved) > 0.5 * len(moved)


def test_one_capture_serves_every_step_of_an_execution(
    model_id: str, first_party: ModuleType, single: Callable[[str, str], Any]
) -> None:
    several = trained(first_party, model_id, "adamw", steps_per_execution=2)
    assert several._captured.captures == 1
    same(single(model_id, "adamw"), several)


def test_operations_of_a_second_derivative_are_counted(first_party: ModuleType) -> None:
    """The penalty of a WGAN is differentiated twice, which torch counts in a replay alone."""
    model = trained(first_party, "gan/wgan-gp", "adam")
    kept = [ops.convert_to_numpy(v.value) for v in _variables(model)]
    counted = [backend.step_flops(model, first_party.batch_of(model, 0)) for _ in range(2)]
    assert counted[0] == counted[1] > 1e5
    for old, variable in zip(kept, _variables(model), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable.value), old)


def test_inductor_computes_what_eager_steps_do(first_party: ModuleType) -> None:
    compiled = trained(first_party, "vae/mlp", "adam", accumulate=1, jit_compile=True)
    assert (compiled._captured.captures, compiled._captured.inductor) == (1, True)
    eager = trained(first_party, "vae/mlp", "adam", accumulate=1, run_eagerly=True)
    for a, b in zip(_variables(compiled), _variables(eager), strict=True):
        # A step of 1e-3 is uncertain by rounding where a gradient is near zero; what is lost shows as the whole step.
        one, other = ops.convert_to_numpy(a.value), ops.convert_to_numpy(b.value)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-4, err_msg=a.path)


def test_without_inductor_the_step_is_replayed(first_party: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(module: Any) -> Any:
        raise FileNotFoundError("no C++ compiler")

    monkeypatch.setattr("genloom.backend.torch_capture.compiled_by_inductor", refuse)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        replayed = trained(first_party, "vae/mlp", "adam", jit_compile=True)
    (line,) = [str(each.message) for each in told if "Inductor" in str(each.message)]
    assert line.endswith("replayed without Inductor: FileNotFoundError: no C++ compiler")
    assert replayed._captured.captures == 1
    same(replayed, trained(first_party, "vae/mlp", "adam", run_eagerly=True))
