"""Adapters alone: a file of some kilobytes that turns a model that many share into one's own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from genloom.errors import ConfigError, DataError, reason
from genloom.files.atomic import write_atomic
from genloom.model.naming import own_layers
from genloom_adapt.adapter import LINEAR, matrix_shape
from genloom_adapt.adapting import Adapters, adapters, detach
from genloom_adapt.ia3 import IA3
from genloom_adapt.lora import DoRA, LoRA

if TYPE_CHECKING:
    from genloom import GenerativeModel

__all__ = ["load_adapters", "save_adapters", "swap_adapters"]

_FORMAT = "genloom-adapters-1"
_STATED = ("kind", "scale", "side", "vectors")  # what an adapter is, beside its arrays


def save_adapters(model: GenerativeModel, file: str | Path) -> Path:
    """Write what a model's adapters learned, and nothing else of it, as safetensors.

    Raises:
        ConfigError: the model has no adapters.
    """
    from safetensors.numpy import save

    arrays, stated = {}, {}
    for name, adapter in adapters(model).items():
        stated[name] = {key: getattr(adapter, key) for key in _STATED if hasattr(adapter, key)}
        for variable in adapter.trainable_variables:
            arrays[f"{name}/{variable.name}"] = np.ascontiguousarray(ops.convert_to_numpy(variable.value))
    path = Path(file)
    write_atomic(path, save(arrays, metadata={"format": _FORMAT, "adapters": json.dumps(stated)}))
    return path


def load_adapters(model: GenerativeModel, *files: str | Path, weights: Sequence[float] | None = None) -> None:
    """Freeze a model and give it what one file holds, or several of LoRA: W + Σ wᵢ sᵢ Bᵢ Aᵢ, one of all their ranks.

    Args:
        model: the one that the adapters were trained on, not adapted itself.
        *files: written by `save_adapters`.
        weights: wᵢ, 1 for each by default; a negative one takes away what an adapter brought.

    Raises:
        ConfigError: no file, another number of weights, kinds that do not add up, or layers that the model does not
            have.
        DataError: a file that cannot be read.
    """
    model.prepare("adapt", Adapters(made=_made(model, files, weights)))


def swap_adapters(model: GenerativeModel, *files: str | Path, weights: Sequence[float] | None = None) -> None:
    """Take a model's adapters off and put on those of files; see `load_adapters`. What is wrong changes nothing.

    Raises:
        ConfigError: as `load_adapters`, or the model has no adapters.
        DataError: a file that cannot be read.
    """
    made = _made(model, files, weights)
    detach(model)
    model.prepare("adapt", Adapters(made=made))


@dataclasses.dataclass(frozen=True)
class _Stored:
    """One adapter of a file."""

    kind: str
    stated: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]


def _read(file: str | Path) -> dict[str, _Stored]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as content:
            metadata = content.metadata() or {}
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
        if metadata.get("format") != _FORMAT:
            raise DataError(f"{str(file)!r} holds no adapters of GenLoom.", mend="Name a file of save_adapters.")
        found = {}
        for name, stated in json.loads(metadata["adapters"]).items():
            own = {key.rpartition("/")[2]: array for key, array in arrays.items() if key.rpartition("/")[0] == name}
            found[name] = _Stored(str(stated["kind"]), stated, own)
        return found
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"The adapters in {str(file)!r} cannot be read: {reason(error)}.") from error


def _made(model: GenerativeModel, files: Sequence[str | Path], weights: Sequence[float] | None) -> dict[str, Any]:
    """Return the adapters that files hold together, ready to be put on a model."""
    shares = [1.0] * len(files) if weights is None else [float(weight) for weight in weights]
    if not files or len(shares) != len(files):
        raise ConfigError(f"{len(files)} files of adapters got {len(shares)} weights.", mend="Give one for each file.")
    read = [_read(file) for file in files]
    kinds = {stored.kind for stores in read for stored in stores.values()}
    if kinds != {"lora"} and (len(read) > 1 or shares != [1.0]):
        raise ConfigError(f"Adapters of kind {', '.join(sorted(kinds))} are not added up.", mend="Load one file alone.")
    layers = dict(own_layers(model))
    made: dict[str, Any] = {}
    for name in sorted({name for stores in read for name in stores}):
        path = name.replace(".", "/")
        found = [(share, stores[name]) for share, stores in zip(shares, read, strict=True) if name in stores]
        try:
            made[path] = _sum(path, layers.get(path), found) if kinds == {"lora"} else _one(model, path, found[0][1])
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise DataError(f"The adapter of {path} is damaged: {error}.") from error
    return made


def _sum(path: str, layer: Any, found: list[tuple[float, _Stored]]) -> LoRA:
    """Return Σ w s B A of a layer as one adapter."""
    a = np.concatenate([stored.arrays["a"] for _, stored in found], axis=1)
    b = np.concatenate([share * float(stored.stated["scale"]) * stored.arrays["b"] for share, stored in found], axis=0)
    _check_layer(path, layer, (a.shape[0], b.shape[1]))
    adapter = LoRA(layer, a.shape[1], scale=1.0)  # what each file scales its own by is in B
    adapter.a.assign(a)
    adapter.b.assign(b)
    return adapter


def _one(model: GenerativeModel, path: str, stored: _Stored) -> Any:
    """Return one adapter as it was saved."""
    layer = dict(own_layers(model)).get(path)
    adapter: Any
    if stored.kind == "dora":
        a, b = stored.arrays["a"], stored.arrays["b"]
        _check_layer(path, layer, (a.shape[0], b.shape[1]))
        adapter = DoRA(layer, a.shape[1], float(stored.stated["scale"]))
    elif stored.kind == "ia3":
        side, length = str(stored.stated["side"]), len(stored.arrays["l"])
        own = matrix_shape(layer) if isinstance(layer, LINEAR) else (0, 0)
        _check_layer(path, layer, (own[0], length) if side == "outputs" else (length, own[1]))
        adapter = IA3(layer, side)
    elif stored.kind in ("soft", "prefix") and model.can("new_prompt"):
        adapter = model.new_prompt(stored.kind, int(stored.stated["vectors"]), 0)
    else:
        raise ConfigError(f"{type(model).__name__} takes no adapter of kind {stored.kind!r}.")
    for variable in adapter.trainable_variables:
        array = stored.arrays[variable.name]
        if array.shape != tuple(variable.shape):
            raise ConfigError(
                f"The {stored.kind} in the file has {variable.name} of {array.shape}, this model {variable.shape}.",
                mend="Load it into the model that it was trained on.",
            )
        variable.assign(array)
    return adapter


def _check_layer(path: str, layer: Any, shape: tuple[int, int]) -> None:
    if not isinstance(layer, LINEAR) or matrix_shape(layer) != shape:
        raise ConfigError(
            f"The adapters are of a linear layer {path} of {shape}, which this model does not have.",
            mend="Load them into the model that they were trained on.",
        )
