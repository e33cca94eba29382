"""What a plugin may tell the core is declared, with a default; nothing of ours is found by asking for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.any_engine

Trees = dict[str, ast.Module]
BACKEND = "core/src/genloom/backend/"  # asks engines what they have

#: Attributes that others declare and not every object of theirs has.
FOREIGN = {
    *("_operations_by_depth", "_seed_generators", "data_format", "get_config", "groups", "kernel"),  # Keras
    *("shape", "tolist"),  # NumPy
    *("O_DIRECTORY", "O_NOFOLLOW", "_base_executable", "wait4"),  # Python on other systems
    "byte_fallback",  # tokenizers
    *("GENLOOM_API", "genloom_components"),  # the module of a plugin: `genloom.hookspecs` declares them
}


def asked(tree: ast.AST) -> Iterator[str]:
    """The attributes that `getattr` with a default and `hasattr` ask for by a name written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def test_no_contract_is_found_by_asking(sources: Trees) -> None:
    found = {name: path for path, tree in sources.items() if BACKEND not in path for name in asked(tree)}
    assert {name: path for name, path in found.items() if name not in FOREIGN} == {}
    assert set(found) == FOREIGN, "a name that nobody asks for any more leaves the list"


@pytest.mark.parametrize("text", ['getattr(model, "streamed", False)', 'x = hasattr(model, "encode")'])
def test_asking_is_seen(text: str) -> None:
    assert list(asked(ast.parse(text)))
