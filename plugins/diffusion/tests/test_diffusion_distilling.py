"""A student learns from a teacher: on Gaussian data, whose denoiser is known, what it is taught is known as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, random
from genloom.errors import ConfigError
from genloom.model import Start
from genloom_diffusion.distilling import Distil
from genloom_diffusion.options import DistilOptions

S = 0.6
LINE = DataSpec((1,), kind="signal", value_range=None)
IDS = ("diffusion/flow", "diffusion/consistency")


def numbers(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


@keras.saving.register_keras_serializable(package="test")
class Best(keras.layers.Layer):
    """The best prediction for N(0, S²), of the velocity or the flow."""

    def __init__(self, process: Any, target: str) -> None:
        super().__init__()
        self.process, self.target = process, target

    def call(self, y: Any, position: Any) -> Any:
        t = self.process.time(position)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        z = y * ops.sqrt(alpha**2 + sigma**2)
        x, noise = (z * part / ((alpha * S) ** 2 + sigma**2) for part in (alpha * S * S, sigma))
        if self.target == "flow":
            return noise - x
        return (alpha * noise - sigma * x) / ops.sqrt(alpha**2 + sigma**2)


def with_best(id: str, **options: Any) -> Any:
    plain = genloom.create(id, LINE, width=4, depth=1, **options)
    y, position = keras.Input((1,)), keras.Input((1,))
    network = keras.Model([y, position], Best(plain.process, plain.options.target)(y, position))
    return genloom.create(id, LINE, networks={"denoiser": network}, noise="portable", **options)


def loss_of(student: Any, teacher: Any, **options: Any) -> float:
    """The loss of 4,000 samples."""
    x = np.random.default_rng(0).normal(size=(4000, 1)) * S
    batch = {"x": ops.convert_to_tensor(x.astype("float32"))}
    with random.training_noise(random.NoiseStream(0, 0, "portable")):
        return float(numbers(student.taught(batch, teacher, DistilOptions(**options))[0]))


def test_one_step_of_progressive_distillation_goes_where_two_of_the_teacher_go() -> None:
    """Steps of Gaussian data are linear in z: what a student must say to go where two of them go is known."""

    def kept(t: Any, s: Any) -> Any:
        """Of z by one DDIM step of the best denoiser."""
        (alpha, sigma), (alpha_s, sigma_s) = ((process.alpha(u), process.sigma(u)) for u in (t, s))
        return (alpha_s * alpha * S * S + sigma_s * sigma) / ((alpha * S) ** 2 + sigma**2)

    @keras.saving.register_keras_serializable(package="test")
    class Twice(keras.layers.Layer):
        def call(self, y: Any, t: Any) -> Any:
            middle, s = t - 0.5 / 3, t - 1.0 / 3
            alpha, sigma, alpha_s, sigma_s = (f(u) for u in (t, s) for f in (process.alpha, process.sigma))
            x = (kept(t, middle) * kept(middle, s) - sigma_s / sigma) * y / (alpha_s - sigma_s / sigma * alpha)
            return (alpha * y - x) / sigma  # the velocity

    teacher, plain = with_best("diffusion/ddpm"), with_best("diffusion/ddpm", steps=3)
    process, (y, position) = teacher.process, (keras.Input((1,)), keras.Input((1,)))
    network = keras.Model([y, position], Twice()(y, position))
    student = genloom.create("diffusion/ddpm", LINE, networks={"denoiser": network}, noise="portable", steps=3)
    assert loss_of(student, teacher) < 1e-6
    assert loss_of(plain, teacher) > 1e-4


def test_a_teacher_that_the_student_equals_teaches_a_fine_grid_nothing_new() -> None:
    """In the limit of many steps two of half the length are as good as one."""
    few, many = (loss_of(with_best("diffusion/ddpm", steps=n), with_best("diffusion/ddpm")) for n in (4, 256))
    assert many < 0.01 * few


def test_reflow_has_straight_pairs_of_noise_and_sample() -> None:
    """On Gaussian data the teacher's flow takes ε to S ε: the error of ε - x given z is 0 for a straight u."""
    teacher = with_best("diffusion/flow")
    student = with_best("diffusion/flow")
    found = loss_of(student, teacher, steps=64)
    x = np.random.default_rng(0).normal(size=4000) * S
    with random.training_noise(random.NoiseStream(0, 0, "portable")):
        untaught = float(numbers(student._loss({"x": ops.convert_to_tensor(x.astype("float32")[:, None])})[0]))
    assert found < 0.5 * untaught  # independent pairs cross

    @keras.saving.register_keras_serializable(package="test")
    class Straight(keras.layers.Layer):
        def call(self, y: Any, position: Any) -> Any:
            t = student.process.time(position)
            alpha, sigma = student.process.alpha(t), student.process.sigma(t)
            return y * ops.sqrt(alpha**2 + sigma**2) * (1.0 - S) / (alpha * S + sigma)

    y, position = keras.Input((1,)), keras.Input((1,))
    network = keras.Model([y, position], Straight()(y, position))
    straight = genloom.create("diffusion/flow", LINE, networks={"denoiser": network}, noise="portable")
    assert loss_of(straight, teacher, steps=64) < 1e-3


def test_a_guided_teacher_answers_with_guidance() -> None:
    spec = DataSpec((2,), kind="signal", value_range=None, classes=3, condition=("label",))
    teacher = genloom.create("diffusion/ddpm", spec, width=8, depth=1)
    rng = np.random.default_rng(0)
    for variable in teacher.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    z, t = ops.convert_to_tensor(rng.normal(size=(5, 2)).astype("float32")), ops.full((5,), 0.4)
    label = ops.convert_to_tensor(np.arange(5, dtype="int32") % 3)
    with_label, without = (numbers(teacher._network(z, t, each)) for each in (label, ops.zeros_like(label) + 3))
    found = numbers(teacher.answers(2.0)(z, t, label))
    np.testing.assert_allclose(found, without + 2.0 * (with_label - without), rtol=1e-4, atol=1e-5)


@pytest.mark.any_engine
@pytest.mark.parametrize("id", IDS)
def test_models_learn_from_a_run_and_go_on_exactly(id: str, tmp_path: Path) -> None:
    data = "toy:8-ring"
    small = {
        "options": {"width": 8, "depth": 1, "learning_rate": 1e-2},
        "batch_size": 32,
        "sample_every": 0,
        "seed": 3,
        "ema": 0.0,
    }
    teacher = genloom.train(id, data, steps=4, out=tmp_path / "teacher", **small)
    taught = {**small, "init_from": teacher.path, "retain": "diffusion/distil:steps=2"}
    whole = genloom.train(id, data, steps=6, out=tmp_path / "whole", **taught)
    half = genloom.train(id, data, steps=3, out=tmp_path / "half", **taught)
    genloom.train(id, data, steps=6, seed=3, out=half.path, resume=True)
    arrays = []
    for run in (whole, half):
        model = genloom.load(run.path)
        arrays.append([numbers(variable.value) for variable in model.denoiser.weights])
        assert "retain" in run.config["training"]
    for one, other in zip(*arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    before = [numbers(variable.value) for variable in genloom.load(teacher.path).denoiser.weights]
    assert any(np.abs(new - old).max() > 1e-4 for new, old in zip(arrays[0], before, strict=True))


class Other(genloom.GenerativeModel):
    """A model of another family."""

    def phases(self) -> list[genloom.Phase]:
        return []


def test_without_a_run_or_with_another_family_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="retain needs trained weights"):
        genloom.train("diffusion/ddpm", "toy:8-ring", steps=1, out=tmp_path / "r", retain="diffusion/distil")
    with pytest.raises(ConfigError, match="has no teacher"):
        Distil(DistilOptions()).prepare(genloom.create("diffusion/ddpm", LINE, width=4, depth=1), Start(measured=True))
    with pytest.raises(ConfigError, match="cannot teach Other: no flow"):
        Distil(DistilOptions()).prepare(Other(LINE), Start(measured=True))


def test_guidance_of_a_teacher_that_has_learnt_no_labels_is_refused() -> None:
    model = genloom.create("diffusion/ddpm", LINE, width=4, depth=1)
    with pytest.raises(ConfigError, match=r"guidance=2\.0 has no effect: the model has learnt no labels"):
        Distil(DistilOptions(guidance=2.0)).prepare(model, Start(model=lambda: model))
