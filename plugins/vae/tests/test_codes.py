"""Models of codes: what a description costs, that it is a bound, and that most codes are used."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, data
from genloom.errors import ConfigError
from genloom_vae.codes import FSQ, VQ, CodeModel

LABELLED = DataSpec((5, 4, 1), classes=2, condition=("label",), levels=3)
SMALL: dict[str, Any] = {"channels": (8,), "blocks": 0, "prior_layers": 1, "prior_heads": 2, "prior_width": 8}
X = np.random.RandomState(0).randint(0, 3, size=(6, 5, 4, 1)).astype("float32") / 2
LABEL = np.array([0, 1, 0, 1, 1, 0], "int32")


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def made(kind: type[CodeModel], spec: DataSpec = LABELLED, **options: Any) -> CodeModel:
    own = {"levels": (3, 4)} if kind is FSQ else {"codes": 7, "width": 3}
    model = kind(spec, **{**SMALL, **own, "likelihood": "categorical", **options})
    rng = np.random.RandomState(1)
    model.prior.head.kernel.assign(rng.normal(scale=0.5, size=model.prior.head.kernel.shape))
    return model


@pytest.mark.parametrize("kind", [FSQ, VQ])
def test_codes_and_their_vectors_are_decoded_alike(kind: type[CodeModel]) -> None:
    model = made(kind)
    model.scale.mean.assign([0.3] * model.quantizer.width)
    model.scale.variance.assign([0.5] * model.quantizer.width)
    codes = model.codes(X)
    assert tuple(codes.shape) == (6, 3, 2)
    assert 0 <= array(codes).min() <= array(codes).max() < model.quantizer.codes
    z = model.encode(X)
    assert tuple(z.shape[1:]) == model.latent.shape == (3, 2, model.quantizer.width)
    np.testing.assert_allclose(array(model.decode(z)), array(model.decode_codes(codes)), atol=1e-6)
    np.testing.assert_allclose(array(model.decode(z + 1e-3)), array(model.decode(z)), atol=1e-6)  # the nearest codes


@pytest.mark.parametrize("kind", [FSQ, VQ])
def test_a_description_is_the_codes_length_and_the_samples_given_them(kind: type[CodeModel]) -> None:
    """Written out: cross-entropies of the prior's letters, and of the levels under the decoder's logits."""
    model = made(kind)
    held = model.validate({"x": ops.convert_to_tensor(X), "label": LABEL, "index": ops.arange(6)})
    digits = model.quantizer.digits_of(model.codes(X))
    letters = array(digits).reshape(6, -1).astype("int32") + model.prior.firsts
    logits = array(model.prior.logits(ops.convert_to_tensor(letters), ops.convert_to_tensor(LABEL)))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    code = -np.take_along_axis(log_p, letters[..., None], -1).sum((1, 2))
    logits = array(model.decoder(model.quantizer.vectors(digits))).reshape(6, 5, 4, 1, 3)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    rest = -np.take_along_axis(log_p, np.round(2 * X).astype("int64")[..., None], -1).sum((1, 2, 3, 4))
    np.testing.assert_allclose(array(held["code_nats"]), code, rtol=1e-4)
    np.testing.assert_allclose(array(held["reconstruction"]), rest, rtol=1e-4)
    np.testing.assert_allclose(array(held["loss"]), code + rest, rtol=1e-4)
    np.testing.assert_allclose(array(held["bits"]), (code + rest) / (20 * np.log(2)), rtol=1e-4)
    np.testing.assert_allclose(array(model.log_prob(X, LABEL)), -(code + rest), rtol=1e-4)


@pytest.mark.parametrize("kind", [FSQ, VQ])
def test_a_description_is_a_bound(kind: type[CodeModel]) -> None:
    """The shares that it gives all 16 samples of 2×2 bits sum to less than 1, as those of no better code could not."""
    model = made(kind, DataSpec((2, 2, 1), levels=2))
    every = np.array(list(itertools.product([0.0, 1.0], repeat=4)), "float32").reshape(16, 2, 2, 1)
    total = np.exp(array(model.log_prob(every))).sum()
    assert 1e-3 < total < 1.0
    assert model.in_bits
    assert not made(kind, DataSpec((2, 2, 1), levels=2), likelihood="gaussian").in_bits


@pytest.mark.parametrize("shape", [(5,), (6, 2)])
def test_tables_and_signals_have_codes_of_places(shape: tuple[int, ...]) -> None:
    kind = "table" if len(shape) == 1 else "signal"
    model = made(FSQ, DataSpec(shape, kind, value_range=None), places=4, hidden=(8,), likelihood="gaussian")
    x = np.random.RandomState(2).normal(size=(3, *shape)).astype("float32")
    assert tuple(model.codes(x).shape) == (3, 4)
    assert tuple(model.decode_codes(model.codes(x)).shape) == (3, *shape)
    assert genloom.sample(model, 2).samples.shape == (2, *shape)


def test_codes_are_whole_under_bfloat16() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made(FSQ, levels=(31, 33))
        model.compile()
        model.fit(({"x": X, "label": LABEL} for _ in range(2)), steps_per_epoch=2, verbose=0)
        codes = model.codes(X)
        again = model.quantizer.index(model.quantizer.nearest(model.scale.unscaled(model.encode(X))))
        np.testing.assert_array_equal(array(codes), array(again))
        beyond = np.arange(257, 512, dtype="int32")  # bfloat16 counts to 256
        again = model.quantizer.index(model.quantizer.digits_of(ops.convert_to_tensor(beyond)))
        np.testing.assert_array_equal(array(again), beyond)
        assert np.isfinite(genloom.sample(model, 2).samples).all()
    finally:
        keras.config.set_dtype_policy(before)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"prior_heads=3 must divide prior_width=8"):
        made(FSQ, prior_heads=3)
    with pytest.raises(ConfigError, match=r"make 1e\+12 codes"):
        made(FSQ, levels=(1000,) * 4)
    with pytest.raises(ConfigError, match=r"data of known levels"):
        made(FSQ, DataSpec((5, 4, 1)))


def used(model: CodeModel) -> float:
    """Return the share of codes that some sample of the training digits has."""
    x = data.open("digits").train.take(np.arange(1297))["x"]
    return len(np.unique(array(model.codes(x)))) / model.quantizer.codes


@pytest.mark.parametrize(("kind", "least"), [(FSQ, 0.95), (VQ, 0.8)])
def test_a_short_training_uses_most_codes(kind: type[CodeModel], least: float) -> None:
    digits = data.open("digits")
    own: dict[str, Any] = {"levels": (4, 4, 3)} if kind is FSQ else {"codes": 48, "width": 4, "decay": 0.95}
    model = made(kind, digits.spec, channels=(16,), learning_rate=5e-3, likelihood="gaussian", **own)
    model.compile()
    model.fit(digits.train.take(np.arange(1280)), batch_size=64, epochs=3, shuffle=False, verbose=0)
    model.sync_state()
    assert used(model) >= least


@pytest.mark.quality
@pytest.mark.parametrize(("id", "most", "least"), [("vae/fsq", 2.30, 0.95), ("vae/vq", 2.24, 0.8)])
def test_digits_are_told_in_few_bits_by_codes_that_are_used(id: str, most: float, least: float, tmp_path: Path) -> None:
    """A Chow–Liu tree needs 2.21; so did `vae/vq` on PyTorch, and the bar leaves room for another engine's noise."""
    options = {"likelihood": "logistic-mixture", "conditional": False}
    run = genloom.train(id, "digits", preset="tiny", options=options, out=tmp_path / "run")
    results = {entry["name"]: entry["value"] for entry in genloom.evaluate(run)["results"]}
    share = used(genloom.load(run))
    print(f"\n{id}: {results['test_bits']:.3f} bits per value, {share:.1%} of the codes used")
    assert results["test_bits"] <= most
    assert share >= least
