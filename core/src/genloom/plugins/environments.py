"""Where GenLoom is installed, and the program that installs there without breaking it.

`python -m pip` is wrong in an environment that uv or pipx keeps: uv's has no pip, and both forget at the next upgrade
what they did not install themselves. Each keeps a receipt in the environment, by which it is known here.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, RunError
from genloom.plugins.resolution import normal

__all__ = ["Environment", "detect"]


@dataclasses.dataclass(frozen=True)
class Environment:
    """An environment and how things are put into it.

    Attributes:
        kind: "pip", "uv", "uv tool", "pipx" or "conda".
        prefix: its folder.
        program: the words that its installer's command begins with.
        kept: for "uv tool", the requirements that its receipt lists after the tool itself.
        tool: for "uv tool", the requirement of the tool itself.
    """

    kind: str
    prefix: Path
    program: tuple[str, ...]
    kept: tuple[str, ...] = ()
    tool: str = "genloom"

    def install(self, requirements: Sequence[str], constraints: Path) -> list[str]:
        """Return the command that adds requirements (paths, URLs or names) under a file of constraints."""
        if self.kind == "uv tool":
            return self._tool([*self.kept, *requirements], constraints)
        if self.kind == "pipx":
            return [*self.program, "inject", self.prefix.name, f"--pip-args=--constraint {constraints}", *requirements]
        return [*self.program, "install", *self._python, "--constraint", str(constraints), *requirements]

    def uninstall(self, distributions: Sequence[str]) -> list[str]:
        """Return the command that takes distributions out."""
        if self.kind == "uv tool":
            gone = {normal(name) for name in distributions}
            return self._tool([each for each in self.kept if normal(_name(each)) not in gone], None)
        if self.kind == "pipx":
            return [*self.program, "uninject", self.prefix.name, *distributions]
        return [*self.program, "uninstall", *([] if self.kind == "uv" else ["--yes"]), *self._python, *distributions]

    @property
    def _python(self) -> list[str]:
        return ["--python", sys.executable] if self.kind == "uv" else []

    def _tool(self, extras: Sequence[str], constraints: Path | None) -> list[str]:
        """Return the command that makes uv's tool anew: uv keeps only what one command names."""
        wanted = [word for requirement in dict.fromkeys(extras) for word in ("--with", requirement)]
        limits = [] if constraints is None else ["--constraints", str(constraints)]
        return [*self.program, "tool", "install", "--python", sys.executable, *limits, *wanted, self.tool]


def detect(prefix: Path | None = None, stdlib: Path | None = None) -> Environment:
    """Return the environment that this process runs in.

    Args:
        prefix: its folder, `sys.prefix` by default.
        stdlib: where its standard library is.

    Raises:
        ConfigError: the operating system manages it, so nothing may be installed there.
        RunError: the program that must install there is absent.
    """
    prefix = Path(sys.prefix) if prefix is None else prefix
    stdlib = Path(sysconfig.get_path("stdlib")) if stdlib is None else stdlib
    if (prefix / "uv-receipt.toml").is_file():
        return _uv_tool(prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return Environment("pipx", prefix, (_program("pipx"),))
    if not (prefix / "pyvenv.cfg").is_file() and (stdlib / "EXTERNALLY-MANAGED").is_file():
        raise ConfigError(
            f"The Python at {prefix} is managed by the operating system.",
            mend="Make an environment of your own: python3 -m venv .venv && .venv/bin/pip install genloom",
        )
    if importlib.util.find_spec("pip") is not None:
        kind = "conda" if (prefix / "conda-meta").is_dir() else "pip"
        return Environment(kind, prefix, (sys.executable, "-m", "pip"))
    if shutil.which("uv") is not None:
        return Environment("uv", prefix, (_program("uv"), "pip"))
    raise RunError(
        f"The environment {prefix} has no pip, and uv is not on the path.",
        mend=f"Put pip into it: {sys.executable} -m ensurepip",
    )


def _program(name: str) -> str:
    """Return the path of a program.

    Raises:
        RunError: it is absent.
    """
    found = shutil.which(name)
    if found is None:
        raise RunError(f"This environment was made by {name}, which is not on the path.", mend=f"Install {name}.")
    return found


def _uv_tool(prefix: Path) -> Environment:
    receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text("utf-8"))
    requirements = [_requirement(each) for each in receipt["tool"]["requirements"]]
    return Environment("uv tool", prefix, (_program("uv"),), tuple(requirements[1:]), requirements[0])


def _requirement(entry: dict[str, Any]) -> str:
    """Return one requirement of uv's receipt as words of a command."""
    name = entry["name"] + (f"[{','.join(entry['extras'])}]" if entry.get("extras") else "")
    for key in ("directory", "editable", "path"):
        if key in entry:
            return f"{name} @ {Path(entry[key]).as_uri()}"
    if "git" in entry:
        return f"{name} @ git+{entry['git']}"
    return f"{name} @ {entry['url']}" if "url" in entry else name + entry.get("specifier", "")


def _name(requirement: str) -> str:
    """Return the distribution's name at the head of a requirement."""
    for end, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:end]
    return requirement
