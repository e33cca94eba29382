"""Where GenLoom is installed, and the program that installs there without breaking it.

`python -m pip` is wrong in an environment that uv or pipx keeps: uv's has no pip, and both forget at the next upgrade
what they did not install themselves. Each keeps a receipt in the environment, by which it is known here.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from genloom.errors import ConfigError, RunError
from genloom.files import bounded
from genloom.installing.resolution import Wanted, normal

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
        python: for "uv tool", the interpreter that it was made with.
    """

    kind: str
    prefix: Path
    program: tuple[str, ...]
    kept: tuple[str, ...] = ()
    tool: str = "genloom"
    python: str = sys.executable

    def install(self, wanted: Sequence[Wanted], constraints: Path) -> list[list[str]]:
        """Return the commands that add or replace what is wanted under a file of constraints."""
        requirements = [each.requirement for each in wanted]
        if self.kind == "uv tool":
            replaced = self.without([each.name for each in wanted])
            extras = [*replaced.kept, *requirements]
            # uv writes the pins of a command into its receipt, where they would hold back every later upgrade: the
            # second command, which changes no version, takes them out again.
            limits = ["--constraints", str(constraints)]
            return [self._tool(extras, [*limits, *_anew(wanted)]), self._tool(extras, [])]
        if self.kind == "pipx":
            return [[*self.program, "inject", "--force", self.prefix.name, *requirements]]
        limits = ["--constraint", str(constraints)]
        anew = _anew(wanted) if self.kind == "uv" else []
        return [[*self.program, "install", *self._python, *limits, *anew, *requirements]]

    def variables(self, constraints: Path) -> dict[str, str]:
        """Return the environment variables of those commands.

        pipx keeps flags and gives them again at every upgrade, when the file is gone; what it calls, pip or uv, reads
        a variable once.
        """
        return dict.fromkeys(("PIP_CONSTRAINT", "UV_CONSTRAINT"), str(constraints)) if self.kind == "pipx" else {}

    def uninstall(self, distributions: Sequence[str]) -> list[str]:
        """Return the command that takes distributions out."""
        if self.kind == "uv tool":
            return self.without(distributions).restore()
        if self.kind == "pipx":
            return [*self.program, "uninject", self.prefix.name, *distributions]
        return [*self.program, "uninstall", *([] if self.kind == "uv" else ["--yes"]), *self._python, *distributions]

    def without(self, distributions: Sequence[str]) -> Environment:
        """Return this environment without what uv's receipt lists of these distributions."""
        gone = {normal(name) for name in distributions}
        return dataclasses.replace(self, kept=tuple(each for each in self.kept if normal(_name(each)) not in gone))

    def restore(self) -> list[str]:
        """Return the command that makes uv's tool of what its receipt lists."""
        return self._tool(self.kept, [])

    @property
    def _python(self) -> list[str]:
        return ["--python", sys.executable] if self.kind == "uv" else []

    def _tool(self, extras: Sequence[str], flags: Sequence[str]) -> list[str]:
        """Return the command that makes uv's tool anew: uv keeps only what one command names."""
        wanted = [word for requirement in dict.fromkeys(extras) for word in ("--with", requirement)]
        return [*self.program, "tool", "install", "--python", self.python, *flags, *wanted, self.tool]


def _anew(wanted: Sequence[Wanted]) -> list[str]:
    """Return uv's flags to build folders again: it looks at their pyproject.toml only to see whether they changed."""
    names = [each.name for each in wanted if each.name and Path(each.requirement).is_dir()]
    return [word for name in names for word in ("--reinstall-package", name)]


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
    # Not importlib.util's: setuptools hooks the search for pip, and warns where distutils is loaded.
    if PathFinder.find_spec("pip") is not None:
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
    """Read uv's receipt.

    Raises:
        RunError: it cannot be read.
    """
    file = prefix / "uv-receipt.toml"
    try:
        receipt = bounded.table(bounded.content(file))["tool"]
        requirements = [_requirement(each) for each in receipt["requirements"]]
        tool, kept = requirements[0], tuple(requirements[1:])
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(
            f"uv's receipt {str(file)!r} cannot be read: {type(error).__name__}: {error}.",
            mend="Make the tool anew: uv tool install --reinstall genloom",
        ) from error
    # The tool's own interpreter is gone while uv makes the tool anew.
    python = receipt.get("python")
    inside = not isinstance(python, str) or Path(python).is_relative_to(prefix)
    base = getattr(sys, "_base_executable", sys.executable)
    return Environment("uv tool", prefix, (_program("uv"),), kept, tool, base if inside else python)


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
