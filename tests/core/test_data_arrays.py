"""Python's own arrays where an address is: the same data set as a file of them, and a run that goes on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import data
from genloom.data.check import check
from genloom.errors import ConfigError, DataError

X = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
NUMBERS = np.arange(20) % 3
NAMES = np.array(["owl", "cat", "dog"])[NUMBERS]
QUIET: dict[str, Any] = {"sample_every": 0, "progress": "none", "batch_size": 5}


@pytest.mark.parametrize(
    "label",
    [NUMBERS, NUMBERS[:, None], NAMES, NAMES.tolist(), NAMES.astype(object), NUMBERS.astype(object), NUMBERS == 1],
)
def test_arrays_are_what_a_file_of_them_is(tmp_path: Path, label: Any) -> None:
    opened = data.open((X, label))
    np.savez(tmp_path / "data.npz", x=X, label=np.asarray(np.asarray(label).tolist()))
    stored = data.open(f"npz:{tmp_path / 'data.npz'}")
    assert opened.fingerprint == stored.fingerprint
    assert opened.spec == stored.spec
    assert opened.address == "arrays"
    np.testing.assert_array_equal(opened.test.arrays()["x"], (X[[9, 19]] / 255).astype(np.float32))


def test_every_form_that_arrays_come_in() -> None:
    plain = data.open(X)
    assert plain.spec.classes == 0
    assert data.open(X.tolist(), value_range=(0, 255)).spec.shape == (4, 4, 3)
    assert data.open({"x": X}).fingerprint == plain.fingerprint
    assert data.open((X, None)).fingerprint == plain.fingerprint
    assert data.open(ops.convert_to_tensor(X)).fingerprint == plain.fingerprint
    assert data.open(plain) is plain
    both = data.open(((X, NUMBERS), (X[:4], NUMBERS[:4])))
    assert (len(both.train), len(both.test)) == (20, 4)
    assert check((X, NAMES))["train"]["classes"] == {"cat": 6, "dog": 6, "owl": 6}


WHOLE = ["int16", "uint16", ">u2", "int32", "uint32", "int64", "uint64"]
BROKEN = ["float16", "float32", ">f4", "float64", "longdouble"]


@pytest.mark.parametrize("source", ["arrays", "npz"])
@pytest.mark.parametrize("dtype", ["uint8", *WHOLE, *BROKEN])
def test_a_picture_is_the_same_in_any_type_of_number(dtype: str, source: str, tmp_path: Path) -> None:
    """Bytes in another type stay between 0 and 255; a model sees the same values from -1 to 1."""
    given: Any = X.astype(dtype)
    if source == "npz":
        np.savez(tmp_path / "data.npz", x=given)
        given = f"npz:{tmp_path / 'data.npz'}"
    opened = data.open(given)
    assert opened.spec.value_range == ((0.0, 1.0) if dtype == "uint8" else (0.0, 255.0))
    taken = opened.train.arrays()["x"]
    assert taken.dtype == np.dtype(np.float32)
    np.testing.assert_allclose(opened.spec.normalise(taken), np.delete(X, [9, 19], axis=0) / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "scale", "shift", "bounds"),
    [
        *((dtype, 257, 0, None) for dtype in ("uint16", "int32", "int64", "float32", "float64")),
        *((dtype, 1, -128, None) for dtype in ("int8", "int16", "float64")),
        *((dtype, 1 / 255, 0, (0.0, 1.0)) for dtype in BROKEN),
        *((dtype, 1 / 127.5, -1, (-1.0, 1.0)) for dtype in BROKEN),
        ("complex64", 1, 0, None),
    ],
)
def test_the_range_of_pictures_is_known_or_asked_for(dtype: str, scale: float, shift: float, bounds: Any) -> None:
    x = (X.astype(np.float64) * scale + shift).astype(dtype)
    if bounds is None:
        with pytest.raises(
            DataError, match=r"pictures have values from .* value_range=\(lowest, highest\)|x holds complex64"
        ):
            data.open(x)
    else:
        assert data.open(x).spec.value_range == bounds


def test_false_and_true_are_the_classes_0_and_1() -> None:
    opened = data.open((X, NUMBERS == 1))
    assert opened.spec.classes == 2
    np.testing.assert_array_equal(opened.train.arrays()["label"], np.delete(NUMBERS == 1, [9, 19]).astype(int))


@pytest.mark.parametrize("path", [Path("x.npz"), "x.npz"])
def test_a_path_is_no_address(path: Any) -> None:
    with pytest.raises(DataError, match=r"'x\.npz' is not a data address\. .* such as 'npz:x\.npz'\."):
        data.open(path)


def test_names_are_classes_sorted_as_text_or_as_they_are_listed() -> None:
    spec = data.open((X, NAMES)).spec
    assert (spec.class_names, spec.condition) == (("cat", "dog", "owl"), ("label",))
    listed = data.open((X, NAMES), class_names=("owl", "cat", "dog", "fox"))
    assert listed.spec.classes == 4
    assert listed.spec.class_frequencies == pytest.approx((7 / 18, 6 / 18, 5 / 18, 0), abs=0.06)
    np.testing.assert_array_equal(listed.train.arrays()["label"], np.delete(NUMBERS, [9, 19]))
    assert data.open((X, NUMBERS), classes=10).spec.classes == 10


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ((X, NUMBERS, NUMBERS), {}, r"A tuple of 3 is not data\. Give \(x, label\)"),
        ({"x": X, "y": NUMBERS}, {}, "arrays has the unknown key 'y'"),
        ([[1, 2], [3]], {}, "arrays: x of type list is not an array"),
        (None, {}, "^None is not data"),
        (np.array([object(), 1]), {}, r"arrays: x holds int, object\. Give numbers only, or text only"),
        ((X, [1, "cat"] * 10), {}, r"arrays: label holds int, str\. Give numbers only"),
        ((X, np.array([1, None] * 10)), {}, "arrays: label holds NoneType, int"),
        ((X, NAMES), {"class_names": ("owl", "cat")}, r"label has dog, which class_names does not have\. Names: owl"),
        ((X, NUMBERS), {"classes": 2}, "labels up to 2 and 0 class names, for 2 classes"),
        ((X, NUMBERS), {"classes": 4, "class_names": ("a", "b", "c")}, "labels up to 2 and 3 class names, for 4"),
        ((X, NAMES), {"class_names": ("owl", "owl")}, "class_names has a name twice"),
        ((X, ["cat", ""] * 10), {}, r"arrays has an empty class name among \['', 'cat'\]"),
        ((X, NUMBERS), {"class_names": ("a", " ", "c")}, "arrays has an empty class name among"),
        (X[:0], {}, r"arrays: x has no samples, its shape is \(0, 4, 4, 3\)\. At least two are needed\."),
        (X * 3.0, {}, r"to 765\. Give genloom\.data\.open\(x, value_range=\(lowest, highest\)\) in place of x\."),
        (X, {"classes": 3}, "arrays has classes but no labels"),
        ((X, np.eye(3)[NUMBERS]), {}, r"labels of shape \(20, 3\)"),
    ],
)
def test_arrays_that_do_not_fit(given: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.open(given, **options)


def test_options_are_checked_and_an_open_data_set_takes_none() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'classes'"):
        data.open((X, NUMBERS), clases=3)
    with pytest.raises(ConfigError, match=r"arrays is open already; it takes no options, got test\."):
        data.open(data.open(X), test=0.5)


@pytest.mark.any_engine
def test_a_run_on_arrays_resumes_and_is_measured_with_the_same_ones(tmp_path: Path) -> None:
    out, x, names = tmp_path / "run", np.tile(X, (4, 1, 1, 1)), np.tile(NAMES, 4)
    options = {"latent": 2, "hidden": (4,)}
    run = genloom.train("vae/mlp", (x, names), options=options, steps=2, out=out, **QUIET)
    assert genloom.train("vae/mlp", (x, names), steps=4, out=out, resume=True, **QUIET).latest().name.endswith("4")
    with pytest.raises(ConfigError, match="The data at 'arrays' changed since the run"):
        genloom.train("vae/mlp", (x + 1, names), steps=5, out=out, resume=True, **QUIET)
    with pytest.raises(DataError, match=r"arrays that were passed in Python.*genloom\.evaluate\(run, dataset="):
        genloom.evaluate(run, ["precision"])
    found = genloom.evaluate(run, ["precision"], n=8, dataset=(x, names))
    assert found["data"] == "arrays"
    with pytest.raises(DataError, match="The data given, 'arrays', are not those of the training, 'arrays': fingerpri"):
        genloom.evaluate(run, ["precision"], n=8, dataset=x)

    assert genloom.sample(run, 3, condition={"label": "dog"}).labels.tolist() == [1, 1, 1]
    assert genloom.sample(run, 3, condition={"label": ["dog", "cat", 2]}).labels.tolist() == [1, 0, 2]
    assert genloom.sample(run, 2, condition={"label": np.array(["owl", "cat"])}).labels.tolist() == [2, 0]
    with pytest.raises(ConfigError, match=r"no class 'dgo'\. Did you mean 'dog'\? Use 0 to 2 or cat, dog, owl\."):
        genloom.sample(run, 1, condition={"label": "dgo"})
    assert genloom.sample(run, 2, condition={"label": np.array([2, 0])}).labels.tolist() == [2, 0]


@pytest.mark.any_engine
def test_a_training_on_bytes_that_are_masks_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"options": {"latent": 2, "hidden": (4,)}, "steps": 1, **QUIET}
    genloom.train("vae/mlp", X % 2, out=tmp_path / "masks", **options)
    assert "values run from 0 to 0.003922, less than a tenth of the range 0 to 1" in capfd.readouterr().err
    genloom.train("vae/mlp", X, out=tmp_path / "pictures", **options)
    assert "less than a tenth" not in capfd.readouterr().err


@pytest.mark.any_engine
def test_codes_are_data_with_the_same_classes(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from genloom.cli.encode import encode

    np.savez(tmp_path / "data.npz", x=X, label=NAMES)
    address, out = f"npz:{tmp_path / 'data.npz'}", tmp_path / "z.npz"
    options = {"latent": 2, "hidden": (4,)}
    run = genloom.train("vae/mlp", address, options=options, steps=2, out=tmp_path / "run", **QUIET)
    done = CliRunner().invoke(encode, [str(run.path), "--data", address, "--out", str(out)])
    assert done.exit_code == 0, done.output
    codes = data.open(f"npz:{out}")
    assert codes.spec.class_names == ("cat", "dog", "owl")
    assert len(codes.spec.scale) == 2  # unbounded, and so standardised for what is trained on them
