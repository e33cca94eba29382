"""Plugins in real environments of uv, uv tool and pipx, made here and thrown away; skipped where no index answers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from genloom.installing.installation import installed

pytestmark = [pytest.mark.any_engine, pytest.mark.long]

Package = Callable[..., Path]


@dataclasses.dataclass(frozen=True)
class Home:
    """GenLoom as one installer put it: its command, its Python, and the variables that both need."""

    genloom: Path
    python: Path
    variables: Mapping[str, str]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.genloom), *words],
            capture_output=True,
            text=True,
            check=False,
            env={**_environment(), **self.variables},
            stdin=subprocess.DEVNULL,
            timeout=300,
        )

    def frozen(self) -> dict[str, tuple[str, str | None]]:
        return installed(str(self.python))


def _environment() -> dict[str, str]:
    """This process's variables, less those that name another environment; uv trusts whom the system trusts, as pip."""
    here = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {"UV_SYSTEM_CERTS": "1", **here}


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _make(command: list[str], variables: Mapping[str, str], repository: Path) -> None:
    pinned = dict.fromkeys(("UV_CONSTRAINT", "PIP_CONSTRAINT"), str(repository / "constraints.txt"))
    env = {**_environment(), **variables, **pinned}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


def _uv(folder: Path, core: str, repository: Path) -> Home:
    uv, variables = _program("uv"), {"UV_CACHE_DIR": str(folder / "cache")}
    _make([uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")], variables, repository)
    python = folder / "venv" / "bin" / "python"
    _make([uv, "pip", "install", "-q", "--python", str(python), core], variables, repository)
    path = f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}"
    return Home(python.parent / "genloom", python, variables | {"PATH": path})


def _uv_tool(folder: Path, core: str, repository: Path) -> Home:
    uv = _program("uv")
    variables = {"UV_CACHE_DIR": str(folder / "cache"), "UV_TOOL_DIR": str(folder / "tools")}
    variables |= {"UV_TOOL_BIN_DIR": str(folder / "bin")}
    variables["PATH"] = os.pathsep.join([str(folder / "bin"), str(Path(uv).parent), os.environ["PATH"]])
    _make([uv, "tool", "install", "-q", "--python", sys.executable, core], variables, repository)
    return Home(folder / "bin" / "genloom", folder / "tools" / "genloom" / "bin" / "python", variables)


def _pipx(folder: Path, core: str, repository: Path) -> Home:
    pipx = _program("pipx")
    variables = {"PIPX_HOME": str(folder), "PIPX_BIN_DIR": str(folder / "bin"), "PIPX_MAN_DIR": str(folder / "man")}
    variables["PATH"] = os.pathsep.join([str(folder / "bin"), str(Path(pipx).parent), os.environ["PATH"]])
    _make([pipx, "install", "--python", sys.executable, core], variables, repository)
    return Home(folder / "bin" / "genloom", folder / "venvs" / "genloom" / "bin" / "python", variables)


def _need_an_index(folder: Path, kind: str) -> None:
    """Skip the test where no package index answers the program that this kind of environment installs with."""
    (folder / "wanted.txt").write_text("hatchling\n")  # builds every package here
    ask = {
        "uv": [_program("uv"), "pip", "compile", "-q", "--no-deps", "--cache-dir", str(folder / "asked"), "wanted.txt"],
        "pipx": [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "0", "-r", "wanted.txt"],
    }[kind.partition(" ")[0]]
    env = {"UV_HTTP_RETRIES": "0", **_environment()}
    done = subprocess.run(ask, capture_output=True, text=True, check=False, env=env, cwd=folder, timeout=300)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"no package index answers the installer of {kind}: {reason}")


MAKERS: dict[str, Callable[[Path, str, Path], Home]] = {"uv": _uv, "uv tool": _uv_tool, "pipx": _pipx}


@pytest.fixture(params=MAKERS, scope="module")
def home(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    _need_an_index(folder, request.param)
    made = MAKERS[request.param](folder, str(repository / "core"), repository)
    kind = json.loads(made("install", "--dry-run", "--json", "genloom-vae").stdout)["plan"]["environment"]["kind"]
    assert kind == request.param
    return made


def components(home: Home) -> list[str]:
    done = home("list", "postprocessors", "--json")
    assert done.returncode == 0, done.stderr
    return [each["id"] for each in json.loads(done.stdout)["components"]]


def test_plugins_come_and_go_and_a_broken_one_leaves_no_trace(home: Home, package: Package) -> None:
    empty = home.frozen()
    done = home("install", "--yes", str(package("first-plugin")))
    assert done.returncode == 0, done.stderr
    assert "Installed first-plugin 1.0: first-plugin/same" in done.stderr
    with_first = home.frozen()
    # What is there already outlives what comes later.
    assert home("install", "--yes", str(package("second-plugin"))).returncode == 0
    assert {"first-plugin/same", "second-plugin/same"} <= set(components(home))
    assert home("uninstall", "--yes", "second-plugin").returncode == 0
    assert home.frozen() == with_first

    faults = {
        "import": (package("broken-plugin", "import nothing_here"), 3, "nothing_here"),
        "greedy": (
            package("greedy-plugin", dependencies=("keras<3",)),
            1,
            "other versions than those pinned",
        ),
        "upgrade": (package("first-plugin", "import nothing_here", version="2.0", folder="new"), 3, "nothing_here"),
    }
    for name, (folder, code, words) in faults.items():
        done = home("install", "--yes", str(folder))
        assert done.returncode == code, f"{name}: {done.stderr}"
        assert words in done.stderr and "Traceback" not in done.stderr
        assert home.frozen() == with_first, name

    assert home("uninstall", "--yes", "first-plugin").returncode == 0
    assert home.frozen() == empty


def test_a_plugin_that_is_edited_is_built_again(home: Home, package: Package) -> None:
    folder = package("edited-plugin")
    assert home("install", "--yes", str(folder)).returncode == 0
    module = folder / "edited_plugin.py"
    module.write_text(module.read_text().replace("edited-plugin/same", "edited-plugin/other"))
    done = home("install", "--yes", str(folder))
    assert done.returncode == 0, done.stderr
    assert "edited-plugin/other" in components(home)
    assert home("uninstall", "--yes", "edited-plugin").returncode == 0


def test_no_pin_stays_behind(home: Home, package: Package) -> None:
    """What uv and pipx keep is used at every upgrade: a pin or a temporary file in it would break that."""
    assert home("install", "--yes", str(package("pinned-plugin"))).returncode == 0
    prefix = home.python.parents[1]
    if (prefix / "uv-receipt.toml").exists():
        receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text())["tool"]
        assert "constraints" not in receipt
        assert [each["name"] for each in receipt["requirements"]] == ["genloom", "pinned-plugin"]
        assert not Path(receipt["python"]).is_relative_to(prefix)
    if (prefix / "pipx_metadata.json").exists():
        injected = json.loads((prefix / "pipx_metadata.json").read_text())["injected_packages"]
        assert injected["pinned-plugin"]["pip_args"] == []
    assert home("uninstall", "--yes", "pinned-plugin").returncode == 0
