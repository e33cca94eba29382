"""The model: own denoisers, options, labels, determinism, and that a short training learns."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, backend, random
from genloom.errors import ConfigError
from genloom.layers import ResidualMLP, UNet
from genloom_diffusion.model import Diffusion

SIGNAL = DataSpec((2,), kind="signal", value_range=(-2.6, 2.6))
IMAGE = DataSpec((8, 8, 1), classes=3, condition=("label",))
SMALL = {"channels": (8,), "blocks": 1, "patch": 2, "embedding": 16, "heads": 2, "steps": 4}


def ring(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = rng.integers(0, 4, n) * np.pi / 2
    x = 2.0 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.2 * rng.standard_normal((n, 2))
    return x.clip(-2.6, 2.6).astype("float32")


def own(shape: tuple[int, ...], inputs: tuple[tuple[int, ...], ...]) -> keras.Model:
    given = [keras.Input(s) for s in inputs]
    flat = [keras.layers.Flatten()(x) for x in given]
    y = keras.layers.Dense(int(np.prod(shape)))(keras.layers.Concatenate()(flat))
    return keras.Model(given, keras.layers.Reshape(shape)(y))


def drawn(model: Diffusion, keys: object, **options: object) -> np.ndarray:
    condition = {"label": ops.zeros((keys.shape[0],), dtype="int32")} if model.conditional else {}
    draw: Callable = backend.compiled(lambda k, c: model.draw(k, c, **options), model)
    return np.asarray(ops.convert_to_numpy(draw(keys, condition)))


def perturb(model: Diffusion) -> None:
    """Move every weight: what starts at zero would hide mistakes."""
    rng = np.random.default_rng(0)
    for variable in model.denoiser.trainable_variables:
        variable.assign(variable + 0.05 * rng.standard_normal(variable.shape).astype("float32"))


def test_own_denoiser_is_used_and_keeps_its_weights() -> None:
    network = own((2,), ((2,), (1,)))
    before = [np.array(w) for w in network.get_weights()]
    model = Diffusion(SIGNAL, denoiser=network, steps=3)
    for old, new in zip(before, model.denoiser.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.compile()
    assert drawn(model, random.keys(0, 3)).shape == (3, 2)


def test_own_denoiser_with_a_label() -> None:
    """It gets them one-hot, as every family's networks do, and zeros where there is none."""
    network = own((8, 8, 1), ((8, 8, 1), (1,), (3,)))
    model = Diffusion(IMAGE, denoiser=network, steps=2, clip=False)
    keys = random.keys(0, 2)
    zero, two = (model.draw(keys, {"label": ops.full((2,), k, dtype="int32")}) for k in (0, 2))
    assert np.abs(np.asarray(ops.convert_to_numpy(zero - two))).max() > 1e-3
    x, t, label = ops.ones((2, 8, 8, 1)), ops.ones((2,)), ops.convert_to_tensor(np.array([1, 3], "int32"))
    expected = network([x, t[:, None], ops.convert_to_tensor(np.array([[0, 1, 0], [0, 0, 0]], "float32"))])
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (model.denoiser(x, t, label), expected)))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: own((3,), ((2,), (1,))), r"must map \(2,\) and \(1,\) to \(2,\) .*; it returns \(3,\)"),
        (lambda: own((2,), ((3,), (1,))), "cannot take its input"),
        (lambda: own((2,), ((2,), (4,))), "cannot take its input"),
        (lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), "cannot take its input"),
        (lambda: own((2,), ((2,), (1,), (1,))), "no classes"),
    ],
)  # fmt: skip
def test_a_denoiser_that_does_not_fit_is_refused(network: Callable[[], keras.Model], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Diffusion(SIGNAL, denoiser=network())


def test_without_labels_a_model_of_labelled_data_is_unconditional() -> None:
    model = Diffusion(IMAGE, conditional=False, **SMALL)
    perturb(model)
    assert not model.takes_labels and model.evaluations(guidance=3.0) == SMALL["steps"]
    assert drawn(model, random.keys(0, 2)).shape == (2, 8, 8, 1)


def test_vectors_get_a_dense_network_and_what_has_places_a_unet() -> None:
    assert isinstance(Diffusion(SIGNAL).denoiser, ResidualMLP)
    assert isinstance(Diffusion(IMAGE, **SMALL).denoiser, UNet)


@pytest.mark.parametrize(("kind", "shape"), [("signal", (50, 2)), ("image", (5, 7, 1)), ("video", (3, 6, 5, 1))])
def test_samples_of_any_rank_and_odd_sides(kind: str, shape: tuple[int, ...]) -> None:
    model = Diffusion(DataSpec(shape, kind=kind), **{**SMALL, "channels": (8, 8), "steps": 2})
    perturb(model)
    found = drawn(model, random.keys(0, 2))
    assert found.shape == (2, *shape)
    assert found.std(0).min() > 0.0  # every place has noise of its own


def test_samples_are_within_the_range_where_predictions_are_not_clipped_too() -> None:
    model = Diffusion(IMAGE, seed=1, **SMALL, clip=False)
    perturb(model)
    keys = random.keys(0, 3)
    found = drawn(model, keys)
    low, high = IMAGE.value_range
    assert low == found.min() and found.max() == high  # an untrained model's samples lie far outside on both sides


def test_unknown_sampling_options_are_refused() -> None:
    model = Diffusion(SIGNAL, steps=2)
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        genloom.sample(model, 1, step=3)
    with pytest.raises(ConfigError, match="ancestral"):
        model.draw(random.keys(0, 1), {}, sampler="ancestrall")
    with pytest.raises(ConfigError, match="at least 1"):
        model.draw(random.keys(0, 1), {}, steps=0)


@pytest.mark.parametrize("options", [{}, {"sampler": "ancestral"}, {"guidance": 2.0, "eta": 0.5}])
def test_sample_i_is_the_same_at_every_batch_size(options: dict[str, object]) -> None:
    model = Diffusion(IMAGE, **SMALL)
    perturb(model)
    all_at_once = drawn(model, random.keys(7, 6), **options)
    alone = np.concatenate([drawn(model, random.keys(7, 2, offset=i), **options) for i in (0, 2, 4)])
    np.testing.assert_allclose(all_at_once, alone, atol=2e-5)
    np.testing.assert_array_equal(all_at_once, drawn(model, random.keys(7, 6), **options))
    assert np.abs(all_at_once[0] - all_at_once[1]).max() > 0.01
    assert all_at_once.min() >= 0.0
    assert all_at_once.max() <= 1.0


def test_guidance_one_changes_nothing_and_more_does() -> None:
    model = Diffusion(IMAGE, **SMALL)
    perturb(model)
    keys = random.keys(1, 3)
    np.testing.assert_array_equal(drawn(model, keys), drawn(model, keys, guidance=1.0))
    assert np.abs(drawn(model, keys) - drawn(model, keys, guidance=3.0)).max() > 1e-3
    assert model.evaluations(guidance=3.0) == 2 * model.evaluations() == 8


@pytest.mark.parametrize("process", ["cosine", "exploding"])
@pytest.mark.parametrize("target", ["noise", "velocity", "data"])
def test_untrained_predictions_make_finite_losses(process: str, target: str) -> None:
    model = Diffusion(SIGNAL, process=process, target=target)
    values = model.validate({"x": ops.convert_to_tensor(ring(16)), "index": ops.arange(16, dtype="int32")})
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() and v.shape == (16,) for v in values.values())


def trained(x: np.ndarray, steps: int, **options: object) -> Diffusion:
    model = Diffusion(SIGNAL, seed=1, width=64, **options)
    model.compile(keras.optimizers.Adam(3e-3), ema=0.98)
    rng = np.random.default_rng(0)
    batches = (({"x": x[rng.integers(0, len(x), 256)]},) for _ in range(steps + 8))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*shuffle=True.*")
        model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)
    return model


def test_a_short_training_beats_the_marginals() -> None:
    """Four modes on the axes: independent coordinates would put most samples off them."""
    model = trained(ring(4_000), 400)
    with model.averaged_weights():
        found = drawn(model, random.keys(0, 1_000))
    x = ring(1_000, seed=5)

    def distances(y: np.ndarray) -> np.ndarray:
        modes = 2.0 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
        return np.linalg.norm(y[:, None] - modes, axis=-1)

    shuffled = np.stack([x[:, 0], np.random.default_rng(0).permutation(x[:, 1])], 1)
    assert (distances(shuffled).min(1) < 0.6).mean() < 0.6
    assert (distances(found).min(1) < 0.6).mean() > 0.8
    assert np.bincount(distances(found).argmin(1), minlength=4).min() > 150
    held = {"x": ops.convert_to_tensor(x), "index": ops.arange(1_000, dtype="int32")}
    with model.averaged_weights():
        bound = float(np.mean(ops.convert_to_numpy(model.validate(held)["bound"])))
    # Entropy of the mixture per dimension: (log 4 + log 2πe 0.2²) / 2 = 0.503; one Gaussian of its moments has 1.77.
    assert 0.45 < bound < 1.2


def test_imitation_is_nothing_of_oneself_and_what_the_outputs_differ_by_of_another() -> None:
    model, teacher = (Diffusion(SIGNAL, seed=seed, noise="portable") for seed in (0, 1))
    perturb(model)
    perturb(teacher)
    batch = {"x": ops.convert_to_tensor(ring(6))}

    def distillation_loss(of: Diffusion) -> float:
        with random.training_noise(random.NoiseStream(0, model.step.value, "portable")):
            return float(ops.convert_to_numpy(model.distillation_loss(batch, of, 1.0)))

    assert distillation_loss(model) == 0.0
    stream = random.NoiseStream(0, model.step.value, "portable")
    x = model.spec.normalise(batch["x"])
    t = model.process.time(stream.uniform((6,)))
    alpha, sigma = (
        np.asarray(ops.convert_to_numpy(part(t)))[:, None] for part in (model.process.alpha, model.process.sigma)
    )
    z = alpha * np.asarray(ops.convert_to_numpy(x)) + sigma * np.asarray(ops.convert_to_numpy(stream.normal((6, 2))))
    outputs = [
        np.asarray(ops.convert_to_numpy(each._network(ops.convert_to_tensor(z.astype("float32")), t, None)))
        for each in (model, teacher)
    ]
    error = np.square(outputs[0] - outputs[1]).mean(-1)
    weights = model_weight(model, t)
    assert distillation_loss(teacher) == pytest.approx(float((error * weights).mean()), rel=1e-4)


def model_weight(model: Diffusion, t: object) -> np.ndarray:
    from genloom_diffusion.process import log_snr
    from genloom_diffusion.weighting import weight

    found = weight(model.options.weighting, model.options.target, log_snr(model.process, t))
    return np.asarray(ops.convert_to_numpy(found))
