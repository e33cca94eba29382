"""Diffusion of an autoencoder's codes is diffusion of data that its encoder made, and its decoder ends it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.model.naming import variable_names
from genloom.plugins.discovery import load_file
from genloom.runs import load_latest
from genloom.testing import ModelConformance

SMALL: dict[str, Any] = {"width": 16, "depth": 1}
CLASSES: dict[str, Any] = {"classes": 2, "condition": ("label",)}
POINTS = DataSpec((2,), "signal", value_range=(-4.0, 4.0), **CLASSES)
X = np.random.RandomState(0).uniform(-0.9, 0.9, (64, 2)).astype("float32")
LABELS = (np.arange(64) % 2).astype("int32")
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "validation": 0.0, "batch_size": 16}


@pytest.fixture(scope="module", autouse=True)
def linear() -> Any:
    if "linear_autoencoder" not in sys.modules:
        load_file(Path(__file__).with_name("linear_autoencoder.py"))
    return sys.modules["linear_autoencoder"]


def autoencoder(spec: DataSpec = POINTS, **options: Any) -> Any:
    return sys.modules["linear_autoencoder"].Linear(spec, **options)


def latent(spec: DataSpec = POINTS, part: Any = None, **options: Any) -> Any:
    parts = {"autoencoder": autoencoder(spec) if part is None else part}
    return genloom.create("diffusion/latent", spec, networks=parts, noise="portable", **{**SMALL, **options})


def array(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(ops.convert_to_numpy(x))


def copied(to: keras.Model, of: keras.Model) -> None:
    names = variable_names(of)
    for name, variable in variable_names(to).items():
        variable.assign(array(names[name].value).copy())


class TestConformance(ModelConformance):
    id = "diffusion/latent"
    spec = POINTS
    options: ClassVar[dict[str, Any]] = {**SMALL, "learning_rate": 1e-2}
    sampling: ClassVar[dict[str, Any]] = {"steps": 3, "guidance": 1.5}
    hooks = "genloom_diffusion"

    def make(self, seed: int = 0) -> Any:
        """Codes without a range: their mean and deviation are state, too."""
        self.component()
        parts = {"autoencoder": autoencoder(self.spec, bounded=False)}
        return genloom.create(self.id, self.spec, networks=parts, seed=seed, compile=False, **self.options)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "noise", "weighting": "min_snr", "sampler": "dpm_2m", "spacing": "log_snr", "guidance": 2.0},
        {"process": "flow", "target": "flow", "levels": "normal", "sampler": "heun", "conditional": False},
    ],
)
def test_it_is_diffusion_of_the_codes(options: dict[str, Any]) -> None:
    """Trained on the same rows at the same noise, both end at the same weights, and at the same samples decoded."""
    inner = autoencoder()
    plain = genloom.create(
        "diffusion/ddpm", inner.latent.replace(**CLASSES), noise="portable", **{**SMALL, "steps": 4, **options}
    )
    model = latent(part=inner, steps=4, **options)
    copied(model.diffusion, plain)
    codes = np.concatenate([2.0 * X - 0.5, (2.0 * X - 0.5).mean(axis=-1, keepdims=True)], axis=-1)
    for each, x in ((model, X), (plain, codes)):
        each.compile(keras.optimizers.SGD(0.1))
        each.fit({"x": x, "label": LABELS}, batch_size=32, epochs=2, shuffle=False, verbose=0)
    trained, expected = (variable_names(each.denoiser) for each in (model.diffusion, plain))
    for name, variable in expected.items():
        np.testing.assert_allclose(array(trained[name].value), array(variable.value), atol=1e-6, err_msg=name)
    found, drawn = (genloom.sample(each, 6, seed=2) for each in (model, plain))
    np.testing.assert_allclose(found.samples, (drawn.samples[:, :2] + 0.5) / 2.0, atol=1e-5)
    assert found.evaluations == drawn.evaluations


def test_codes_without_a_range_are_brought_to_mean_0_and_deviation_1() -> None:
    """Over all rows of the first steps, as if they were one batch; the later ones change nothing."""
    model = latent(part=autoencoder(bounded=False, gain=30.0, shift=7.0))
    rows = np.random.RandomState(1).uniform(-0.9, 0.9, (5, 16, 2)).astype("float32")
    model.fit(({"x": x, "label": LABELS[:16]} for x in rows), steps_per_epoch=5, verbose=0)
    codes = array(model.autoencoder.encode(rows.reshape(-1, 2)))
    np.testing.assert_allclose(array(model.scale.mean), codes.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(array(model.scale.variance), codes.var(axis=0), rtol=1e-4)
    standard = array(model.encode(rows.reshape(-1, 2)))
    np.testing.assert_allclose([standard.mean(axis=0), standard.std(axis=0)], [[0.0] * 3, [1.0] * 3], atol=1e-4)
    np.testing.assert_allclose(array(model.decode(standard)), rows.reshape(-1, 2), atol=1e-4)
    model.step.assign(100)
    model.fit({"x": 0.1 * rows[0], "label": LABELS[:16]}, batch_size=16, verbose=0)
    np.testing.assert_allclose(array(model.scale.mean), codes.mean(axis=0), rtol=1e-5)


def test_a_conditional_autoencoder_gets_the_labels_that_are_not_hidden() -> None:
    """Also where the diffusion itself has none; the code of a label says it, so the decoder takes it out again."""
    model = latent(part=autoencoder(labelled=True), conditional=False)
    assert model.takes_labels and not model.diffusion.takes_labels
    codes = array(model.encode(X[:4], LABELS[:4]))
    np.testing.assert_allclose(codes[:, :2], 2.0 * X[:4] - 0.5 + LABELS[:4, None], atol=1e-6)
    z = np.random.RandomState(1).uniform(-1.0, 1.0, (4, 3)).astype("float32")
    decoded = (z[:, :2] + 0.5 - LABELS[:4, None]) / 2.0
    np.testing.assert_allclose(array(model.decode(z, LABELS[:4])), decoded, atol=1e-6)
    drawn = genloom.sample(model, 4, condition={"label": LABELS[:4]}, steps=1).samples
    codes = genloom.sample(model.diffusion, 4, steps=1).samples
    np.testing.assert_allclose(drawn, array(model.decode(codes, LABELS[:4])), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda module: module.Blind(POINTS), r"Blind has no codes to diffuse"),
        (
            lambda module: module.Linear(POINTS.replace(classes=5), labelled=True),
            r"labels of 5 classes; these .* have 2",
        ),
        (lambda module: "runs/ae", r"needs a trained autoencoder, got str"),
    ],
)
def test_an_autoencoder_that_does_not_fit_is_refused(make: Any, words: str, linear: Any) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        latent(part=make(linear))
    assert refused.value.mend


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"churn=2\.0 has no effect with sampler=ddim"):
        latent(churn=2.0)
    with pytest.raises(ConfigError, match=r"no sampling option 'stepz'.*Did you mean 'steps'"):
        genloom.sample(latent(), 2, stepz=3)


def test_a_run_goes_on_to_the_bit_and_samples_the_same_without_the_autoencoders(tmp_path: Path) -> None:
    """The scale of the codes is still learnt when it stops."""
    genloom.train("linear/linear", (X, LABELS), options={"bounded": False}, steps=1, out=tmp_path / "ae", **QUIET)
    asked = {"options": {**SMALL, "autoencoder": str(tmp_path / "ae"), "steps": 3}, "ema": 0.9, **QUIET}
    whole = genloom.train("diffusion/latent", (X, LABELS), steps=6, out=tmp_path / "whole", **asked)
    parts = genloom.train("diffusion/latent", (X, LABELS), steps=3, out=tmp_path / "parts", **asked)
    before = genloom.sample(whole, 5, seed=1).samples
    shutil.rmtree(tmp_path / "ae")
    parts = genloom.train("diffusion/latent", (X, LABELS), steps=6, out=parts.path, resume=True)
    expected, found = load_latest(whole)[0], load_latest(parts)[0]
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    assert not any(name.startswith(("ema/autoencoder", "ema/scale", "optimizer/autoencoder")) for name in expected)
    np.testing.assert_array_equal(genloom.sample(parts, 5, seed=1).samples, before)
