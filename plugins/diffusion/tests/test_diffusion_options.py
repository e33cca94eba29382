"""What an option away from its default changes, as a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, random
from genloom.errors import ConfigError
from genloom_diffusion.process import log_snr

PLANE = DataSpec((2,), kind="signal", value_range=(-3.0, 3.0), classes=3, condition=("label",))
SMALL: dict[str, Any] = {"width": 8, "depth": 1, "embedding": 8}


def made(**options: Any) -> Any:
    model = genloom.create("diffusion/ddpm", PLANE, noise="portable", **{**SMALL, **options})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    return model


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


# By λ = log SNR, for the target that is predicted: the weight of the paper over that of the target's own error.
WEIGHTS: dict[str, Any] = {
    "noise": lambda snr: snr / (1 + snr),
    "data": lambda snr: 1 / (1 + snr),
    "min_snr": lambda snr: np.minimum(snr, 5.0) / (1 + snr),
    "sigmoid": lambda snr: snr / (1 + snr * np.exp(-2.0)) / (1 + snr),
}


@pytest.mark.parametrize("weighting", WEIGHTS)
def test_a_weighting_multiplies_the_error_of_each_noise_level(weighting: str) -> None:
    weighed, plain = made(weighting=weighting), made()
    rng = np.random.default_rng(1)
    x, noise = (ops.convert_to_tensor(rng.standard_normal((9, 2)).astype("float32")) for _ in range(2))
    u, label = ops.convert_to_tensor(np.linspace(0.05, 0.95, 9, dtype="float32")), ops.zeros((9,), "int32")
    snr = np.exp(array(log_snr(plain.process, plain.process.time(u))))
    ratio = array(weighed._errors(x, u, noise, label)) / array(plain._errors(x, u, noise, label))
    np.testing.assert_allclose(ratio, WEIGHTS[weighting](snr), rtol=1e-3)
    assert ratio.max() > 2 * ratio.min()


@pytest.mark.parametrize(("share", "seen"), [(0.0, True), (1.0, False)])
def test_label_dropout_hides_labels_from_the_loss(share: float, seen: bool) -> None:
    model = made(label_dropout=share)
    x = ops.convert_to_tensor(np.random.default_rng(1).standard_normal((9, 2)).astype("float32"))
    losses = []
    for k in (0, 1):
        with random.training_noise(random.NoiseStream(0, ops.zeros((), "int32"), "portable")):  # the same for both
            losses.append(float(array(model._loss({"x": x, "label": ops.full((9,), k, "int32")})[0])))
    assert (abs(losses[0] - losses[1]) > 1e-4) == seen


@pytest.mark.parametrize("largest", [4.0, 50.0])
def test_sigma_max_is_the_noise_at_the_end(largest: float) -> None:
    model = made(process="exploding", sigma_max=largest)
    assert float(array(model.process.sigma(ops.ones((1,))))[0]) == pytest.approx(largest, rel=1e-5)
    assert model.process.prior_deviation == largest


@pytest.mark.parametrize("id", ["diffusion/ddpm", "diffusion/edm", "diffusion/flow", "diffusion/meanflow"])
def test_guidance_acts_between_two_positions_both_ends_included(id: str) -> None:
    model = genloom.create(id, PLANE, noise="portable", **SMALL)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.1 * rng.standard_normal(variable.shape))
    keys, label = random.keys(0, 4), {"label": ops.ones((4,), "int32")}

    def draw(**asked: float) -> np.ndarray:
        return array(model.draw(keys, label, steps=3, **asked))

    nowhere = draw()
    # Positions are rounded: that of the first level may lie above 1 and that of the last below 0.
    assert np.abs(draw(guidance=3.0, guidance_from=0.9) - nowhere).max() > 1e-5
    if id == "diffusion/edm":  # its last call is at position 0
        assert np.abs(draw(guidance=3.0, guidance_to=0.05) - nowhere).max() > 1e-5
    between = draw(guidance=3.0, guidance_from=0.4, guidance_to=0.45)  # no level lies there
    np.testing.assert_allclose(between, nowhere, atol=1e-5)
    with pytest.raises(ConfigError, match="guidance_from must not be above guidance_to"):
        draw(guidance_from=0.9, guidance_to=0.1)
