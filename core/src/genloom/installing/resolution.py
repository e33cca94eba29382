"""What a word after `genloom install` means: a folder, an archive, a URL, one of GenLoom's own plugins, or a name.

GenLoom's own plugins have bare names (`vae`), found in the table below and never guessed: a stranger who takes the name
`vae` in the package index cannot be installed by surprise.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from genloom.errors import ConfigError, NotFoundError, nearest
from genloom.files import bounded
from genloom.plugins.first_party import FIRST_PARTY
from genloom.plugins.secrets import masked

__all__ = ["Wanted", "normal", "resolve"]

_ARCHIVES = (".whl", ".tar.gz", ".zip")
_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9._, -]+\])?"
_VERSION = r" *(?:[=~!<>]=|===|[<>]) *[A-Za-z0-9.*+!_-]+"
_REQUIREMENT = re.compile(rf"{_NAME}((?:{_VERSION})(?: *,{_VERSION})*)?")
_ADDRESS = re.compile(rf"(?:{_NAME} *@ *)?(?:(?:git|hg|svn|bzr)\+)?(?:https?|ssh|file)://[^\s\x00-\x1f\x7f]+")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One thing to install.

    Attributes:
        text: what was asked for, as it may be shown.
        requirement: what the installer is told.
        name: the distribution's name, "" when only the installer will know.
        source: where it comes from, in words.
    """

    text: str
    requirement: str
    name: str
    source: str


def resolve(text: str) -> Wanted:
    """Return what to install for a word.

    Raises:
        NotFoundError: it is a path, and nothing is there.
        ConfigError: it is an option, or neither a path, nor a URL, nor a requirement, a folder without a
            pyproject.toml, or a name that a package's folder has here, too.
    """
    text = text.strip()
    if text.startswith("-") or not text.isprintable():
        raise _meaningless(text)
    if _ADDRESS.fullmatch(text):
        return Wanted(masked(text), text, "", f"the address {masked(text)}")
    if "://" in text:
        raise _meaningless(text)
    if text.startswith((".", "/", "~")) or text.endswith(_ARCHIVES) or "/" in text or "\\" in text:
        return _path(text)
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise _meaningless(text)
    name, rest = found.group(1), text[len(found.group(1)) :]
    own = FIRST_PARTY.get(name) or next((each for each in FIRST_PARTY.values() if each == normal(name)), None)
    if own is None and Path(text, "pyproject.toml").is_file():
        raise ConfigError(
            f"{text!r} is a folder here and may be a name in the package index.",
            mend=f"Write ./{text} for the folder, '{text}>=0' for the index.",
        )
    if own is None:
        return Wanted(text, text, normal(name), "the package index; none of GenLoom's own." + _near(name))
    folder = _in_checkout(own)
    if folder is not None and not rest:
        return Wanted(text, str(folder), own, f"this checkout, {folder}")
    return Wanted(text, own + rest, own, "the package index, under the name of GenLoom's own plugin")


def _meaningless(text: str) -> ConfigError:
    what = "is an option" if text.startswith("-") else "is no name, path or address"
    return ConfigError(f"{masked(text)!r} {what}.", mend="Write NAME, NAME==VERSION, PATH or URL.")


def normal(name: str) -> str:
    """Return a distribution's name in the one form that names are compared in (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _path(text: str) -> Wanted:
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        file = path / "pyproject.toml"
        if not file.is_file():
            raise ConfigError(f"The folder {text!r} has no pyproject.toml.", mend="Name the folder of a package.")
        try:
            name = bounded.table(bounded.content(file))["project"]["name"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{str(file)!r} cannot be read as a project: {error}.") from error
        return Wanted(text, str(path), normal(str(name)), f"the folder {path}")
    if path.is_file():
        if not path.name.endswith(_ARCHIVES):
            ends = ", ".join(_ARCHIVES)
            raise ConfigError(
                f"{text!r} is no package.", mend=f"Packages end in {ends}; load a single file with -p FILE.py."
            )
        return Wanted(text, str(path), _named(path), str(path))
    raise NotFoundError(f"There is nothing at {text!r}.", mend="Check the path.")


def _named(archive: Path) -> str:
    """Return the distribution's name as the name of a wheel or a source archive says it, "" when it says none."""
    if archive.suffix == ".whl":
        return normal(archive.name.partition("-")[0])
    name, _, version = archive.name.removesuffix(".tar.gz").rpartition("-")
    return normal(name) if version[:1].isdigit() else ""  # project-main.tar.gz is named after a branch


def _near(name: str) -> str:
    return nearest(name, [*FIRST_PARTY, *FIRST_PARTY.values()])


def _in_checkout(distribution: str) -> Path | None:
    """Return the folder of a first-party plugin when GenLoom itself runs from a checkout."""
    root = Path(__file__).resolve().parents[4]  # <root>/core/src/genloom/installing/resolution.py
    folder = root / "plugins" / distribution.removeprefix("genloom-")
    return folder if (folder / "pyproject.toml").is_file() and (root / "core" / "pyproject.toml").is_file() else None
