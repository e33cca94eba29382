"""Muon against its definition in NumPy, against Keras's, and in training: what it moves, and what it goes on from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom.model.muon import orthogonalised
from genloom.model.naming import variable_names
from genloom.model.optimizers import Muon
from genloom.plugins.discovery import load_file
from genloom.runs import load_latest
from genloom.training import TrainingSettings
from genloom.training.optimizing import compile_model


@pytest.fixture(scope="module")
def models() -> Any:
    if "training_models" not in sys.modules:
        load_file(Path(__file__).with_name("training_models.py"))
    return sys.modules["training_models"]


def plain(x: np.ndarray) -> np.ndarray:
    """Jordan et al. 2024: five steps of X ← aX + (bA + cA²)X with A = XXᵀ, X of norm one at first."""
    x = x.T if x.shape[0] > x.shape[1] else x
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(6, 6), (4, 24), (24, 4)])
def test_singular_values_end_in_the_published_band_and_vectors_stay(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    values = np.geomspace(1.0, 2e-3, min(shape))  # orders of magnitude apart
    found = ops.convert_to_numpy(orthogonalised(ops.convert_to_tensor((u * values @ v).astype("float32"))))
    turned = u.T @ found @ v.T
    assert np.abs(turned - np.diag(np.diag(turned))).max() < 1e-3
    # "S' is diagonal with S'_ii ~ Uniform(0.5, 1.5)": the docstring of the authors' zeropower_via_newtonschulz5.
    assert np.diag(turned).min() > 0.5 and np.diag(turned).max() < 1.5


def test_updates_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    shapes = {"kernel": (8, 3), "convolution": (3, 3, 2, 5), "bias": (5,), "embeddings": (4, 3)}
    made = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    variables = {name: keras.Variable(value, name=name) for name, value in made.items()}
    rate, decay = 0.01, 0.1
    muon = Muon(rate, weight_decay=decay, matrices=[variables["kernel"], variables["convolution"]])
    muon.build(list(variables.values()))
    weights = {name: value.astype("float64") for name, value in made.items()}
    means, squares = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
    for t in range(1, 5):
        gradients = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        muon.apply([ops.convert_to_tensor(g.astype("float32")) for g in gradients.values()], list(variables.values()))
        for name, g in gradients.items():
            if name in ("kernel", "convolution"):
                means[name] = 0.95 * means[name] + g
                matrix = (g + 0.95 * means[name]).reshape(-1, g.shape[-1])
                rows, columns = matrix.shape
                turned = plain(matrix)
                step = 0.2 * np.sqrt(max(rows, columns)) * (turned.T if rows > columns else turned).reshape(g.shape)
            else:
                means[name] = 0.9 * means[name] + 0.1 * g
                squares[name] = 0.95 * squares[name] + 0.05 * g * g
                step = means[name] / (1 - 0.9**t) / (np.sqrt(squares[name] / (1 - 0.95**t)) + 1e-8)
            weights[name] = weights[name] - rate * decay * weights[name] - rate * step
        for name, expected in weights.items():
            np.testing.assert_allclose(ops.convert_to_numpy(variables[name].value), expected, atol=2e-6, err_msg=name)


def test_a_matrix_moves_as_by_the_muon_of_keras() -> None:
    rng = np.random.default_rng(2)
    start = rng.normal(size=(6, 9)).astype("float32")
    ours, theirs = (keras.Variable(start, name="kernel") for _ in range(2))
    settings = {"learning_rate": 0.02, "weight_decay": 0.1}
    for optimizer, variable in ((Muon(**settings), ours), (keras.optimizers.Muon(**settings), theirs)):
        rng = np.random.default_rng(3)
        optimizer.build([variable])
        for _ in range(3):
            optimizer.apply([ops.convert_to_tensor(rng.normal(size=(6, 9)).astype("float32"))], [variable])
    np.testing.assert_allclose(ops.convert_to_numpy(ours.value), ops.convert_to_numpy(theirs.value), atol=2e-6)


def test_muon_moves_the_kernels_of_each_network_but_the_last(models: Any) -> None:
    model = genloom.create("tests/gan", models.SPEC)
    compile_model(model, TrainingSettings(optimizer="muon", clip=1.0), 10)
    names = {id(variable): name for name, variable in variable_names(model).items()}
    for phase, optimizer in model.optimizer.phases.items():
        chosen = [
            names[id(v)]
            for v, square in zip(model.optimizer.phase_variables[phase], optimizer._squares, strict=True)
            if square is None
        ]
        assert chosen == [f"{phase}/0/kernel"]


@pytest.mark.parametrize("kind", [None, "adam", "muon"])
def test_copies_keep_which_variables_have_no_decay(models: Any, kind: str | None) -> None:
    """On the way from a family's own optimizer to the one that trains, Keras's configurations forget them."""
    model = genloom.create("tests/plain", models.SPEC)
    own = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    own.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    model.compile(own)
    compile_model(model, TrainingSettings(optimizer=kind, weight_decay=0.5, clip=1.0), 10)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    (phase,) = model.optimizer.phases
    model.optimizer.apply_phase(phase, [ops.zeros(v.shape) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        expected = 1.0 if len(variable.shape) < 2 else 1.0 - 0.5 * 0.1
        np.testing.assert_allclose(ops.convert_to_numpy(variable.value), expected, rtol=1e-6)


def test_a_training_by_muon_resumes_bitwise(models: Any, tmp_path: Path) -> None:
    def train(out: str, **given: Any) -> Any:
        settings = {"batch_size": 20, "sample_every": 0, "progress": "none", "seed": 3, "optimizer": "muon"}
        return genloom.train("tests/gan", models.points(), out=tmp_path / out, **settings, **given)

    whole, _ = load_latest(train("whole", steps=12))
    train("parts", steps=5)
    parts, _ = load_latest(train("parts", steps=12, resume=True))
    slots = [name for name in whole if name.startswith("optimizer/critic/slot-")]
    assert len(slots) == 4 + 3  # a momentum for each of two kernels and biases, a square for all but one kernel
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name], err_msg=name)
