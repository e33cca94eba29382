"""The core's own data sources, described for the registry without importing any of them."""

from __future__ import annotations

from genloom.data.options import ArraysOptions, ImagesOptions, ToyOptions
from genloom.plugins.offers import Component

__all__ = ["COMPONENTS"]

_SOURCES = "genloom.data.sources"

COMPONENTS = (
    Component(
        "dataset",
        "digits",
        f"{_SOURCES}.digits:open_digits",
        "1,797 handwritten digits, 8×8 grey, embedded in scikit-learn; no download",
    ),
    Component(
        "dataset",
        "mnist",
        f"{_SOURCES}.keras_sets:open_mnist",
        "70,000 handwritten digits, 28×28 grey; downloaded and cached by Keras",
    ),
    Component(
        "dataset",
        "fashion_mnist",
        f"{_SOURCES}.keras_sets:open_fashion_mnist",
        "70,000 pieces of clothing, 28×28 grey; downloaded and cached by Keras",
    ),
    Component(
        "dataset",
        "idx",
        f"{_SOURCES}.idx:open_idx",
        "idx:DIR, pictures and labels in MNIST's own files",
    ),
    Component(
        "dataset",
        "images",
        f"{_SOURCES}.images:open_images",
        "images:DIR, a folder of pictures or of class folders, read as they are needed",
        options=ImagesOptions,
    ),
    Component(
        "dataset",
        "npz",
        f"{_SOURCES}.npz:open_npz",
        "npz:FILE, arrays x, label, x_test, label_test, class_names",
        options=ArraysOptions,
        endings=(".npz",),
    ),
    Component(
        "dataset",
        "files",
        f"{_SOURCES}.files:open_files",
        "files:PATH, a file, a folder of files or of class folders, of a kind that says how it is read",
        options=ArraysOptions,
    ),
    Component(
        "dataset",
        "toy",
        f"{_SOURCES}.toy:open_toy",
        "toy:8-ring, 25-grid, swiss-roll, two-moons, pinwheel: points of the plane; shapes: pictures of known factors",
        options=ToyOptions,
    ),
)
