"""The project's own source, parsed once for all the laws that are checked by reading it."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Callable
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


@pytest.fixture
def genloom_there(
    tmp_path: Path,
    subprocess_env: Callable[..., dict[str, str]],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., str]:
    """Run `genloom -p board.py WORD…` in a folder of its own; return what it printed on both streams."""

    def run(*words: str, plugin: bool = True, code: int = 0) -> str:
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        words = (*(["-p", "board.py"] if plugin else []), *words)
        program = "from genloom.cli.main import main; main()"
        done = run_python(program, *words, env=subprocess_env(PYTHONPATH=path), cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run
