"""The command line run as users run it, and plugins installed as pip installs them, for the tests of both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Genloom = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]


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
def genloom(site: Path, subprocess_env: Callable[..., dict[str, str]], tmp_path: Path) -> Genloom:
    """Run `genloom WORD…` in a process and a folder of its own; keywords are environment variables."""

    def run(*words: str, code: str | None = None, **variables: str | None) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        program = code or "from genloom.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            env=subprocess_env(PYTHONPATH=path, **variables),
            check=False,
            timeout=120,
            cwd=tmp_path,
        )

    return run
