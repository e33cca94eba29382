"""`mnist` and `fashion_mnist`: Keras's own download and cache, so that there is one copy on a machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genloom.data.dataset import Dataset
from genloom.data.sources.assemble import assemble
from genloom.data.spec import DataSpec
from genloom.errors import DataError

__all__ = ["fetch", "open_fashion_mnist", "open_mnist"]

CLOTHING = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
#: Where Keras has Fashion-MNIST from, and the MD5 sums that its authors publish; Keras itself checks MNIST alone.
FASHION_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
FASHION_SUMS = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def open_mnist(rest: str = "") -> Dataset:
    """Open MNIST: 60,000 train and 10,000 test pictures, 28×28×1 in [0, 1].

    Source: LeCun, Cortes and Burges, CC BY-SA 3.0.

    Raises:
        DataError: the download failed or the cached file is broken; anything after the colon.
    """
    return _open("mnist", tuple("0123456789"), "LeCun, Cortes, Burges; CC BY-SA 3.0.", rest)


def open_fashion_mnist(rest: str = "") -> Dataset:
    """Open Fashion-MNIST: 60,000 train and 10,000 test pictures, 28×28×1 in [0, 1].

    Source: Xiao, Rasul and Vollgraf, MIT.

    Raises:
        DataError: the download failed or the cached file is broken; anything after the colon.
    """
    return _open("fashion_mnist", CLOTHING, "Xiao, Rasul, Vollgraf; MIT.", rest)


def _open(name: str, class_names: tuple[str, ...], note: str, extra: Any) -> Dataset:
    if extra:
        raise DataError(f"{name} takes nothing after it, got {extra!r}.", mend=f"Write {name}.")
    (x, label), (x_test, label_test) = _load(name)
    spec = DataSpec((28, 28, 1), classes=10, class_names=class_names, levels=256)
    train = x[..., None], label.astype(np.int32)
    test = x_test[..., None], label_test.astype(np.int32)
    return assemble(name, spec, train, test, divisor=255, notes=(note,))


def fetch(sums: Mapping[str, str], origin: str, folder: str, cache: Path | None = None) -> None:
    """Bring files into Keras's cache; one that is there with another sum, as a download cut off is, is fetched anew.

    Args:
        sums: MD5 sum in hexadecimal by file name.
        origin: the address that a file's name goes after.
        folder: of the cache, such as "datasets/fashion-mnist".
        cache: Keras's own (`~/.keras`) by default.

    Raises:
        Exception: Keras's own, for a download that failed or has another sum.
    """
    import keras

    where = None if cache is None else str(cache)
    for name, md5 in sums.items():
        keras.utils.get_file(
            name, origin + name, cache_subdir=folder, file_hash=md5, hash_algorithm="md5", cache_dir=where
        )


def _load(name: str) -> Any:
    import keras

    try:
        # Keras prints its progress bar on stdout, which belongs to the command's own output.
        with contextlib.redirect_stdout(sys.stderr):
            if name == "fashion_mnist":
                fetch(FASHION_SUMS, FASHION_ORIGIN, "datasets/fashion-mnist")
            return getattr(keras.datasets, name).load_data()
    except Exception as error:  # get_file raises bare Exception for a failed download
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name} could not be read through Keras: {reason}",
            mend="Check the network, delete a broken file in ~/.keras/datasets, or use idx:DIR with files you have.",
        ) from error
