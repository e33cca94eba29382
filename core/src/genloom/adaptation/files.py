"""Adapters alone: a file of some kilobytes that turns a model that many share into one's own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from genloom.adaptation.lora import LINEAR, LoRA, attach, matrix_shape
from genloom.errors import ConfigError, DataError
from genloom.naming import own_layers
from genloom.runs.files import write_atomic

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["load_adapters", "save_adapters"]

_FORMAT = "genloom-lora-1"


def save_adapters(model: GenerativeModel, file: str | Path) -> Path:
    """Write what a model's adapters learned, and nothing else of it, as safetensors.

    Raises:
        ConfigError: the model has no adapters.
    """
    from safetensors.numpy import save

    adapters: dict[str, LoRA] = dict(getattr(model, "adapters", None) or {})
    if not adapters:
        raise ConfigError("This model has no adapters to save.", mend="Call adapt(model, LoRAOptions()) first.")
    arrays, scales = {}, {}
    for name, adapter in adapters.items():
        scales[name] = adapter.scale
        for part in ("a", "b"):
            arrays[f"{name}/{part}"] = np.ascontiguousarray(ops.convert_to_numpy(getattr(adapter, part).value))
    path = Path(file)
    write_atomic(path, save(arrays, metadata={"format": _FORMAT, "scales": json.dumps(scales)}))
    return path


def load_adapters(model: GenerativeModel, *files: str | Path, weights: Sequence[float] | None = None) -> None:
    """Freeze a model and give it what one file or several hold: W + Σ wᵢ sᵢ Bᵢ Aᵢ, as one adapter of all their ranks.

    Args:
        model: the one that the adapters were trained on, not adapted itself.
        *files: written by `save_adapters`.
        weights: wᵢ, 1 for each by default; a negative one takes away what an adapter brought.

    Raises:
        ConfigError: no file, another number of weights, or layers that the model does not have.
        DataError: a file that cannot be read.
    """
    shares = [1.0] * len(files) if weights is None else [float(weight) for weight in weights]
    if not files or len(shares) != len(files):
        raise ConfigError(f"{len(files)} files of adapters got {len(shares)} weights.", mend="Give one for each file.")
    read = [_read(file) for file in files]
    layers = dict(own_layers(model))
    adapters = {}
    for name in sorted({name for terms in read for name in terms}):
        path = name.replace(".", "/")
        found = [(share, terms[name]) for share, terms in zip(shares, read, strict=True) if name in terms]
        a = np.concatenate([term.a for _, term in found], axis=1)
        b = np.concatenate([share * term.scale * term.b for share, term in found], axis=0)
        adapters[path] = _term(path, layers.get(path), a, b)
    attach(model, adapters)


@dataclasses.dataclass(frozen=True)
class _Term:
    """One layer's s B A: a (inputs, rank), b (rank, outputs)."""

    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any]
    scale: float


def _read(file: str | Path) -> dict[str, _Term]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as content:
            metadata = content.metadata() or {}
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
        if metadata.get("format") != _FORMAT:
            raise DataError(f"{str(file)!r} holds no adapters of GenLoom.", mend="Name a file of save_adapters.")
        scales = json.loads(metadata["scales"])
        return {name: _Term(arrays[f"{name}/a"], arrays[f"{name}/b"], float(scales[name])) for name in scales}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"The adapters in {str(file)!r} cannot be read: {error}.") from error


def _term(path: str, layer: Any, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> LoRA:
    """Return the adapter B A of a layer."""
    shape = (a.shape[0], b.shape[1])
    if not isinstance(layer, LINEAR) or matrix_shape(layer) != shape:
        raise ConfigError(
            f"The adapters are of a linear layer {path} of {shape}, which this model does not have.",
            mend="Load them into the model that they were trained on.",
        )
    adapter = LoRA(layer, a.shape[1], scale=1.0)  # what each file scales its own by is in B
    adapter.a.assign(a)
    adapter.b.assign(b)
    return adapter
