"""Stable names for variables: the attribute path to a layer, never Keras's per-process numbering.

`dense_12/kernel` names another weight in the next process; `encoder/1/kernel` does not. Checkpoints, seeded
initialisers and error messages all use these names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

__all__ = ["own_layers", "variable_names"]


def _parts(value: Any, name: str) -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers an attribute holds, directly or in (nested) lists, tuples and mappings."""
    if isinstance(value, keras.Layer):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _parts(item, f"{name}/{i}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, f"{name}/{key}")


def _attributes(layer: keras.Layer) -> dict[str, Any]:
    """Public attributes by name; on torch sub-layers live in the module's own table, not in `__dict__`."""
    table = {**vars(layer), **vars(layer).get("_modules", {})}
    return {name: table[name] for name in sorted(table) if not name.startswith("_")}


def _children(layer: keras.Layer) -> Iterator[tuple[str, keras.Layer]]:
    """Yield (attribute path, sub-layer); the layers of a functional or sequential model go by their position."""
    if isinstance(layer, keras.Sequential) or hasattr(layer, "_operations_by_depth"):
        for i, part in enumerate(layer.layers):
            yield str(i), part
        return
    for name, value in _attributes(layer).items():
        yield from _parts(value, name)
    # Layers under private names go by the order in which they were made; those seen above are skipped by the caller.
    for i, part in enumerate(layer._layers):
        yield f"layer{i}", part


def own_layers(root: keras.Layer) -> list[tuple[str, keras.Layer]]:
    """Return (attribute path, layer) for `root` ("") and every layer below it, each once, in attribute order."""
    found: list[tuple[str, keras.Layer]] = []
    seen: set[int] = set()

    def visit(path: str, layer: keras.Layer) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        found.append((path, layer))
        for name, part in _children(layer):
            visit(f"{path}/{name}" if path else name, part)

    visit("", root)
    return found


def variable_names(root: keras.Layer) -> dict[str, keras.Variable]:
    """Return every variable of a built layer or model by its stable name, metrics left out.

    Seed states of Keras's own seeded layers are included: a resumed run needs them.
    """
    names: dict[str, keras.Variable] = {}
    for path, layer in own_layers(root):
        states = [g.state for g in getattr(layer, "_seed_generators", [])]
        for variable in [*layer._trainable_variables, *layer._non_trainable_variables, *states]:
            name = f"{path}/{variable.name}".lstrip("/")
            while name in names and names[name] is not variable:
                name += "'"
            names[name] = variable
    return names
