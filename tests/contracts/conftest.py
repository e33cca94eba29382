"""The project's own source, parsed once for all the laws that are checked by reading it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGES = ("core/src", "plugins/*/src")


@pytest.fixture(scope="session")
def sources(repository: Path) -> dict[str, ast.Module]:
    """Syntax trees of every shipped module, by path relative to the repository."""
    files = sorted(file for pattern in PACKAGES for root in repository.glob(pattern) for file in root.rglob("*.py"))
    assert len(files) > 20, "the source was not found"
    return {file.relative_to(repository).as_posix(): ast.parse(file.read_text("utf-8")) for file in files}


@pytest.fixture(scope="session")
def modules(sources: dict[str, ast.Module]) -> dict[str, ast.Module]:
    """The same trees by dotted module name."""
    return {_module_name(path): tree for path, tree in sources.items()}


def _module_name(path: str) -> str:
    dotted = path.partition("src/")[2].removesuffix(".py").removesuffix("/__init__")
    return dotted.replace("/", ".")
