"""Guides beside labels, thresholds, and the way from noise to samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.guidance import autoguided, classifier_guided, thresholded
from genloom_diffusion.options import SAMPLERS
from genloom_diffusion.process import process_named

PLANE = DataSpec((2,), kind="signal", value_range=(-3.0, 3.0), classes=3, condition=("label",))
WIDER = DataSpec((3,), kind="signal")
SMALL: dict[str, Any] = {"width": 8, "depth": 1, "embedding": 8}
WEIGHTS, MEANS, DEVIATION = np.array([0.35, 0.65]), np.array([-1.0, 0.8]), 0.4


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def made(id: str = "diffusion/ddpm", seed: int = 0, **options: Any) -> Any:
    model = genloom.create(id, PLANE, noise="portable", **{**SMALL, **options})
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return made()


def shares(process: Any, z: Any, t: Any) -> tuple[Any, Any, Any]:
    """Log p(class, z), α and the variance of z in a class, for one Gaussian per class."""
    alpha, sigma = (ops.reshape(part(t), (-1, 1)) for part in (process.alpha, process.sigma))
    variance = alpha**2 * DEVIATION**2 + sigma**2
    log_weights, means = (ops.convert_to_tensor(v.astype("float32")) for v in (np.log(WEIGHTS), MEANS))
    return log_weights - 0.5 * (z - alpha * means) ** 2 / variance, alpha, variance


@pytest.mark.parametrize("name", ["cosine", "exploding"])
def test_a_classifier_turns_the_score_of_all_into_that_of_a_class(name: str) -> None:
    """With a mixture's own class posterior, at w = 1; at w the score moves by w times as much."""
    process = process_named(name, 10.0)
    z = ops.convert_to_tensor(np.linspace(-2, 2, 9, dtype="float32")[:, None])
    t, label = process.time(ops.convert_to_tensor(np.linspace(0.1, 0.9, 9, dtype="float32"))), ops.ones((9,), "int32")

    def of_class(z: Any, t: Any) -> Any:
        _, alpha, variance = shares(process, z, t)
        means = ops.convert_to_tensor(MEANS.astype("float32"))
        return means + alpha * DEVIATION**2 / variance * (z - alpha * means)

    def of_all(z: Any, t: Any, held: Any) -> Any:
        return ops.sum(ops.softmax(shares(process, z, t)[0]) * of_class(z, t), axis=-1, keepdims=True)

    def found(scale: float, within: Any = None) -> np.ndarray:
        denoise = classifier_guided(of_all, process, lambda z, t: shares(process, z, t)[0], scale, within)
        return array(denoise(z, t, {"label": label}))

    wanted, without = array(of_class(z, t))[:, 1:], array(of_all(z, t, None))
    np.testing.assert_allclose(found(1.0), wanted, atol=2e-5)
    np.testing.assert_allclose(found(3.0), without + 3.0 * (wanted - without), atol=1e-4)
    np.testing.assert_allclose(found(3.0, lambda t: t < 0.0), wanted, atol=2e-5)  # nowhere: as without strength


def test_autoguidance_goes_on_from_the_weaker_model_through_the_stronger() -> None:
    strong, weak = (lambda z, t, held, k=k: k * z for k in (0.5, 0.2))
    z, t = ops.ones((3, 2)), ops.convert_to_tensor(np.array([0.1, 0.5, 0.9], "float32"))
    np.testing.assert_allclose(array(autoguided(strong, weak, 3.0)(z, t, {})), 0.2 + 3.0 * 0.3, rtol=1e-6)
    between = array(autoguided(strong, weak, 3.0, lambda t: t > 0.4)(z, t, {}))
    np.testing.assert_allclose(between[:, 0], [0.5, 1.1, 1.1], rtol=1e-6)
    assert autoguided(strong, weak, 1.0) is strong


def test_a_threshold_bounds_each_sample_by_its_own_values() -> None:
    x = ops.convert_to_tensor(np.array([[0.1, -0.2, 0.3, 0.4, 0.5], [4.0, -1.0, 2.0, 0.5, -3.0]], "float32"))
    denoise = thresholded(lambda z, t, held: z, 1.0, 0.75)
    np.testing.assert_allclose(
        array(denoise(x, None, None)), [array(x)[0], np.array([3, -1, 2, 0.5, -3]) / 3], rtol=1e-6
    )
    clipped = array(thresholded(lambda z, t, held: z, 1.0, 0.0)(x, None, None))
    np.testing.assert_allclose(clipped, np.clip(array(x), -1, 1), rtol=1e-6)
    model, keys, label = made(), random.keys(0, 4), {"label": ops.ones((4,), "int32")}
    for variable in model.trainable_variables:
        variable.assign(3.0 * variable)  # predictions beyond the range
    plain, bounded = (array(model.draw(keys, label, steps=3, threshold=share)) for share in (0.0, 1.0))
    assert np.abs(plain - bounded).max() > 1e-3


def test_a_model_is_guided_by_a_weaker_one_or_a_classifier_until_it_is_told_otherwise() -> None:
    model, keys, label = made(), random.keys(0, 4), {"label": ops.ones((4,), "int32")}
    first = array(model.draw(keys, label, steps=3))

    def drawn(**asked: Any) -> np.ndarray:
        return genloom.sample(model, 4, 0, {"label": 1}, steps=3, **asked).samples

    model.guided_by(weaker=made(seed=1))
    np.testing.assert_allclose(drawn(), first, atol=1e-5)  # guidance=1 changes nothing
    assert np.abs(drawn(guidance=2.0) - first).max() > 1e-3
    assert model.evaluations(guidance=2.0, steps=3) == 6
    model.guided_by(weaker=model)
    np.testing.assert_allclose(drawn(guidance=2.0), first, atol=1e-4)  # nothing to keep away from
    model.guided_by(classifier=lambda z, t: ops.concatenate([z, 0 * z[:, :1]], axis=-1))
    guided = drawn(guidance=2.0)
    assert np.abs(guided - first).max() > 1e-3 and model.evaluations(guidance=2.0, steps=3) == 3
    assert np.abs(drawn(guidance=2.0, guidance_to=0.5) - guided).max() > 1e-4
    model.guided_by()
    np.testing.assert_allclose(drawn(), first, atol=1e-5)


def test_a_classifier_guides_a_model_without_labels() -> None:
    model = made(conditional=False)
    assert not model.takes_labels
    model.guided_by(classifier=lambda z, t: 5.0 * ops.concatenate([z, -z[:, :1]], axis=-1))
    samples = [genloom.sample(model, 64, 0, {"label": k}, steps=6) for k in (0, 2)]
    assert samples[0].samples[:, 0].mean() > samples[1].samples[:, 0].mean() + 0.5
    assert samples[1].labels.tolist() == [2] * 64


@pytest.mark.parametrize(
    ("guides", "words"),
    [
        (lambda: {"weaker": made(), "classifier": lambda z, t: z}, "takes one guide"),
        (lambda: {"weaker": made(process="linear")}, "same process, got linear for cosine"),
        (
            lambda: {"weaker": genloom.create("diffusion/ddpm", DataSpec((3,), kind="signal"), **SMALL)},
            r"got \(3,\)",
        ),
    ],
)
def test_a_guide_that_does_not_fit_is_refused(guides: Callable[..., dict[str, Any]], words: str, model: Any) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        model.guided_by(**guides())
    assert told.value.mend


@pytest.mark.parametrize("sampler", ["ddim", "dpm_2m_sde", "unipc"])
def test_a_trajectory_leads_from_noise_to_the_samples(sampler: str, model: Any) -> None:
    keys, label = random.keys(0, 3), {"label": ops.ones((3,), "int32")}
    asked = {"sampler": sampler, "steps": 4, "spacing": "log_snr"}
    path = array(backend.compiled(lambda k, c: model.trajectory(k, c, **asked), model)(keys, label))
    assert path.shape == (5, 3, 2)
    np.testing.assert_allclose(path[-1], array(model.draw(keys, label, **asked)), atol=1e-4)
    assert np.abs(np.diff(path, axis=0)).max(axis=(1, 2)).min() > 1e-3  # every row is another


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_compiled_whole(sampler: str, model: Any) -> None:
    """A fallback of torch warns, and warnings are errors here."""
    keys, label = random.keys(0, 3), {"label": ops.ones((3,), "int32")}
    compiled = backend.compiled(lambda k, c: model.draw(k, c, sampler=sampler, steps=4, guidance=2.0), model)
    eager = array(model.draw(keys, label, sampler=sampler, steps=4, guidance=2.0))
    np.testing.assert_allclose(array(compiled(keys, label)), eager, atol=1e-4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"churn": 2.0}, "churn=2.0 has no effect with sampler=ddim"),
        ({"sampler": "heun", "eta": 0.5}, "eta=0.5 has no effect with sampler=heun"),
        ({"tolerance": 1e-3}, "tolerance=0.001 has no effect with sampler=ddim"),
        ({"sampler": "rk45", "spacing": "karras"}, "spacing=karras has no effect with sampler=rk45"),
        ({"guidance_from": 0.2}, "guidance_from=0.2 has no effect with guidance=1.0"),
        ({"guidance": 2.0, "guidance_from": 0.9, "guidance_to": 0.1}, "must not be above guidance_to, got 0.9 and 0.1"),
        ({"guidance": 1e9}, "'guidance' must be at most"),
        ({"threshold": 2.0}, "'threshold' must be at most 1.0, got 2.0"),
    ],
)
def test_what_nothing_heeds_is_refused_in_sampling(asked: dict[str, Any], words: str, model: Any) -> None:
    with pytest.raises(ConfigError, match=words):
        model.draw(random.keys(0, 1), {"label": ops.ones((1,), "int32")}, **asked)


FREE = DataSpec((2,), kind="signal", value_range=None)


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        (PLANE, {"sigma_max": 50.0}, "sigma_max=50.0 has no effect with process=cosine"),
        (PLANE, {"level_mean": 1.0}, "level_mean=1.0 has no effect with levels=uniform"),
        (PLANE, {"churn": 3.0}, "churn=3.0 has no effect with sampler=ddim"),
        (PLANE, {"conditional": False, "guidance": 2.0}, "guidance=2.0 has no effect: the model has learnt no labels"),
        (PLANE, {"label_dropout": 0.0, "guidance": 2.0}, "guidance=2.0 needs predictions without labels"),
        (FREE, {"label_dropout": 0.5}, "label_dropout=0.5 has no effect with conditional=True and classes=0"),
        (FREE, {"guidance": 2.0}, "guidance=2.0 has no effect"),
        (FREE, {"threshold": 0.9}, "threshold=0.9 has no effect with clip=True and value_range=None"),
        (PLANE, {"clip": False, "threshold": 0.9}, "threshold=0.9 has no effect with clip=False"),
        (PLANE, {"process": "exploding", "sigma_min": 30.0}, "sigma_min must be below sigma_max, got 30.0 and 20.0"),
        (PLANE, {"process": "exploding", "sigma_max": 1e20}, "'sigma_max' must be at most"),
        (PLANE, {"levels": "normal", "level_mean": 1e9}, "'level_mean' must be at most"),
        (PLANE, {"data_deviation": 1e9}, "'data_deviation' must be at most"),
    ],
)  # fmt: skip
def test_what_nothing_heeds_is_refused_before_a_model_is_built(
    spec: DataSpec, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom_diffusion.model.Diffusion.network_of", lambda *_: pytest.fail("it was built"))
    with pytest.raises(ConfigError, match=words):
        genloom.create("diffusion/ddpm", spec, **options)


def test_what_a_model_was_made_with_is_no_request_when_another_sampler_is_asked_for() -> None:
    model, label = made("diffusion/edm", churn=2.0), {"label": ops.ones((2,), "int32")}
    assert array(model.draw(random.keys(0, 2), label, sampler="ddim", steps=3)).shape == (2, 2)
