"""`genloom plugins new`: write the package of a plugin that works, passes its own tests and is ready to be changed."""

from __future__ import annotations

import re
from pathlib import Path

from genloom.errors import ConfigError
from genloom.files.atomic import make_folder, write_atomic
from genloom.hookspecs import API_VERSION
from genloom.plugins.first_party import FIRST_PARTY

__all__ = ["KINDS", "write_package"]

#: Kind of plugin -> the templates of its package's modules, hooks first.
KINDS = {
    "model": ("hooks_model", "model"),
    "dataset": ("hooks_dataset", "dataset"),
    "metric": ("hooks_metric", "metric"),
    "postprocessor": ("hooks_postprocessor", "postprocessor"),
    "modality": ("hooks_modality", "modality"),
    "callback": ("hooks_callback", "callback"),
}

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEMPLATES = Path(__file__).parent


def write_package(name: str, kind: str, folder: Path | None = None) -> Path:
    """Write a plugin's package.

    Args:
        name: the plugin's name in lower case, such as `my-flow`; `genloom-` before it changes nothing.
        kind: one of `KINDS`.
        folder: where; `genloom-NAME` here by default.

    Returns:
        The folder.

    Raises:
        ConfigError: a name that a package cannot have or that is GenLoom's own, or a folder with something in it.
    """
    short = name.removeprefix("genloom-")
    if not _NAME.fullmatch(short):
        raise ConfigError(f"{name!r} is no name for a plugin.", mend="Use lower case, digits and hyphens: my-flow.")
    if short in FIRST_PARTY or short == "genloom":
        raise ConfigError(f"{name!r} is one of GenLoom's own plugins.", mend="Choose another name.")
    folder = Path(f"genloom-{short}") if folder is None else folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{str(folder)!r} is there already.", mend="Name an empty folder with --out.")
    for path, text in _files(short, kind).items():
        make_folder((folder / path).parent)
        write_atomic(folder / path, text.encode())
    return folder


def _files(short: str, kind: str) -> dict[str, str]:
    """Return path → text of every file of a package."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    module = f"genloom_{short.replace('-', '_')}"
    known = {
        "short": short,
        "kind": kind,
        "module": module,
        "title": "".join(part.capitalize() for part in short.split("-")),
        "api": API_VERSION,
    }

    def written(template: str) -> str:
        return environment.get_template(f"{template}.j2").render(known)

    hooks, second = KINDS[kind]
    return {
        "pyproject.toml": written("pyproject.toml"),
        "README.md": written("README.md"),
        ".github/workflows/test.yml": written("test.yml"),
        f"src/{module}/__init__.py": written(f"{hooks}.py"),
        f"src/{module}/{second}.py": written(f"{second}.py"),
        f"tests/test_{module.removeprefix('genloom_')}.py": written(f"test_{kind}.py"),
    }
