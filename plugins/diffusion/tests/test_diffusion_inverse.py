"""Inverse problems: the exact posterior where it is known, what is measured is met, and bad problems are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.inverse import (
    deblurring,
    image_to_image,
    inpainting,
    linear,
    outpainting,
    solve,
    super_resolution,
)
from genloom_diffusion.process import process_named
from genloom_diffusion.twisted import Measurement, posterior
from genloom_diffusion.walk import Walk

pytestmark = pytest.mark.any_engine

WEIGHTS = np.array([0.35, 0.4, 0.25])
MEANS = np.array([[-1.0, 0.8], [0.7, -0.9], [0.9, 1.0]])
COVARIANCES = np.array([[[0.16, 0.05], [0.05, 0.2]], [[0.2, -0.06], [-0.06, 0.1]], [[0.08, 0.0], [0.0, 0.12]]])


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def mixture_denoiser(process: Any) -> Callable[[Any, Any, Any], Any]:
    """E[x | z] of the mixture in the plane, by its parts' eigenvectors."""
    values, vectors = np.linalg.eigh(COVARIANCES)
    weights, means, values, vectors = (
        ops.convert_to_tensor(v.astype("float32")) for v in (WEIGHTS, MEANS, values, vectors)
    )

    def denoise(z: Any, t: Any, held: Any) -> Any:
        alpha, sigma = (ops.reshape(part(t), (-1, 1, 1)) for part in (process.alpha, process.sigma))
        off = ops.einsum("nki,kij->nkj", z[:, None, :] - alpha * means, vectors)
        variance = alpha**2 * values + sigma**2  # (n, 3, 2)
        log = ops.log(weights) - 0.5 * ops.sum(ops.log(variance) + off * off / variance, axis=-1)
        inner = means + ops.einsum("nkj,kij->nki", alpha * values / variance * off, vectors)
        return ops.sum(ops.softmax(log, axis=-1)[..., None] * inner, axis=1)

    return denoise


def exact_posterior(a: np.ndarray, y: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the mixture given y = a x + noise."""
    weights, means, covariances = [], [], []
    for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True):
        s, off = a @ c @ a.T + noise**2 * np.eye(len(y)), y - a @ m
        gain = c @ a.T @ np.linalg.inv(s)
        weights.append(w * np.exp(-0.5 * off @ np.linalg.solve(s, off)) / np.sqrt(np.linalg.det(s)))
        means.append(m + gain @ off)
        covariances.append(c - gain @ a @ c)
    shares, parts = np.array(weights) / np.sum(weights), np.array(means)
    mean = shares @ parts
    between = np.einsum("k,ki,kj->ij", shares, parts - mean, parts - mean)
    return mean, np.einsum("k,kij->ij", shares, np.array(covariances)) + between


class Owner:
    variables: tuple = ()


def drawn(a: np.ndarray, y: np.ndarray, noise: float, n: int, particles: int, steps: int = 100) -> np.ndarray:
    process = process_named("exploding", 20.0)
    turned = ops.convert_to_tensor(a.T.astype("float32"))
    measured = Measurement(lambda x: ops.matmul(x, turned), ops.convert_to_tensor(y[None].astype("float32")), noise)

    def run(keys: Any) -> Any:
        walk = Walk(process, steps, "log_snr")
        return posterior(mixture_denoiser(process), walk, keys, {}, (2,), measured, particles)

    return array(backend.compiled(run, Owner())(random.keys(0, n)))


@pytest.mark.parametrize(
    ("a", "y", "noise"),
    [
        ([[1.0, 0.0]], [0.35], 0.15),  # the first coordinate is known, with noise: inpainting
        ([[1.0, 0.0]], [0.1], 0.0),  # and without
        ([[0.5, 0.5]], [0.2], 0.05),  # the mean is known: super-resolution
    ],
)
def test_the_posterior_of_a_mixture_has_its_mean_and_covariance(
    a: list[list[float]], y: list[float], noise: float
) -> None:
    n, operator, value = 1500, np.array(a), np.array(y)
    x = drawn(operator, value, noise, n, particles=32)
    mean, covariance = exact_posterior(operator, value, noise)
    # Within four standard errors; a hair for rounding, where what is known has no variance.
    assert (np.abs(x.mean(0) - mean) < 4 * np.sqrt(np.diag(covariance) / n) + 1e-3).all()
    spread = np.sqrt((np.outer(*[np.diag(covariance)] * 2) + covariance**2) / n)  # of a normal's covariance
    assert (np.abs(np.cov(x.T) - covariance) < 4 * spread + 1e-3).all()


def test_one_particle_alone_misses_the_weights_of_the_parts() -> None:
    """So that the test above can fail: guidance without weights is biased where data have several parts."""
    operator, value, n = np.array([[1.0, 0.0]]), np.array([0.35]), 500
    mean, covariance = exact_posterior(operator, value, 0.15)
    x = drawn(operator, value, 0.15, n, particles=1)
    assert (np.abs(x.mean(0) - mean) > 6 * np.sqrt(np.diag(covariance) / n)).any()


IMAGE = DataSpec((4, 4, 1), classes=3, condition=("label",), value_range=None)  # no bound at which samples are cut
PICTURE = np.linspace(0.1, 0.9, 16, dtype="float32").reshape(4, 4, 1)
LEFT = np.arange(4)[None, :, None] < 2
CROSS = np.array([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])


@pytest.fixture(scope="module")
def model() -> Any:
    """With a network of one dense layer, which is traced in no time."""
    given = [keras.Input(shape) for shape in ((4, 4, 1), (1,), (3,))]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(x) for x in given])
    y = keras.layers.Dense(16, kernel_initializer=keras.initializers.GlorotUniform(seed=0))(flat)
    network = keras.Model(given, keras.layers.Reshape((4, 4, 1))(y))
    return genloom.create("diffusion/ddpm", IMAGE, networks={"denoiser": network})


def test_what_is_known_is_met_whatever_the_operator(model: Any) -> None:
    small = PICTURE.reshape(2, 2, 2, 2, 1).mean((1, 3))
    problems = {
        "inpainting": inpainting(PICTURE, LEFT),
        "outpainting": outpainting(PICTURE[1:3, 1:3], (4, 4, 1), (1, 1)),
        "super_resolution": super_resolution(small, 2),
        "linear": linear(lambda x: ops.mean(x, axis=(1, 2)), PICTURE.mean((0, 1))),
    }
    for name, problem in problems.items():
        found = solve(model, problem, n=3, steps=6, particles=2, label=1 if name == "linear" else None)
        again = array(problem.forward(ops.convert_to_tensor(found.samples)))
        np.testing.assert_allclose(again, np.broadcast_to(problem.measured, again.shape), atol=2e-3, err_msg=name)
        assert found.samples.shape == (3, 4, 4, 1) and found.evaluations == 36
        assert np.abs(found.samples[0] - found.samples[1]).max() > 1e-3


def test_a_blurred_image_is_blurred_to_itself(model: Any) -> None:
    forward = deblurring(PICTURE, CROSS).forward
    blurred = array(forward(ops.convert_to_tensor(PICTURE[None])))[0]
    assert blurred[1, 1, 0] == pytest.approx(
        0.6 * PICTURE[1, 1, 0] + 0.1 * sum(PICTURE[i, j, 0] for i, j in ((0, 1), (1, 0), (1, 2), (2, 1)))
    )
    found = solve(model, deblurring(blurred, CROSS, 0.0), steps=6, particles=2).samples
    np.testing.assert_allclose(array(forward(ops.convert_to_tensor(found)))[0], blurred, atol=5e-3)


def test_solving_is_fixed_by_its_seed_whatever_the_number(model: Any) -> None:
    one, three = (solve(model, inpainting(PICTURE, LEFT), n=n, seed=4, steps=4, particles=2) for n in (1, 3))
    np.testing.assert_allclose(one.samples, three.samples[:1], atol=1e-4)
    assert np.array_equal(three.seeds, [[4, 0], [4, 1], [4, 2]])


def test_images_are_kept_at_little_strength_and_lost_at_all_of_it(model: Any) -> None:
    images = np.stack([PICTURE, PICTURE[::-1]])
    kept, lost = (image_to_image(model, images, strength=s, steps=8, label=1) for s in (0.02, 1.0))
    assert np.abs(kept.samples - images).mean() < 0.05 < np.abs(lost.samples - images).mean()
    assert kept.labels.tolist() == [1, 1] and kept.evaluations == 8


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda model: inpainting(PICTURE, np.ones((3, 4, 1))), r"shape of the sample, \(4, 4, 1\), got \(3, 4, 1\)"),
        (lambda model: inpainting(PICTURE, 0.5 * LEFT), "1 where a sample is known and 0 elsewhere"),
        (lambda model: inpainting(PICTURE, 0 * LEFT), "nothing is known"),
        (lambda model: inpainting(PICTURE, LEFT, -1.0), "0 or more, got -1.0"),
        (lambda model: inpainting(PICTURE * np.nan, LEFT), "must be finite"),
        (lambda model: outpainting(PICTURE, (4, 4, 1), (1, 0)), r"\(4, 4, 1\) at \(1, 0\) does not lie within"),
        (lambda model: super_resolution(PICTURE[..., 0], 2), r"takes an image .* got \(4, 4\) and 2"),
        (lambda model: deblurring(PICTURE, np.ones((2, 3))), "kernel of odd sides"),
        (lambda model: solve(model, inpainting(np.ones((5, 4, 1)), 1.0)), r"cannot be asked of samples \(4, 4, 1\)"),
        (lambda model: solve(model, super_resolution(PICTURE, 2)), r"cannot be asked of samples|got \(4, 4, 1\)"),
        (lambda model: solve(model, inpainting(PICTURE, LEFT), n=0), "n is a whole number of at least 1, got 0"),
        (lambda model: solve(model, inpainting(PICTURE, LEFT), particles=0), "particles is a whole number"),
        (lambda model: solve(model, inpainting(PICTURE, LEFT), label=3), "label=3 is no class"),
        (lambda model: solve(model, inpainting(PICTURE, LEFT), label="cat"), "label=cat is no class"),
        (lambda model: image_to_image(model, PICTURE), r"must be \(n, 4, 4, 1\), got \(4, 4, 1\)"),
        (lambda model: image_to_image(model, PICTURE[None], strength=1.5), "strength lies in .*, got 1.5"),
    ],
)
def test_a_problem_that_does_not_fit_is_refused(ask: Callable[[Any], Any], words: str, model: Any) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        ask(model)
    assert told.value.mend
