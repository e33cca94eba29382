"""The command line run as users run it, and plugins installed as pip installs them, for the tests of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Genloom = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]
MAIN = "from genloom.cli.main import main; main()"
COMPUTING = frozenset({"evaluate", "report", "sample", "train"})


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the import path of `genloom` below, into which `install` puts distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path) -> Install:
    """Install a distribution: its module and the .dist-info that pip would write."""

    def put(name: str, source: str, *, entry_point: str | None = None, version: str = "1.2") -> Path:
        module = name.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[genloom]\n{entry_point or name} = {module}\n")
        return site / f"{module}.py"

    return put


@pytest.fixture
def cold_genloom(site: Path, subprocess_env: Callable[..., dict[str, str]], tmp_path: Path) -> Genloom:
    """Run `genloom WORD…` in a process and a folder of its own; keywords are environment variables."""

    def run(*words: str, code: str = MAIN, **variables: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env=subprocess_env(PYTHONPATH=import_path(site), **variables),
            check=False,
            timeout=120,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def genloom(
    cold_genloom: Genloom,
    run_python: Genloom,
    site: Path,
    subprocess_env: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> Genloom:
    """The same, where what computes finds its engine imported."""

    def run(*words: str, code: str = MAIN, **variables: str | None) -> subprocess.CompletedProcess[str]:
        if COMPUTING.isdisjoint(words):
            return cold_genloom(*words, code=code, **variables)
        env = subprocess_env(PYTHONPATH=import_path(site), **variables)
        return run_python(code, *words, env=env, cwd=tmp_path)

    return run


def import_path(site: Path) -> str:
    """Return PYTHONPATH with one folder before the others."""
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])


#: A plugin that works; {name} and {module} are filled in.
SOUND = """
import genloom

@genloom.hookimpl
def genloom_components():
    return [genloom.Component("postprocessor", "{name}/same", "{module}:same", "Changes nothing.")]

def same(samples, spec, options):
    return samples, spec
"""


@pytest.fixture
def sound() -> str:
    """The source of a plugin that works."""
    return SOUND


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a plugin's package and return it."""

    def write(
        name: str, source: str = SOUND, *, dependencies: tuple[str, ...] = (), version: str = "1.0", folder: str = ""
    ) -> Path:
        path, module = tmp_path / (folder or name), name.replace("-", "_")
        path.mkdir(exist_ok=True)
        (path / f"{module}.py").write_text(source.replace("{name}", name).replace("{module}", module))
        (path / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(list(dependencies))}\n'
            f'[project.entry-points.genloom]\n{name} = "{module}"\n'
            f'[tool.hatch.build.targets.wheel]\nonly-include = ["{module}.py"]\n'
        )
        return path

    return write
