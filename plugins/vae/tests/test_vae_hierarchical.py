"""The ladder against models whose likelihood is known, and its posterior against a product of Gaussians."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import genloom
from genloom import DataSpec, backend
from genloom.errors import ConfigError
from genloom_vae.hierarchical import HierarchicalVAE
from genloom_vae.ladder import merged

SMALL: dict[str, Any] = {"latents": (2, 1), "hidden": (6, 5)}


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def test_the_posterior_is_the_product_of_estimate_and_prior() -> None:
    """Pointwise, N(μ̂, σ̂²) N(μ_p, σ_p²) is the merged Gaussian times a constant."""
    estimate, prior = (0.7, 2 * np.log(0.5)), (-1.2, 2 * np.log(1.7))
    mean, log_variance = merged(*(tuple(ops.array([[v]], "float32") for v in pair) for pair in (estimate, prior)))
    x = np.linspace(-3, 3, 7)
    product = sum(stats.norm(m, np.exp(v / 2)).logpdf(x) for m, v in (estimate, prior))
    found = stats.norm(array(mean).item(), np.exp(array(log_variance).item() / 2)).logpdf(x)
    np.testing.assert_allclose(np.diff(product - found), 0.0, atol=1e-5)
    even = merged((ops.array([[3.0]]), ops.array([[60.0]])), (ops.array([[1.0]]), ops.array([[0.0]])))
    np.testing.assert_allclose([array(part).item() for part in even], [1.0, 0.0], atol=1e-6)


def linear(rows: np.ndarray, bias: np.ndarray) -> keras.Model:
    model = keras.Sequential([keras.Input((rows.shape[0],)), keras.layers.Dense(rows.shape[1])])
    model.set_weights([rows, bias])
    return model


def test_the_bound_and_its_estimate_are_exact_where_the_posterior_is() -> None:
    """A chain of Gaussians, z₂ → z₁ → x = z₁ + ½ ε, with the exact posterior of each level given those above.

    z₁ = a z₂ + √(1 − a²) η, so p(x) = N(0, 1.25) and p(z₁|x, z₂) ∝ N(z₁; x, ¼) p(z₁|z₂): the estimate of level 1 is
    N(x, ¼). That of level 2 is p(x|z₂) as a Gaussian of z₂: N(x/a, (1.25 − a²)/a²).
    """
    a, noise = 0.8, 0.5
    variances = np.array([noise**2, (1 + noise**2 - a**2) / a**2])
    rows, bias = np.array([[1.0, 0.0, 1 / a, 0.0]]), 10 * np.arctanh(np.log(variances) / 10)
    encoder = linear(rows, np.array([0.0, bias[0], 0.0, bias[1]]))
    spec = DataSpec((1,), "signal", value_range=None)
    decoder = linear(np.array([[1.0], [0.0]]), np.zeros(1))
    model = HierarchicalVAE(spec, encoder=encoder, decoder=decoder, latents=(1, 1), hidden=(2, 2), noise="portable")
    inner = 10 * np.arctanh(np.log(1 - a**2) / 10)
    model.rungs[0].prior = linear(np.array([[a, 0.0], [0.0, 0.0]]), np.array([0.0, inner]))
    model.rungs[1].features = linear(np.array([[1.0, 0.0]]), np.zeros(2))
    model.rungs[0].features = linear(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), np.zeros(2))
    floor = model.likelihood.floor
    model.likelihood.log_sigma.assign(floor + np.log(np.expm1(np.log(noise) - floor)))
    x = np.array([[-1.3], [0.2], [0.9], [2.0]], "float32")
    exact = stats.norm(0, np.sqrt(1 + noise**2)).logpdf(x[:, 0])
    np.testing.assert_allclose(array(model.log_prob(x, draws=1)), exact, atol=1e-4)
    draws = 4000
    noise_of = ops.array(np.random.RandomState(0).normal(size=(4 * draws, 2)), "float32")
    compiled = backend.compiled(lambda x, noise: model.terms(x, None, noise), model)
    terms = {name: array(value) for name, value in compiled(ops.array(np.repeat(x, draws, 0)), noise_of).items()}
    np.testing.assert_allclose(terms["kl"], terms["kl_1"] + terms["kl_2"], rtol=1e-5, atol=1e-6)
    bound = -(terms["reconstruction"] + terms["kl"]).reshape(4, draws).mean(1)
    np.testing.assert_allclose(bound, exact, atol=0.05)
    drawn = genloom.sample(model, 4096, chunk=4096, observation_noise=1.0).samples
    assert drawn.std() == pytest.approx(np.sqrt(1 + noise**2), rel=0.04)


def test_every_level_reaches_the_samples_and_codes_are_decoded_as_they_were_encoded() -> None:
    spec = DataSpec((6, 5, 1), classes=3, condition=("label",))
    model = genloom.create("vae/hierarchical", spec, **SMALL, channels=(4,), warm_up=0)
    x, label = np.random.RandomState(0).uniform(size=(4, 6, 5, 1)).astype("float32"), np.array([0, 1, 2, 0])
    z = array(model.encode(x, label=label)).astype("float32")
    assert z.shape == (4, 3)
    assert model.latent.size == 3
    rebuilt = array(model.decode(z, label=label))
    assert rebuilt.shape == x.shape
    for dimension in range(3):
        other = z.copy()
        other[:, dimension] += 1.0
        assert np.abs(array(model.decode(other, label=label)) - rebuilt).max() > 1e-4
    estimates = model.estimates(model.normalised(x), model.one_hot_of({"label": label}))
    top = array(merged(estimates[1], model.rungs[1].prior_of(4, None, model.one_hot_of({"label": label})))[0])
    np.testing.assert_allclose(z[:, 2:], top, atol=1e-6)


def test_the_weight_of_the_kl_grows_over_the_warm_up() -> None:
    spec = DataSpec((4, 4, 1), levels=17)
    options = {**SMALL, "warm_up": 4, "beta": 0.5, "likelihood": "categorical"}
    model = genloom.create("vae/hierarchical", spec, noise="portable", **options)
    batch = {"x": np.random.RandomState(0).randint(0, 17, (6, 4, 4, 1)).astype("float32") / 16}
    for step, share in ((0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0)):
        model.step.assign(step)
        loss, terms, _ = model.loss_of(batch)
        expected = array(terms["reconstruction"]) + 0.5 * share * array(terms["kl"])
        np.testing.assert_allclose(array(loss), expected, rtol=1e-5)
    held = model.validate({"x": ops.convert_to_tensor(batch["x"]), "index": ops.arange(6)})
    assert set(held) == set(model.validation) == {"loss", "reconstruction", "kl", "kl_1", "kl_2", "bits"}
    np.testing.assert_allclose(
        array(held["bits"]), array(held["reconstruction"] + held["kl"]) / (16 * np.log(2)), rtol=1e-5
    )


@pytest.mark.parametrize("sizes", [{"latents": (2,), "hidden": (4,)}, {"latents": (2, 1), "hidden": (4,)}])
def test_a_hierarchy_of_one_level_or_of_uneven_lists_is_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"2 to 4 levels, each with a latent and a hidden layer"):
        genloom.create("vae/hierarchical", DataSpec((4, 4, 1)), **sizes)


def test_convolutions_of_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"channels=\(4,\) are of images .* the data are \(6,\)"):
        genloom.create("vae/hierarchical", DataSpec((6,), "table", value_range=None), **SMALL, channels=(4,))
