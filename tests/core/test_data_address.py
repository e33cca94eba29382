"""Addresses name data once and for all: options in them or beside them, parsed by type, kept for the next opening."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genloom import data
from genloom.builtin.datasets import COMPONENTS
from genloom.data.address import Address
from genloom.errors import ConfigError, DataError, NotFoundError

pytestmark = pytest.mark.any_engine


@pytest.mark.parametrize(
    ("text", "scheme", "rest", "options"),
    [
        ("digits", "digits", "", {}),
        ("toy:8-ring?sigma=0.1&n=50", "toy", "8-ring", {"sigma": "0.1", "n": "50"}),
        ("images:C:/pictures", "images", "C:/pictures", {}),
        ("npz:what?.npz", "npz", "what?.npz", {}),
        ("images:a?b?size=3", "images", "a?b", {"size": "3"}),
    ],
)
def test_addresses_are_taken_apart(text, scheme, rest, options):
    assert Address.parse(text) == Address(scheme, rest, options)


@pytest.mark.parametrize("text", ["toy:8-ring?sigma=", "toy:8-ring?=3", "toy:8-ring?a=1&b"])
def test_options_without_a_value(text):
    with pytest.raises(DataError, match="is not an option"):
        Address.parse(text)


def test_a_plain_path_says_which_scheme_to_write(tmp_path):
    with pytest.raises(DataError, match=f"images:{tmp_path}"):
        Address.parse(str(tmp_path))
    with pytest.raises(DataError, match=r"npz:x/y.npz"):
        Address.parse("x/y.npz")
    for name, advice in (
        ("a.npy", r"Save its numbers, numpy\.savez\('.*a\.npz', x=array\), then write 'npz:.*a\.npz'; or see"),
        ("b.csv", r"Save its numbers, numpy\.savez"),
        ("f.PNG", rf"the folder that the pictures are in, 'images:{tmp_path}'\."),
        ("c.txt", r"such as 'text:.*c\.txt'\."),
        ("d.jsonl", r"such as 'jsonl:.*d\.jsonl'\."),
        ("e", r"Save its numbers, numpy\.savez"),
    ):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=advice):
            Address.parse(str(tmp_path / name))
    with pytest.raises(DataError, match="'npz:FILE' or 'images:FOLDER'; see: genloom list datasets"):
        Address.parse("absent.csv")
    with pytest.raises(DataError, match="such as 'digits'"):
        Address.parse("")


def test_options_beside_the_address_win_and_are_kept():
    opened = data.open("toy:8-ring?sigma=0.1&n=50", n=20)
    assert (len(opened.train), opened.density.sigma) == (20, 0.1)
    assert opened.address == "toy:8-ring?n=20&sigma=0.1"
    again = data.open(opened.address)
    assert again.fingerprint == opened.fingerprint
    assert again.address == opened.address


def test_text_and_values_mean_the_same(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    text = data.open(f"images:{tmp_path}?size=4,6&channels=1")
    values = data.open(f"images:{tmp_path}", size=(4, 6), channels=1)
    assert text.spec.shape == values.spec.shape == (4, 6, 1)
    assert (text.address, text.fingerprint) == (values.address, values.fingerprint)
    assert data.open(f"images:{tmp_path}", size=4).spec.shape == (4, 4, 3)


def test_wrong_options_and_schemes_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean 'toy\?sigma'"):
        data.open("toy:8-ring?sgima=1")
    with pytest.raises(ConfigError, match=r"'toy\?n' needs a whole number, got 'many'"):
        data.open("toy:8-ring?n=many")
    with pytest.raises(ConfigError, match="digits takes no options, got size"):
        data.open("digits?size=4")
    with pytest.raises(ConfigError, match=r"channels.*2"):
        data.open(f"images:{tmp_path}?channels=2")
    with pytest.raises(NotFoundError, match="Did you mean 'digits'"):
        data.open("digit")


def test_every_source_can_be_loaded():
    assert [component.id for component in COMPONENTS] == [
        "digits",
        "mnist",
        "fashion_mnist",
        "idx",
        "images",
        "npz",
        "files",
        "toy",
    ]
    assert all(callable(component.load()) for component in COMPONENTS)


def test_describing_the_sources_imports_no_library():
    program = (
        "import sys, genloom.data, genloom.builtin.datasets\n"
        "heavy = {'numpy', 'PIL', 'grain', 'sklearn', 'scipy', 'keras', 'jax', 'torch', 'tensorflow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_opening_imports_no_engine():
    program = (
        "import sys, genloom.data as data\n"
        "data.open('digits'), data.open('toy:8-ring')\n"
        "print(sorted({'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
