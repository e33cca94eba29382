"""A package that `genloom plugins new` writes is found, works, and passes its own tests on this engine as generated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.errors import ConfigError
from genloom.plugins.scaffold import KINDS, write_package

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]


def put(folder: Path, site: Path) -> None:
    """Make a written package importable, and found by its entry point, as an editable install does."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["genloom"].items())
    (info / "entry_points.txt").write_text(f"[genloom]\n{points}")
    for module in (folder / "src").iterdir():
        (site / module.name).symlink_to(module)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_tests(
    kind: str,
    genloom: Genloom,
    site: Path,
    tmp_path: Path,
    subprocess_env: Callable[..., dict[str, str]],
    run_python: Genloom,
) -> None:
    done = genloom("plugins", "new", "my-thing", "--kind", kind)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.strip()
    assert folder.name == "genloom-my-thing"
    put(folder, site)
    checked = genloom("plugins", "check", "my-thing", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    env = subprocess_env(PYTHONPATH=os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    program = "import pytest; raise SystemExit(pytest.main(['-q', '-p', 'no:cacheprovider']))"
    done = run_python(program, env=env, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^[1-9]\d* passed", done.stdout, re.M)


def test_a_new_plugin_is_written_in_the_style_of_the_house(tmp_path: Path, repository: Path) -> None:
    ruff = Path(sys.executable).parent / "ruff"
    for kind in KINDS:
        write_package("my-thing", kind, tmp_path / kind)
        files = [path for path in (tmp_path / kind).rglob("*.py")]
        assert len(files) == 3
        for file in files:
            text = file.read_text()
            compile(text, str(file), "exec")
            assert "{" + "{" not in text and "{%" not in text
            assert max(map(len, text.splitlines())) <= 120
    if ruff.exists():
        done = subprocess.run(
            [str(ruff), "check", "--isolated", "--select", "E,F,W,B,UP", "--line-length", "120", str(tmp_path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["My-Thing", "1st", "a_b", "vae", "genloom-gan", "genloom", "-x", ""])
def test_a_name_that_no_plugin_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_package(name, "model", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ConfigError, match="Name an empty folder with --out"):
        write_package("my-thing", "model", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
