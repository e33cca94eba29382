"""The demo's last step: write a plugin, install it into a throw-away environment, train it, and take it out again."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genloom.errors import RunError
from genloom.files.atomic import write_atomic
from genloom.runs import Run

__all__ = ["NAME", "result", "try_plugin"]

#: The plugin that is written; its model is `NAME/gaussian`.
NAME = "demo-model"
_MODEL = f"{NAME}/gaussian"
_PROGRAM = "import sys; from genloom.cli.main import main; main(sys.argv[1:])"


def try_plugin(folder: Path, engine: str, say: Callable[[str], None]) -> None:
    """Do it once, and keep what came of it in FOLDER/result.json; the environment is deleted whatever happens.

    Args:
        folder: where the plugin, its run and the environment go.
        engine: to train on.
        say: is told every command before it runs.

    Raises:
        RunError: a command failed, or the plugin is still there in the end.
    """
    if result(folder) is not None:
        say("# done already: plugin")
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    package, environment, run = folder / f"genloom-{NAME}", folder / "environment", folder / "run"
    started = time.monotonic()
    _genloom(Path(sys.executable), ("plugins", "new", NAME, "--out", str(package)), say)
    try:
        python = _environment(environment, say)
        _genloom(python, ("install", "--yes", str(package)), say)
        train = ("train", _MODEL, "--data", "digits", "--epochs", "3", "--backend", engine, "--out", str(run))
        _genloom(python, train, say)
        _genloom(python, ("uninstall", "--yes", NAME), say)
        left = _genloom(python, ("list", "models", "--json"), say)
    finally:
        shutil.rmtree(environment, ignore_errors=True)
    if _MODEL in left:
        raise RunError(f"{_MODEL} is still listed after its plugin was removed.")
    losses = [entry["losses"]["loss"] for entry in Run(run).log() if "loss" in entry.get("losses", {})]
    found = {"model": _MODEL, "losses": losses, "seconds": time.monotonic() - started}
    write_atomic(_file(folder), json.dumps(found, indent=2).encode())


def result(folder: Path) -> dict[str, Any] | None:
    """Return what came of it: model, losses per epoch, seconds; None when it was not done."""
    path = _file(folder)
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def _file(folder: Path) -> Path:
    return folder / "result.json"


def _environment(folder: Path, say: Callable[[str], None]) -> Path:
    """Make an environment with pip of its own that sees the packages of this one, and return its Python."""
    say(f"$ python -m venv {shlex.quote(str(folder))}")
    _finish([sys.executable, "-m", "venv", str(folder)])
    python = folder.absolute() / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    site = _finish([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    lines = [
        f"import site; site.addsitedir({path!r})" for path in {sysconfig.get_path(p) for p in ("purelib", "platlib")}
    ]
    (Path(site) / "outer.pth").write_text("\n".join(lines) + "\n", "utf-8")
    return python


def _genloom(python: Path, words: tuple[str, ...], say: Callable[[str], None]) -> str:
    say(f"$ genloom {shlex.join(words)}")
    return _finish([str(python), "-c", _PROGRAM, *words])


def _finish(command: list[str]) -> str:
    """Run a command and return its standard output; its progress goes to ours."""
    quiet = {**os.environ, "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, stdin=subprocess.DEVNULL, env=quiet)
    if done.returncode != 0:
        raise RunError(f"`{shlex.join(command[-6:])}` ended with exit code {done.returncode}.")
    return done.stdout
