"""Install and remove plugins: a plan that can be shown, the installer's own process, a check, and the way back.

A file of constraints pins GenLoom, Keras and the installed engines to what is there, so that no plugin swaps them.
Nothing here loads a plugin: installing works while another one is broken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from genloom.errors import ConfigError, NotFoundError, RunError, nearest
from genloom.hookspecs import GROUP
from genloom.installing.environments import Environment, detect
from genloom.installing.resolution import Wanted, normal, resolve
from genloom.plugins.entry_points import Declared, declared
from genloom.plugins.first_party import FIRST_PARTY
from genloom.plugins.secrets import masked

__all__ = ["PINNED", "Plan", "carry_out", "freeze", "installed", "plan_install", "plan_removal", "plan_sync", "undo"]

#: Distributions that no plugin may change.
PINNED = ("genloom", "keras", "jax", "jaxlib", "tensorflow", "tensorflow-cpu", "torch", "numpy")

# The table of a fresh process: this one's import system remembers what was there before.
_FREEZE = """
import importlib.metadata, json
found = {}
for each in importlib.metadata.distributions():
    name = each.metadata["Name"]
    if name and name not in found:
        found[name] = [each.version, each.read_text("direct_url.json")]
print(json.dumps(found))
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        environment: where.
        wanted: what is added.
        removed: distributions that are taken out.
        constraints: lines that pin what must not change.
    """

    environment: Environment
    wanted: tuple[Wanted, ...] = ()
    removed: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    def commands(self, constraints: Path) -> list[list[str]]:
        """Return the installer's commands, removals first."""
        found = [self.environment.uninstall(self.removed)] if self.removed else []
        if self.wanted:
            found += self.environment.without(self.removed).install(self.wanted, constraints)
        return found

    def summary(self) -> dict[str, Any]:
        """Return plain values for `--json`, without secrets."""
        return {
            "environment": {"kind": self.environment.kind, "prefix": str(self.environment.prefix)},
            "install": [{**dataclasses.asdict(each), "requirement": masked(each.requirement)} for each in self.wanted],
            "remove": list(self.removed),
            "constraints": list(self.constraints),
            "commands": [list(map(masked, command)) for command in self.commands(Path("CONSTRAINTS"))],
        }


def installed(python: str = sys.executable) -> dict[str, tuple[str, str | None]]:
    """Return distribution → (version, text of its direct_url.json) of an environment, read by a fresh process."""
    done = subprocess.run([python, "-c", _FREEZE], capture_output=True, text=True, check=True)
    return {normal(name): (version, url) for name, (version, url) in json.loads(done.stdout).items()}


def plan_install(words: Sequence[str]) -> Plan:
    """Return the plan that installs names, paths and addresses.

    Raises:
        ConfigError: a word that means nothing, or an environment in which nothing may be installed.
        NotFoundError: a path with nothing there.
    """
    return Plan(detect(), tuple(resolve(word) for word in words), constraints=_constraints())


def plan_removal(words: Sequence[str]) -> Plan:
    """Return the plan that removes plugins by the name of their entry point or distribution.

    Raises:
        NotFoundError: no installed plugin has the name.
    """
    return Plan(detect(), removed=tuple(dict.fromkeys(_distribution(word) for word in words)))


def plan_sync(lines: Sequence[str]) -> Plan:
    """Return the plan after which the plugins are those of a list, as `freeze` writes it.

    Raises:
        ConfigError: a line that means nothing.
    """
    listed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    names = {normal(_head(line)) for line in listed}
    there = set(freeze())
    wanted = tuple(resolve(line) for line in listed if line not in there and normal(_head(line)) not in PINNED)
    extra = sorted({each.distribution for each in declared(GROUP) if normal(each.distribution) not in names})
    return Plan(detect(), wanted, tuple(extra), _constraints())


def freeze() -> list[str]:
    """Return one requirement per installed plugin, by which `plan_sync` finds the same again; without secrets."""
    found = installed()
    names = sorted({normal(each.distribution) for each in declared(GROUP)})
    return [masked(_frozen(name, *found[name])) for name in names if name in found]


def carry_out(plan: Plan, say: Callable[[str], None]) -> list[Declared]:
    """Run the installer, its words on stderr; return the plugins that the plan brought.

    Raises:
        RunError: the installer failed.
    """
    with _constraints_file(plan.constraints) as file:
        for command in plan.commands(file):
            _finish(command, plan.environment.variables(file), say)
    return [each for each in declared(GROUP) if normal(each.distribution) in {w.name for w in plan.wanted}]


def _finish(command: list[str], variables: dict[str, str], say: Callable[[str], None]) -> None:
    say("$ " + masked(" ".join(command)))
    env = {**os.environ, **variables}
    code = subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False, env=env).returncode
    if code:
        raise RunError(
            f"{masked(' '.join(command[:3]))} ended with exit code {code}.",
            mend="What it said stands above; no plugin may ask for other versions than those pinned.",
        )


def undo(plan: Plan, before: dict[str, tuple[str, str | None]], say: Callable[[str], None]) -> None:
    """Take out what was added since `before`, and put back what was changed.

    Raises:
        RunError: the environment could not be brought back; names what differs.
    """
    if plan.environment.kind == "uv tool":
        _finish(plan.environment.restore(), {}, say)
    else:
        now = installed()
        added = tuple(name for name in now if name not in before)
        changed = [name for name, was in before.items() if now.get(name) != was]
        carry_out(Plan(plan.environment, tuple(_as_it_was(name, *before[name]) for name in changed), added), say)
    left = {name for name, was in installed().items() if before.get(name) != was}
    if left:
        raise RunError(f"These could not be brought back: {', '.join(sorted(left))}.")


def _distribution(word: str) -> str:
    found = declared(GROUP)
    name = FIRST_PARTY.get(word, word)
    for each in found:
        if name == each.distribution or normal(name) == normal(each.distribution) or word == each.name:
            return each.distribution
    known = [known for each in found for known in (each.name, each.distribution)]
    raise NotFoundError(f"There is no plugin {word!r} here.{nearest(word, known)}", mend="See: genloom plugins list.")


def _constraints() -> tuple[str, ...]:
    """Return a pin per distribution that must stay; a local tag such as +cpu is no version that an index has."""
    found = installed()
    return tuple(f"{name}=={found[name][0].partition('+')[0]}" for name in PINNED if name in found)


@contextlib.contextmanager
def _constraints_file(lines: Sequence[str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        yield file


def _as_it_was(name: str, version: str, direct_url: str | None) -> Wanted:
    """Return what brings a distribution back, an editable one as an editable one."""
    document = json.loads(direct_url) if direct_url else {}
    if document.get("dir_info", {}).get("editable"):
        folder = url2pathname(urlparse(document["url"]).path)
        return Wanted(name, f"--editable={folder}", normal(name), f"the folder {folder}")
    return resolve(_frozen(name, version, direct_url))


def _frozen(name: str, version: str, direct_url: str | None) -> str:
    """Return the requirement that brings a distribution again: by address where it came from one."""
    if not direct_url:
        return f"{name}=={version}"
    document = json.loads(direct_url)
    vcs = document.get("vcs_info")
    if vcs is None:
        return f"{name} @ {document['url']}"
    return f"{name} @ {vcs['vcs']}+{document['url']}@{vcs['commit_id']}"


def _head(line: str) -> str:
    """Return the distribution's name of a frozen line.

    Raises:
        ConfigError: it begins with none.
    """
    found = resolve(line)
    wanted = line.partition("@")[0].strip() if " @ " in line else found.name
    if not wanted:
        raise ConfigError(f"{found.text!r} names no distribution.", mend="Write NAME==VERSION or NAME @ URL.")
    return wanted
