"""The terms of the objective as numbers: written by hand, in closed form, or at critics that are known."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom_vae.annealing import ramp_of
from genloom_vae.correlation import permuted, total_correlation
from genloom_vae.discrepancy import discrepancy
from genloom_vae.model import MLPVAE, VAE
from genloom_vae.posteriors import DiagonalGaussian
from genloom_vae.terms import free_bits

RNG = np.random.RandomState(0)
SPEC = DataSpec((3,), "signal", value_range=None)


@pytest.fixture(autouse=True)
def anew() -> None:
    """Every test has the same numbers, whichever ran before."""
    RNG.seed(1)


X = RNG.normal(size=(64, 3)).astype("float32")


def number(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), np.float64)


def tensor(x: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def linear(kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    model = keras.Sequential([keras.Input((kernel.shape[0],)), keras.layers.Dense(kernel.shape[1])])
    model.set_weights([kernel, bias])
    return model


def loss_parts(model: VAE) -> tuple[float, dict[str, float]]:
    loss, values, _ = model.loss_of({"x": tensor(X)})
    return float(number(loss)), {name: float(number(value)) for name, value in values.items()}


@pytest.mark.parametrize(("kernel", "classes"), [("multiquadratics", 0), ("gaussian", 0), ("gaussian", 2)])
def test_the_discrepancy_is_the_one_written_by_hand(kernel: str, classes: int) -> None:
    label = np.arange(7) % max(classes, 1)
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 3)) + 0.5

    def k(x: np.ndarray, y: np.ndarray) -> float:
        square = float(((x - y) ** 2).sum())
        if kernel == "gaussian":
            return float(np.exp(-square / 3))
        return sum(6 * s / (6 * s + square) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    pairs = [(i, j) for i in range(7) for j in range(7)]
    alike = [(i, j) for i, j in pairs if label[i] == label[j]]
    within = sum(k(a[i], a[j]) + k(b[i], b[j]) for i, j in alike if i != j) / 42
    by_hand = (within - 2 * sum(k(a[i], b[j]) for i, j in alike) / 49) * max(classes, 1)
    labels = ops.one_hot(label, classes) if classes else None
    assert float(number(discrepancy(tensor(a), tensor(b), kernel, labels))) == pytest.approx(by_hand, rel=1e-4)


def test_the_total_correlation_of_a_gaussian_has_its_closed_form() -> None:
    """q(z|x) = N(m, s² I) with m ~ N(0, C − s² I): the aggregate is N(0, C), its correlation −½ log det corr(C)."""
    covariance = np.array([[1.0, 0.8], [0.8, 1.5]])
    spread, n = 0.4, 1500
    means = RNG.multivariate_normal(np.zeros(2), covariance - spread**2 * np.eye(2), n)
    q = DiagonalGaussian(tensor(means), tensor(np.full((n, 2), 2 * np.log(spread))))
    z, _ = q.sample(tensor(RNG.normal(size=(n, 2))))
    scale = np.sqrt(np.diag(covariance))
    exact = -0.5 * np.log(np.linalg.det(covariance / np.outer(scale, scale)))
    found = float(number(total_correlation(q.log_probs_of_all(z))).mean())
    assert found == pytest.approx(exact, abs=0.05)
    apart = DiagonalGaussian(tensor(means * [[1, 0]]), q.log_variance)
    z, _ = apart.sample(tensor(RNG.normal(size=(n, 2))))
    assert float(number(total_correlation(apart.log_probs_of_all(z))).mean()) == pytest.approx(0.0, abs=1e-3)


def test_permuted_dimensions_keep_their_values_and_lose_their_correlation() -> None:
    z = RNG.multivariate_normal(np.zeros(3), 0.1 * np.eye(3) + 0.9, 4000)
    found = number(permuted(tensor(z), tensor(RNG.uniform(size=z.shape))))
    np.testing.assert_allclose(np.sort(found, 0), np.sort(z, 0), atol=1e-6)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.07


def test_free_bits_raise_each_dimension_to_its_floor_and_no_further() -> None:
    parts = np.array([[0.1, 0.9, 0.3], [0.3, 1.1, 0.1]])
    assert float(number(free_bits(tensor(parts), 0.5, 3))) == pytest.approx((0.5 - 0.2) + (0.5 - 0.2))
    assert float(number(free_bits(tensor(parts.sum(1, keepdims=True)), 0.5, 3))) == pytest.approx(1.5 - 1.4, abs=1e-6)
    model = MLPVAE(SPEC, latent=2, hidden=(4,), prior="standard", free_bits=20.0, beta=0.5, noise="portable")
    loss, values = loss_parts(model)
    assert values["kl"] + values["free_bits"] == pytest.approx(40.0, rel=1e-5)
    assert loss == pytest.approx(values["reconstruction"] + 0.5 * 40.0, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "shares"),
    [("linear", {0: 0, 5: 0.5, 10: 1, 15: 1}), ("cyclic", {0: 0, 3: 0.6, 5: 1, 9: 1, 10: 0, 12: 0.4})],
)
def test_annealing_weighs_the_kl_by_the_step_in_training_alone(kind: str, shares: dict[int, float]) -> None:
    ramp = ramp_of(kind, 10)
    assert ramp is not None
    for step, share in shares.items():
        assert float(number(ramp(ops.convert_to_tensor(step)))) == pytest.approx(share)
    model = MLPVAE(SPEC, latent=2, hidden=(4,), prior="standard", beta=2.0, annealing=kind, annealing_steps=10)
    model.step.assign(3)
    loss, values = loss_parts(model)
    share = {"linear": 0.3, "cyclic": 0.6}[kind]
    assert loss == pytest.approx(values["reconstruction"] + share * 2.0 * values["kl"], rel=1e-5)
    held = {k: number(v) for k, v in model.validate({"x": tensor(X), "index": ops.arange(64)}).items()}
    np.testing.assert_allclose(held["loss"], held["reconstruction"] + 2.0 * held["kl"], rtol=1e-5)


def coded(shift: float, **options: Any) -> VAE:
    """A deterministic model whose codes are the data's first two values, moved; its critic looks at the first."""
    encoder = linear(np.eye(3)[:, :2], np.full(2, shift))
    decoder = linear(np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0]]), np.zeros(3))
    if "adversarial" in options or "tc" in options:
        options["critic"] = linear(np.array([[1.0], [0.0]]), np.zeros(1))
    chosen = {"latent": 2, "posterior": "point", "prior": "standard", "beta": 0.0, **options}
    return VAE(SPEC, encoder=encoder, decoder=decoder, **chosen)


def test_a_critic_tells_the_prior_from_codes_and_the_codes_follow_it() -> None:
    """Codes far to the side that the critic calls the prior's: its loss is large, theirs small."""
    z = X[:, 0].astype(np.float64) + 9.0
    model = coded(9.0, adversarial=3.0)
    loss, values = loss_parts(model)
    assert values["adversarial"] == pytest.approx(np.logaddexp(0, -z).mean(), rel=1e-3)
    assert loss == pytest.approx(values["reconstruction"] + 3.0 * values["adversarial"], rel=1e-5)
    critic = float(number(model.critic_loss({"x": tensor(X)})[0]))
    assert critic == pytest.approx(z.mean() + np.logaddexp(0, -RNG.normal(size=9999)).mean(), abs=0.4)


def test_a_critic_tells_codes_from_permuted_ones_and_its_logit_is_their_total_correlation() -> None:
    z = X[:, 0].astype(np.float64) + 1.0
    model = coded(1.0, tc=3.0, tc_by="critic")
    loss, values = loss_parts(model)
    assert values["tc"] == pytest.approx(z.mean(), rel=1e-4)
    assert loss == pytest.approx(values["reconstruction"] + 3.0 * values["tc"], rel=1e-5)


def test_a_critic_calls_codes_high_and_permuted_codes_low() -> None:
    """It sees the product of two equal dimensions, z², which is low where they come from different samples."""
    codes = keras.Input((2,))
    product = keras.Model(codes, codes[:, :1] * codes[:, 1:])
    encoder, decoder = linear(np.array([[2.0, 2.0], [0, 0], [0, 0]]), np.zeros(2)), linear(np.ones((2, 3)), np.zeros(3))
    options: dict[str, Any] = {"latent": 2, "posterior": "point", "prior": "standard", "tc": 1.0, "tc_by": "critic"}
    model = VAE(SPEC, encoder=encoder, decoder=decoder, critic=product, **options)
    loss, metrics, _ = model.critic_loss({"x": tensor(X)})
    own = np.logaddexp(0, -4 * X[:, 0].astype(np.float64) ** 2).mean()
    assert float(number(loss)) - own == pytest.approx(
        np.logaddexp(0, np.outer(2 * X[:, 0], 2 * X[:, 0])).mean(), abs=0.35
    )
    assert float(number(metrics["accuracy"])) == pytest.approx(0.75, abs=0.1), "all codes, half of the others"


def test_the_decoders_penalties_are_its_weights_and_its_jacobian() -> None:
    model = coded(0.0, decoder_l2=0.25, decoder_gradient=0.5)
    square = 1.0 + 0.25 + 4.0 + 1.0
    found = np.mean([loss_parts(model)[1]["decoder_gradient"] for _ in range(40)])
    assert found == pytest.approx(0.5 * square, rel=0.08)
    loss, values = loss_parts(model)
    assert values["decoder_l2"] == pytest.approx(0.5 * square, rel=1e-5)
    rest = 0.25 * values["decoder_l2"] + 0.5 * values["decoder_gradient"]
    assert loss == pytest.approx(values["reconstruction"] + rest, rel=1e-5)


def test_hidden_values_reach_neither_encoder_nor_likelihood() -> None:
    model = coded(0.0, missing=0.4)
    passed = model.training_pass({"x": ops.tile(tensor(X), (50, 1))})
    seen = number(passed.seen)
    assert set(np.unique(seen)) == {0.0, 1.0}
    assert seen.mean() == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(number(passed.z), number(passed.x)[:, :2] * seen[:, :2], atol=1e-6)
    log_sigma = float(number(model.likelihood.bounded_log_sigma()))
    each = (
        ((number(passed.x) - number(passed.output)) / np.exp(log_sigma)) ** 2 / 2 + log_sigma + 0.5 * np.log(2 * np.pi)
    )
    found = number(model.objective()[0].value(passed))
    np.testing.assert_allclose(found, (each * seen).sum(1), rtol=1e-4, atol=1e-4)


def test_noise_on_the_input_leaves_what_is_to_be_reconstructed() -> None:
    model = coded(0.0, corruption=0.5)
    x = np.repeat(X, 50, 0)
    passed = model.training_pass({"x": tensor(x)})
    noise = number(passed.z) - x[:, :2]
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(number(passed.x), x)


def test_a_prior_that_is_fitted_to_codes_moves_alone_and_leaves_the_bound_alone() -> None:
    model = genloom.create("vae/rae", SPEC, latent=2, hidden=(8,), components=2, compile=False)
    bound, prior = (phase.resolve() for phase in model.phases())
    assert {id(v) for v in prior} == {id(v) for v in model.prior.trainable_variables}
    assert not {id(v) for v in prior} & {id(v) for v in bound}
    assert len(prior) + len(bound) == len(model.trainable_variables)
    loss, values = loss_parts(model)
    z = number(model.encode(X))
    assert values["kl"] == pytest.approx(0.5 * (z**2).sum(1).mean(), rel=1e-4)
    assert loss == pytest.approx(values["reconstruction"] + values["kl"] + 0.001 * values["decoder_l2"], rel=1e-5)
    fitted = float(number(model.prior_loss({"x": tensor(X)})[0]))
    assert fitted == pytest.approx(-number(model.prior.log_prob(tensor(z), None)).mean(), rel=1e-4)
