"""Data without a value range are standardised: by the training samples, in float64, undone exactly, kept by runs."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec, data
from genloom.data import ArraySplit, Dataset
from genloom.data.agreement import check_units
from genloom.data.check import check
from genloom.data.standardising import in_units_of, moments, standardised
from genloom.errors import ConfigError, DataError

COLUMNS = DataSpec((3,), kind="table", value_range=None, mean=(25_229.0, -0.5, 7.0), scale=(13_300.0, 0.01, 0.0))


def save(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def columns(n: int = 200) -> np.ndarray:
    """Columns of mean 25,229 and deviation 13,300, of tiny values, and of one value."""
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(25_229, 13_300, n), rng.normal(-0.5, 0.01, n), np.full(n, 7.0)], axis=1)


def test_opened_data_carry_the_mean_and_deviation_of_their_training_samples(tmp_path):
    x, x_test = columns(), columns() + 1e6
    spec = data.open(save(tmp_path, x=x, x_test=x_test)).spec
    stored = x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(spec.mean, stored.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(spec.scale[:2], stored.std(axis=0)[:2], rtol=1e-12)
    assert spec.scale[2] == 0.0  # a constant column is divided by nothing


@pytest.mark.parametrize("make", [np.asarray, ops.convert_to_tensor])
def test_the_round_trip_is_exact_to_float32(make):
    x = columns().astype(np.float32)
    z = COLUMNS.normalise(make(x))
    back = ops.convert_to_numpy(COLUMNS.denormalise(z))
    z = ops.convert_to_numpy(z)
    assert z.dtype == np.float32
    assert np.abs(z[:, :2].mean(axis=0)).max() < 0.25 and np.abs(z[:, :2].std(axis=0) - 1).max() < 0.15
    assert np.abs((back - x) / COLUMNS.divisors).max() < 1e-5  # rounding, in deviations: 50 of them lie below -0.5


@pytest.mark.parametrize("make", [np.asarray, ops.convert_to_tensor])
def test_a_constant_column_comes_back_exactly_whatever_a_model_drew(make):
    drawn = ops.convert_to_numpy(COLUMNS.denormalise(make(np.array([[0.0, 0.0, 0.55], [1.0, 1.0, -3.0]], np.float32))))
    np.testing.assert_array_equal(drawn[:, 2], 7.0)
    assert drawn[0, 0] != drawn[1, 0]


@pytest.mark.parametrize("model", ["vae/mlp", "gan/mlp", "diffusion/ddpm"])
def test_every_family_draws_a_constant_column_exactly(model):
    x = columns().astype(np.float32)
    x[:, 2] = 0.1  # no sum of fractions of two
    samples = genloom.sample(genloom.create(model, data.open(x).spec), 8).samples
    np.testing.assert_array_equal(samples[:, 2], np.float32(0.1))
    assert samples[:, 0].std() > 0


def test_flat_samples_are_standardised_by_channel():
    spec = DataSpec((4, 5, 2), value_range=None, mean=(10.0, -10.0), scale=(2.0, 4.0))
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    flat = spec.normalise(x.reshape(3, -1))
    np.testing.assert_array_equal(flat.reshape(x.shape), spec.normalise(x))
    np.testing.assert_allclose(spec.normalise(x)[..., 1], (x[..., 1] + 10) / 4, rtol=1e-6)


def test_the_volume_is_the_determinant_of_the_map():
    assert COLUMNS.log_volume == pytest.approx(np.log(13_300 * 0.01))
    picture = DataSpec((4, 5, 2), value_range=None, mean=(0.0, 0.0), scale=(2.0, 4.0))
    assert picture.log_volume == pytest.approx(20 * np.log(8))
    assert DataSpec((3,), value_range=(0.0, 4.0)).log_volume == pytest.approx(3 * np.log(2))


def test_moments_are_the_same_in_chunks_and_keep_digits_beside_a_large_mean(monkeypatch):
    x = (np.random.default_rng(0).integers(0, 2, (1000, 2)) * 2 + 1e6).astype(np.float32)
    spec = DataSpec((2,), kind="signal", value_range=None)
    monkeypatch.setattr("genloom.data.standardising._VALUES", 14)
    mean, scale = moments(ArraySplit(x), spec, "x")
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(scale, x.astype(np.float64).std(axis=0), rtol=1e-9)


def test_a_source_with_nan_is_refused_with_counts():
    x = columns().astype(np.float32)
    x[[3, 5], 0] = np.nan, np.inf
    spec = DataSpec((3,), kind="table", value_range=None)
    broken = Dataset("mine", spec, ArraySplit(x), ArraySplit(x[:2]), "0" * 16)
    with pytest.raises(DataError, match="mine has NaN or infinite values in 2 of 200 training samples"):
        standardised(broken)


def test_numbers_that_float32_cannot_hold_are_refused(tmp_path):
    x = columns()
    x[4, 1] = 1e300
    with pytest.raises(DataError, match=r"infinite values in 1 of 200 rows, first in row 4\..*float32 ends at 3.4e38"):
        data.open(save(tmp_path, x=x))


def test_bounded_data_and_what_are_no_amounts_stay_as_they_are():
    assert data.open("digits").spec.scale == ()
    tokens = DataSpec((4,), kind="text", dtype="int32", value_range=None, vocabulary=9)
    notes = DataSpec((4,), kind="music", value_range=None)
    for spec in (tokens, notes):
        unchanged = Dataset("names", spec, ArraySplit(np.zeros((4, 4))), ArraySplit(np.zeros((4, 4))), "0" * 16)
        assert standardised(unchanged) is unchanged
    assert tokens.normalise(3) == 3


def test_the_fingerprint_does_not_know_of_the_scale(tmp_path):
    from genloom.data.sources.npz import open_npz

    address = save(tmp_path, x=columns())
    assert data.open(address).fingerprint == open_npz(address.partition(":")[2]).fingerprint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value_range": (0.0, 1.0), "mean": (0.0,), "scale": (1.0,)}, "have no mean and scale"),
        ({"mean": (0.0, 0.0), "scale": (1.0,)}, "mean and scale have 2 and 1 entries"),
        ({"mean": (0.0,), "scale": (-1.0,)}, "mean must be finite and scale 0 or more"),
        ({"mean": (float("nan"),), "scale": (1.0,)}, "mean must be finite and scale 0 or more"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        DataSpec(**{"shape": (1,), "kind": "signal", "value_range": None, **changes})


def test_a_spec_keeps_its_scale_in_plain_values_and_loses_it_with_its_range():
    assert DataSpec.from_dict(COLUMNS.to_dict()) == COLUMNS
    assert "scale" not in DataSpec((3,), value_range=None).to_dict()  # as runs from before have it
    assert COLUMNS.replace(value_range=(0.0, 1.0)).scale == ()
    assert COLUMNS.replace(classes=2).scale == COLUMNS.scale


def test_units_of_a_run_win_over_those_of_new_data():
    new = Dataset("new", COLUMNS, ArraySplit(columns()), ArraySplit(columns()), "0" * 16)
    old = dataclasses.replace(COLUMNS, mean=(0.0, 0.0, 0.0), scale=(1.0, 2.0, 3.0))
    assert in_units_of(new, old).spec == old
    before = dataclasses.replace(COLUMNS, mean=(), scale=())
    assert in_units_of(new, before).spec == before
    assert in_units_of(new, DataSpec((2,), value_range=None)) is new


@pytest.mark.any_engine
def test_check_says_what_will_be_done(tmp_path):
    found = check(save(tmp_path, x=columns()))
    assert found["spec"]["scale"][2] == 0.0
    assert found["treatment"] == (
        "Unbounded: models see (x - mean) / deviation of each column (0: 25199 ± 12203, 1: -0.50149 ± 0.0098869), "
        "samples are in x's units. One value only, which samples have exactly: column 2."
    )
    assert check("digits")["treatment"] == "Values from 0 to 1, 17 levels: models see them from -1 to 1."


@pytest.mark.any_engine
def test_a_resumed_run_keeps_the_units_it_began_with(tmp_path):
    """One from before data were standardised goes on as it was; a new one keeps its scale."""
    from genloom.runs import manifest, open_run

    x = columns()
    address, out = save(tmp_path, x=x), tmp_path / "run"
    quiet = {"sample_every": 0, "progress": "none", "batch_size": 20, "out": out}
    run = genloom.train("vae/mlp", address, options={"latent": 1, "hidden": (4,)}, steps=2, **quiet)
    scale = run.config["data"]["spec"]["scale"]
    assert genloom.train("vae/mlp", address, steps=3, resume=True, **quiet).config["data"]["spec"]["scale"] == scale
    assert list(genloom.load(run).spec.scale) == scale

    stated = {name: value for name, value in run.config["data"]["spec"].items() if name not in ("mean", "scale")}
    run.write_config({**run.config, "data": {**run.config["data"], "spec": stated}})
    content = manifest.read(run.latest())
    del content["sealed"]  # a checkpoint of that time knew nothing of run.toml
    (run.latest() / manifest.MANIFEST).write_bytes(manifest.seal(content))
    old = genloom.train("vae/mlp", address, steps=4, resume=True, **quiet)
    assert "scale" not in open_run(old.path).config["data"]["spec"]
    assert genloom.load(old).spec.scale == ()
    assert np.abs(genloom.sample(old, 4).samples).max() < 1e3  # its own units


@pytest.mark.any_engine
def test_fine_tuning_keeps_the_units_of_its_beginning_and_refuses_others(tmp_path, capsys):
    quiet = {"sample_every": 0, "progress": "none", "batch_size": 20, "steps": 2}
    first = genloom.train(
        "vae/mlp", save(tmp_path, x=columns()), options={"latent": 1, "hidden": (4,)}, out=tmp_path / "a", **quiet
    )
    (tmp_path / "b").mkdir()
    other = save(tmp_path / "b", x=columns() + np.array([13_300.0, 0.0, 0.0]))
    second = genloom.train("vae/mlp", other, init_from=first.path, out=tmp_path / "c", **quiet)
    assert second.config["data"]["spec"]["scale"] == first.config["data"]["spec"]["scale"]
    said = [line for line in capsys.readouterr().err.splitlines() if "is scaled as" in line]
    assert len(said) == 1 and "column 0 has 3.85e+04 ± 1.22e+04 instead of 2.52e+04" in said[0]
    far = save(tmp_path / "b", x=columns() + np.array([1e6, 0.1, 0.0]))
    with pytest.raises(
        ConfigError, match=r"column 0 has .* instead of .*, column 1 has -0\.4015 ± .* instead of -0\.5"
    ):
        genloom.train("vae/mlp", far, init_from=first.path, out=tmp_path / "d", **quiet)
    assert not (tmp_path / "d").exists()
    asked = {"init_from": first.path, "out": tmp_path / "c", "resume": True, "dry_run": True, **quiet}
    with pytest.raises(DataError, match="changed since the run"):
        genloom.train("vae/mlp", far, **asked)
    again = save(tmp_path / "b", x=columns() + np.array([13_300.0, 0.0, 0.0]))
    assert genloom.train("vae/mlp", again, **asked)  # what was begun goes on


@pytest.mark.parametrize(
    ("mean", "scale", "refused"),
    [
        ((2.9,), (1.1,), False),
        ((-3.1,), (1.1,), True),
        ((0.0,), (3.1,), True),
        ((0.0,), (0.3,), True),
    ],
)
def test_units_are_others_three_deviations_away_or_three_times_as_wide(mean, scale, refused):
    kept = DataSpec((1,), "table", value_range=None, mean=(0.0,), scale=(1.01,))
    new = kept.replace(mean=mean, scale=scale)
    with pytest.raises(ConfigError, match="new has other units than 'run'") if refused else nullcontext():
        check_units("new", new, kept, "'run'")


def test_a_constant_is_not_narrower_than_what_varies():
    kept = DataSpec((1,), "table", value_range=None, mean=(0.0,), scale=(13_300.0,))
    for constant in (0.0, 1.0):  # 1 in runs from before
        check_units("new", kept.replace(scale=(constant,)), kept, "'run'")
    with pytest.raises(ConfigError, match="new has other units than 'run'"):
        check_units("new", kept.replace(scale=(1.5,)), kept, "'run'")


@pytest.mark.parametrize(("mean", "scale"), [((2.0,), (0.0,)), ((1.0,), (0.1,))])
def test_what_was_constant_goes_on_as_that_value_only(mean, scale):
    kept = DataSpec((1,), "table", value_range=None, mean=(1.0,), scale=(0.0,))
    check_units("new", kept, kept, "'run'")
    with pytest.raises(ConfigError, match=r"column 0 has .* instead of 1 ± 0"):
        check_units("new", kept.replace(mean=mean, scale=scale), kept, "'run'")


def test_check_warns_of_a_mean_that_float32_drowns_in(tmp_path):
    x = columns()
    x[:, 1] += 1e4
    assert check(save(tmp_path, x=x))["warnings"] == [
        "In column 1 the mean is so large that float32 keeps few digits of the variation; subtract it first."
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize("own", [True, False])
def test_a_model_object_without_a_scale_is_told(tmp_path, capsys, own):
    dataset = data.open(columns())
    spec = dataset.spec if own else dataset.spec.replace(mean=(), scale=())
    model = genloom.create("vae/mlp", spec, latent=1, hidden=(4,), compile=False)
    genloom.train(model, dataset, steps=1, batch_size=20, sample_every=0, progress="none", out=tmp_path / "run")
    assert ("the model's spec has no mean and scale" in capsys.readouterr().err) is not own
