"""Every statement of docs/formulas.md as a number: the forms in use against hand-written ones; why variants fail."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import backend, objectives, random
from genloom_diffusion.bound import variational_bound
from genloom_diffusion.parameterisation import predictions, target_of
from genloom_diffusion.process import Cosine, Exploding, Interpolant, Linear, Sigmoid, add_noise, log_snr
from genloom_diffusion.samplers import SAMPLERS, ddim
from genloom_diffusion.stepping import ancestral_deviation
from genloom_diffusion.walk import Walk

RNG = np.random.default_rng(0)
SPEC = genloom.DataSpec((2, 2, 1))


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def number(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def logistic(x: np.ndarray | float) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.asarray(x)))


# Variational autoencoders.


def test_the_negative_elbo_is_reconstruction_plus_kl() -> None:
    model = genloom.create("vae/mlp", SPEC, latent=3, hidden=(5,), prior="standard", beta=1.0)
    x, noise = RNG.uniform(size=(6, 2, 2, 1)).astype("float32"), array(6, 3)
    terms = model.terms(ops.convert_to_tensor(x), None, ops.convert_to_tensor(noise))
    q = model.infer(ops.convert_to_tensor(2 * x - 1), None)
    mean, log_variance = number(q.mean), number(q.log_variance)
    decoded = number(model.decoder(mean + np.exp(0.5 * log_variance) * noise)).reshape(6, -1)
    log_sigma = float(number(model.likelihood.bounded_log_sigma()))
    error = np.square((2 * x - 1).reshape(6, -1) - decoded).sum(-1)
    by_hand = 0.5 * error * math.exp(-2 * log_sigma) + 4 * (log_sigma + 0.5 * math.log(2 * math.pi))
    np.testing.assert_allclose(number(terms["reconstruction"]), by_hand, rtol=1e-5)
    np.testing.assert_allclose(
        number(terms["kl"]), 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1), rtol=1e-5, atol=1e-6
    )


def test_one_elbo_moves_encoder_and_decoder_and_logs_its_terms() -> None:
    model = genloom.create("vae/mlp", SPEC, latent=3, hidden=(5,))
    (phase,) = model.phases()
    assert phase.metrics == ("reconstruction", "kl")
    x = ops.convert_to_tensor(RNG.uniform(size=(8, 2, 2, 1)).astype("float32"))
    (_, _), gradients = backend.value_and_grad(lambda: _mean_and_rest(phase.loss({"x": x})), phase.resolve())
    moved = {id(v) for v, g in zip(phase.resolve(), gradients, strict=True) if np.abs(number(g)).max() > 0}
    for network in (model.encoder, model.decoder):
        assert {id(v) for v in network.trainable_variables} <= moved


def _mean_and_rest(result: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    return result[0], result[1]


def test_a_ladders_posterior_is_estimate_times_prior() -> None:
    from genloom_vae.ladder import merged

    parameters = array(4, 5, 3)
    estimate, prior = ([ops.convert_to_tensor(part) for part in pair] for pair in (parameters[:2], parameters[2:]))
    mean, log_variance = (number(part) for part in merged(tuple(estimate), tuple(prior)))
    precision = np.exp(-parameters[1]) + np.exp(-parameters[3])
    np.testing.assert_allclose(np.exp(-log_variance), precision, rtol=1e-5)
    weighted = parameters[0] * np.exp(-parameters[1]) + parameters[2] * np.exp(-parameters[3])
    np.testing.assert_allclose(mean, weighted / precision, rtol=1e-4, atol=1e-6)


def test_levels_have_probabilities_that_sum_to_one() -> None:
    model = genloom.create("vae/mlp", SPEC.replace(levels=5), latent=2, hidden=(4,), likelihood="logistic-mixture")
    z, total = ops.zeros((1, 2)), np.zeros(4)
    output = model.decoder(z)
    for level in np.linspace(-1, 1, 5):
        x = ops.full((1, 2, 2, 1), float(level))
        total += np.exp(number(model.likelihood.log_probs(x, output))).ravel()
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    even = genloom.create("vae/mlp", SPEC.replace(levels=5), latent=2, hidden=(4,), likelihood="categorical")
    nats = -number(even.likelihood.log_prob(x, ops.zeros((1, 2, 2, 5))))
    np.testing.assert_allclose(nats / 4 / math.log(2), math.log2(5), rtol=1e-5)


def test_bits_of_a_density_without_noise_have_no_floor() -> None:
    """Two levels, a fair coin that costs 1 bit: a Gaussian of deviation s about the right one."""
    noise, width = RNG.uniform(-0.5, 0.5, 4000), 2.0

    def bits(shift: np.ndarray | float, s: float) -> float:
        nats = 0.5 * np.square(np.asarray(shift) / s) + math.log(s) + 0.5 * math.log(2 * math.pi) - math.log(width)
        return float(np.mean(nats)) / math.log(2) + 1.0  # the code says which level

    narrow = [bits(0.0, s) for s in (1e-1, 1e-3, 1e-6)]
    assert narrow == sorted(narrow, reverse=True)
    assert narrow[-1] < -10
    assert min(bits(width * noise, s) for s in np.geomspace(1e-3, 10, 40)) > 1.0


def test_minus_log_q_alone_collapses_the_variance() -> None:
    mean, noise = ops.convert_to_tensor(array(4, 3)), ops.convert_to_tensor(array(4, 3))

    def minus_log_q(log_variance: Any) -> Any:
        z = mean + ops.exp(0.5 * log_variance) * noise
        return -objectives.gaussian_log_prob(z, mean, log_variance)

    for log_variance in (-8.0, 0.0, 3.0):
        at = ops.full((4, 3), log_variance)
        np.testing.assert_allclose(number(backend.grad(minus_log_q)(at)), 0.5, atol=1e-4)  # downhill for ever
        slope = number(backend.grad(lambda v: objectives.kl_to_standard_normal(mean, v))(at))
        np.testing.assert_allclose(slope, 0.5 * (math.exp(log_variance) - 1.0), atol=1e-4)  # zero at σ = 1


# Adversarial networks.


def test_non_saturating_losses() -> None:
    real, fake = array(9, 1), array(9, 1)
    on = ops.convert_to_tensor(real), ops.convert_to_tensor(fake)
    value = float(number(objectives.non_saturating_discriminator(*on)))
    assert value == pytest.approx(-np.log(logistic(real)).mean() - np.log(1 - logistic(fake)).mean(), rel=1e-5)
    assert float(number(objectives.non_saturating_generator(*on))) == pytest.approx(
        -np.log(logistic(fake)).mean(), rel=1e-5
    )


def test_the_saturating_generator_stops_learning_where_it_is_worst() -> None:
    logit = ops.full((1,), -8.0)  # the discriminator is sure that the sample is generated
    used = number(backend.grad(lambda d: objectives.non_saturating_generator(d, d))(logit))
    # The minimax generator is the discriminator's loss turned round; its own term is E[-log(1 - D)].
    far = ops.full((1,), 40.0)  # a real sample that costs nothing
    minimax = number(backend.grad(lambda d: -objectives.non_saturating_discriminator(far, d))(logit))
    assert used == pytest.approx(-logistic(8.0), rel=1e-4)
    assert minimax == pytest.approx(-logistic(-8.0), rel=1e-3)


def test_wasserstein_losses() -> None:
    real, fake = array(9, 1), array(9, 1)
    on = ops.convert_to_tensor(real), ops.convert_to_tensor(fake)
    assert float(number(objectives.wasserstein_critic(*on))) == pytest.approx(fake.mean() - real.mean(), abs=1e-6)
    assert float(number(objectives.wasserstein_generator(*on))) == pytest.approx(-fake.mean(), abs=1e-6)


def test_penalties_of_a_linear_critic_have_closed_forms() -> None:
    slope = array(4, 1)
    weights, norm = ops.convert_to_tensor(slope), float(np.linalg.norm(slope))
    x, y = ops.convert_to_tensor(array(5, 4)), ops.convert_to_tensor(array(5, 4))

    def critic(samples: Any) -> Any:
        return ops.matmul(samples, weights)

    penalty = objectives.gradient_penalty(critic, x, y, ops.convert_to_tensor(RNG.uniform(size=5).astype("float32")))
    assert float(number(penalty)) == pytest.approx((norm - 1.0) ** 2, rel=1e-4)
    assert float(number(objectives.r1_penalty(critic, x))) == pytest.approx(0.5 * norm**2, rel=1e-4)
    assert float(number(objectives.r2_penalty(critic, y))) == pytest.approx(0.5 * norm**2, rel=1e-4)


def test_the_relativistic_loss_sees_differences_only() -> None:
    real, fake = array(9, 1), array(9, 1)
    by_hand = softplus(fake - real).mean()
    for shift in (0.0, 7.0):
        on = ops.convert_to_tensor(real + np.float32(shift)), ops.convert_to_tensor(fake + np.float32(shift))
        assert float(number(objectives.relativistic_discriminator(*on))) == pytest.approx(by_hand, rel=1e-4)
        assert float(number(objectives.relativistic_generator(*on))) == pytest.approx(
            softplus(real - fake).mean(), rel=1e-4
        )


def _game() -> tuple[keras.Variable, keras.Variable, Any, Any]:
    """A generator G(z) = g z and a critic D(x) = x·d, with their real and generated logits as functions."""
    generator, critic = keras.Variable(array(3)), keras.Variable(array(3, 1))
    x, z = ops.convert_to_tensor(array(8, 3)), ops.convert_to_tensor(array(8, 3))
    return generator, critic, lambda: ops.matmul(x, critic), lambda: ops.matmul(z * generator, critic)


def _slope(loss: Any, variable: keras.Variable) -> np.ndarray:
    (_, _), (gradient,) = backend.value_and_grad(lambda: (loss(), {}), [variable])
    return number(gradient)


def test_the_mean_of_real_logits_gives_the_generator_no_gradient() -> None:
    generator, _, real, fake = _game()
    plain = _slope(lambda: objectives.wasserstein_generator(real(), fake()), generator)
    with_term = _slope(lambda: objectives.wasserstein_generator(real(), fake()) + 5.0 * ops.mean(real()), generator)
    assert np.abs(plain).max() > 0.01
    np.testing.assert_array_equal(plain, with_term)


class _Scaled(genloom.GenerativeModel):
    """The loss λ x·w, whose gradient is λ x whatever w is."""

    def __init__(self, factor: float) -> None:
        super().__init__(genloom.DataSpec((20,), kind="signal", value_range=None))
        self.factor = factor
        self.w = self.add_weight(shape=(20,), initializer="zeros", name="w")

    def phases(self) -> list[genloom.Phase]:
        return [genloom.Phase("fit", [self.w], self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        return self.factor * ops.mean(ops.sum(batch["x"] * self.w, axis=-1)), {}, 1.0

    def draw(self, keys: Any, condition: dict[str, Any]) -> Any:
        return ops.zeros((len(keys), 20))


def test_adam_undoes_a_factor_on_the_loss() -> None:
    """In our own step, on whose engine Adam may be fused: ten updates of a model whose gradients are known."""
    gradients = array(10, 20)

    def end(optimizer: keras.optimizers.Optimizer, factor: float) -> np.ndarray:
        model = _Scaled(factor)
        model.compile(optimizer)
        model.fit({"x": gradients}, batch_size=1, shuffle=False, verbose=0)
        return number(model.w.value)

    adam, scaled = (end(keras.optimizers.Adam(0.01, epsilon=1e-12), factor) for factor in (1.0, 100.0))
    np.testing.assert_allclose(scaled, adam, rtol=1e-4, atol=1e-6)
    first, second = np.zeros(20), np.zeros(20)
    by_hand = np.zeros(20)
    for step, gradient in enumerate(gradients.astype("float64"), 1):  # Kingma and Ba 2015, algorithm 1
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        by_hand -= 0.01 * first / (1 - 0.9**step) / np.sqrt(second / (1 - 0.999**step))
    np.testing.assert_allclose(adam, by_hand, rtol=1e-3, atol=1e-5)
    descent, scaled = (end(keras.optimizers.SGD(0.01), factor) for factor in (1.0, 100.0))
    np.testing.assert_allclose(descent, -0.01 * gradients.sum(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scaled, 100.0 * descent, rtol=1e-3, atol=1e-4)


def test_a_joint_loss_is_not_adversarial() -> None:
    generator, _, real, fake = _game()
    alone = _slope(lambda: objectives.wasserstein_generator(real(), fake()), generator)

    def joint(scale: float) -> np.ndarray:
        return _slope(
            lambda: (
                objectives.wasserstein_generator(real(), fake()) + scale * objectives.wasserstein_critic(real(), fake())
            ),
            generator,
        )

    np.testing.assert_allclose(joint(1.0), 0.0, atol=1e-6)  # the two terms cancel: the generator stands still
    np.testing.assert_allclose(joint(2.0), -alone, atol=1e-6)  # and for λ > 1 it runs from what the critic calls real


def test_a_sigmoid_before_a_loss_from_logits_confines_the_probability() -> None:
    outputs = ops.convert_to_tensor(np.linspace(-30, 30, 101, dtype="float32"))
    confined = number(ops.sigmoid(ops.sigmoid(outputs)))  # what the loss takes for the probability
    assert confined.min() == pytest.approx(0.5, abs=1e-4)
    assert confined.max() == pytest.approx(0.7311, abs=1e-4)
    far = ops.full((1,), 40.0)  # a real sample that costs nothing

    def on_fakes(logits: Any) -> float:
        losses = [objectives.non_saturating_discriminator(far, logits[i : i + 1]) for i in range(0, 101, 10)]
        return min(float(number(loss)) for loss in losses)

    assert on_fakes(ops.sigmoid(outputs)) == pytest.approx(math.log(2.0), abs=1e-4)  # however sure D is
    assert on_fakes(outputs) < 1e-6


# Diffusion.


@pytest.mark.parametrize(
    "process",
    [Cosine(), Linear(), Sigmoid(), Interpolant()],
    ids=["cosine", "linear", "sigmoid", "interpolant"],
)
def test_variance_preserving_processes(process: Any) -> None:
    t = ops.convert_to_tensor(np.linspace(0, 1, 11, dtype="float32"))
    np.testing.assert_allclose(number(process.alpha(t) ** 2 + process.sigma(t) ** 2), 1.0, atol=1e-5)
    assert (np.diff(number(process.sigma(t))) > 0).all()
    low, high = process.log_snr_range()
    np.testing.assert_allclose(number(log_snr(process, t))[[-1, 0]], [low, high], rtol=1e-3)


def test_the_cosine_angle_is_linear_in_time() -> None:
    process, t = Cosine(), np.linspace(0, 1, 11)
    angle = math.atan(math.exp(-5)) + t * (math.atan(math.exp(5)) - math.atan(math.exp(-5)))
    found = number(process.alpha(ops.convert_to_tensor(t.astype("float32"))))
    np.testing.assert_allclose(found, np.cos(angle), atol=1e-5)


def test_the_exploding_variance_is_linear_in_time() -> None:
    process, t = Exploding(sigma_max=20.0), np.linspace(0.01, 1, 11, dtype="float32")
    np.testing.assert_allclose(number(process.sigma(ops.convert_to_tensor(t))) ** 2, 400.0 * t, rtol=1e-5)
    np.testing.assert_allclose(number(process.alpha(ops.convert_to_tensor(t))), 1.0)


def test_noise_that_falls_with_time_runs_backwards() -> None:
    t, beta = np.linspace(0.01, 1, 11, dtype="float32"), 1.0
    variant = np.sqrt(1.0 - t / beta)  # x_0 + √(1 − t/β) ε
    assert (np.diff(variant) < 0).all()
    assert variant[-1] == 0.0  # sampling would start at t = β from data, not from noise
    noise = number(add_noise(Exploding(), ops.zeros((11, 1)), ops.ones((11, 1)), ops.convert_to_tensor(t)))[:, 0]
    assert (np.diff(noise) > 0).all()
    assert noise[-1] == pytest.approx(20.0)


@pytest.mark.parametrize("target", ["noise", "velocity", "data"])
def test_each_target_gives_back_data_and_noise(target: str) -> None:
    x, noise = ops.convert_to_tensor(array(5, 3)), ops.convert_to_tensor(array(5, 3))
    for alpha, sigma in ((0.8, 0.6), (1.0, 3.0)):
        z = alpha * x + sigma * noise
        a, s = ops.convert_to_tensor(np.float32(alpha)), ops.convert_to_tensor(np.float32(sigma))
        found = predictions(target, target_of(target, x, noise, a, s), z, a, s)
        np.testing.assert_allclose(number(found[0]), number(x), atol=1e-4)
        np.testing.assert_allclose(number(found[1]), number(noise), atol=1e-4)


def _gaussian_denoiser(process: Any, s: float) -> Any:
    """E[x | z] when the data are N(0, s²)."""

    def denoise(z: Any, t: Any, _: Any = None) -> Any:
        alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
        return alpha * s * s / (alpha * alpha * s * s + sigma * sigma) * z

    return denoise


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpm_2m", 2)])
def test_samplers_have_their_orders(sampler: str, order: int) -> None:
    """Data of two points, ±1, at quantiles of the noise: x̂ = tanh(α z/σ²), and z keeps its sign."""
    process, z = Cosine(), np.linspace(0.2, 2.0, 10, dtype="float32")[:, None]
    errors = []

    def denoise(z: Any, t: Any, held: Any) -> Any:
        alpha, sigma = (ops.reshape(f(t), (-1, 1)) for f in (process.alpha, process.sigma))
        # Each point is blurred by s = 0.5: a mixture of two Gaussians.
        total = alpha**2 * 0.25 + sigma**2
        side = ops.tanh(alpha * z / total)
        return side + alpha * 0.25 / total * (z - alpha * side)

    for steps in (64, 128, 1024):
        walk = Walk(process, steps, "log_snr")
        errors.append(number(SAMPLERS[sampler](denoise, walk, ops.convert_to_tensor(z), random.keys(0, 10))))
    first, second = (np.sqrt(np.mean((error - errors[2]) ** 2)) for error in errors[:2])
    assert np.log2(first / second) == pytest.approx(order, abs=0.25)


def test_ddim_scales_noise_to_gaussian_data() -> None:
    process, s, z = Cosine(), 0.5, array(6, 2)
    keys = random.keys(0, 6)
    found = number(ddim(_gaussian_denoiser(process, s), Walk(process, 200), ops.convert_to_tensor(z), keys))
    np.testing.assert_allclose(found, s * z, rtol=0.02)


def test_ancestral_noise_is_that_of_the_posterior() -> None:
    alpha_s, sigma_s, alpha_t, sigma_t = 0.9, math.sqrt(0.19), 0.5, math.sqrt(0.75)
    # q(z_s | z_t, x): prior N(α_s x, σ_s²), observation z_t = (α_t/α_s) z_s + noise of variance σ_t² − (α_t/α_s)² σ_s².
    slope, rest = alpha_t / alpha_s, sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2
    by_hand = 1.0 / math.sqrt(1.0 / sigma_s**2 + slope**2 / rest)
    values = [ops.convert_to_tensor(np.float32(v)) for v in (alpha_s, sigma_s, alpha_t, sigma_t)]
    assert float(number(ancestral_deviation(*values))) == pytest.approx(by_hand, rel=1e-5)


def test_the_bound_is_the_entropy_of_gaussian_data_under_the_best_prediction() -> None:
    process, n, k = Cosine(), 256, 32
    x = array(n, 4)
    u = (np.arange(k)[None] + RNG.uniform(size=(n, k))) / k

    def predict_noise(z: Any, t: Any) -> Any:
        return process.sigma(t)[:, None] * z  # E[ε | z] for data N(0, 1)

    tensors = [ops.convert_to_tensor(v.astype("float32")) for v in (x, u, array(n, k, 4))]
    bound = number(variational_bound(predict_noise, process, *tensors))
    log_density = -0.5 * (x**2 + math.log(2 * math.pi)).sum(-1)
    assert bound.mean() / 4 == pytest.approx(-log_density.mean() / 4, abs=0.06)


# The page itself.


def test_the_page_names_every_test_and_no_other(repository: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", (repository / "docs" / "formulas.md").read_text("utf-8")))
    files = Path(__file__).parent.glob("test_formulas*.py")
    own = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}
    assert named == own - {"test_the_page_names_every_test_and_no_other"}
