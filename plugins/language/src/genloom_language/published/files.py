"""The files of published weights: configuration, tensors in one safetensors file or several, tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy the type bfloat16, in which most weights are published
import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError, nearest
from genloom.files import bounded
from genloom_language.published.config import Config
from genloom_language.published.target import HEAD, Target

__all__ = ["CONFIG", "TENSORS", "Tensors", "read_config", "read_json"]

CONFIG = "config.json"
TENSORS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_KINDS = ("F16", "BF16", "F32", "F64")
_AGAIN = "Fetch it again."
# Buffers of older files that hold no weights: masks and rates of turning.
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def read_config(folder: Path) -> Config:
    """Read a folder's config.json.

    Raises:
        DataError: no such folder or file, or it is no JSON object.
    """
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} is not a folder.", mend="Name one with config.json and model.safetensors.")
    return Config(read_json(folder / CONFIG), str(folder / CONFIG))


class Tensors:
    """The tensors of a folder, by their names without the format's prefix, each read when it is asked for.

    Args:
        folder: holds model.safetensors, or the files that model.safetensors.index.json names.
        prefix: what names begin with.

    Raises:
        DataError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self._homes: dict[str, tuple[Path, str]] = {}
        self._claims: dict[str, tuple[tuple[int, ...], str]] = {}
        for file in _files(folder):
            for name, claim in _claims(file).items():
                if not name.endswith(_BUFFERS):
                    self._homes[name.removeprefix(prefix)] = file, name
                    self._claims[name.removeprefix(prefix)] = claim

    def check(self, targets: Mapping[str, Target]) -> None:
        """Hold names, shapes and types against what a configuration asks for, before anything is read.

        Raises:
            DataError: a tensor that is missing, has no place, or has another shape or type.
        """
        for name, target in targets.items():
            if name not in self._claims:
                raise DataError(
                    f"{str(self.folder)!r} lacks the tensor {name!r}.{nearest(name, self._claims)}",
                    mend=f"Its {CONFIG} asks for it; fetch all files again.",
                )
            shape, kind = self._claims[name]
            if shape != target.shape or kind not in _KINDS:
                raise DataError(
                    f"The tensor {name!r} in {str(self.folder)!r} is {kind} of shape {shape}.",
                    mend=f"Its {CONFIG} asks for {target.shape}, as one of {', '.join(_KINDS)}.",
                )
        for name in self._claims:
            if name not in targets and name != HEAD:
                raise DataError(
                    f"{str(self.folder)!r} holds the tensor {name!r}, for which the model has no place.",
                    mend="Only the plain networks of GPT-2 and Llama can be read.",
                )

    def __contains__(self, name: str) -> bool:
        return name in self._homes

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Read a tensor as float32.

        Raises:
            DataError: it cannot be read, or holds values that are not finite.
        """
        from safetensors import SafetensorError, safe_open

        file, stored = self._homes[name]
        try:
            with safe_open(str(file), framework="numpy") as content:
                array: NDArray[np.float32] = content.get_tensor(stored).astype(np.float32)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{str(file)!r} cannot be read: {error}.", mend=_AGAIN) from error
        if not np.isfinite(array).all():
            raise DataError(f"The tensor {name!r} in {str(file)!r} holds values that are not finite.", mend=_AGAIN)
        return array


def _files(folder: Path) -> list[Path]:
    """Return the files with tensors."""
    if (folder / TENSORS).is_file():
        return [folder / TENSORS]
    if not (folder / _INDEX).is_file():
        raise DataError(
            f"{str(folder)!r} has neither {TENSORS} nor {_INDEX}.",
            mend="Weights are read from safetensors only: other files may hold code.",
        )
    shards = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise DataError(f"{str(folder / _INDEX)!r} has no weight_map of files.", mend=_AGAIN)
    names = sorted(set(shards.values()))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise DataError(f"{str(folder / _INDEX)!r} names {name!r}, which is not there.", mend="Fetch it, too.")
    return [folder / name for name in names]


def _claims(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of a file's tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as content:
            slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
            return {name: (tuple(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}.", mend=_AGAIN) from error


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: it is absent, no JSON, or no object.
    """
    try:
        content = bounded.parsed(bounded.content(file))
    except (OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}.", mend=_AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{str(file)!r} is no JSON object.", mend=_AGAIN)
    return content
