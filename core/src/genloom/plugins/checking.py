"""Check a plugin in a process of its own, so that one that hangs, crashes or exits harms nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from genloom.errors import NotFoundError, nearest
from genloom.hookspecs import GROUP
from genloom.plugins.entry_points import Declared, declared
from genloom.plugins.offers import Component
from genloom.plugins.status import FILE

__all__ = ["SECONDS", "check", "chosen", "examined"]

SECONDS = 60.0  # a component's target may import Keras and an engine from a cold disk

_PROGRAM = """
import sys
from genloom.opening.building import check_model
from genloom.plugins.checking import examined
examined(sys.argv[1], check_model)
"""


def chosen(names: Sequence[str]) -> list[Declared]:
    """Return the plugins of some names, entry points' or distributions', or of files given with -p; all for none.

    Raises:
        NotFoundError: nothing has one of the names.
    """
    from genloom.plugins.discovery import files

    given = [Declared(status.name, "", status.distribution, status.version) for status in files()]
    found = [*declared(GROUP), *given]
    for name in names:
        if not any(name in (each.name, each.distribution) for each in found):
            known = [word for each in found for word in (each.name, each.distribution)]
            raise NotFoundError(
                f"There is no plugin {name!r}.{nearest(name, known)}", mend="See: genloom plugins list."
            )
    return [each for each in found if not names or {each.name, each.distribution} & set(names)]


def check(plugin: Declared, seconds: float = SECONDS) -> dict[str, Any]:
    """Load one plugin and the targets of its components in a child process.

    Args:
        plugin: which one; the others are not loaded.
        seconds: after which it counts as hanging.

    Returns:
        What `PluginStatus.summary` holds, and "defects": one line each, empty for a sound plugin.
    """
    others = {each.distribution for each in declared(GROUP)} - {plugin.distribution}
    env = {**os.environ, "GENLOOM_DISABLE_PLUGINS": ",".join(sorted(others)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    for variable in ("GENLOOM_NO_PLUGINS", "GENLOOM_STRICT_PLUGINS"):
        env.pop(variable, None)
    failed = {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version, "status": "failed"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, plugin.distribution],
            capture_output=True, text=True, env=env, check=False, timeout=seconds, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {**failed, "defects": [f"it gave no answer in {seconds:g} s"]}
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**failed, "defects": [f"its process ended with code {done.returncode}: {last}"]}
    return found


def examined(distribution: str, check_model: Callable[[Component, Any], None]) -> None:
    """Print what is found of a plugin as one line of JSON; runs in the child process.

    Args:
        distribution: whose plugin, or the path of its file.
        check_model: raises for the target of a model that is none; handed in, for it imports Keras.
    """
    from genloom.plugins.discovery import load_file, plugins

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no part of the answer
        if distribution.endswith(FILE):
            load_file(distribution)
        status = next(each for each in plugins() if each.distribution == distribution)
        defects = [f"{status.cause}{f' ({status.where})' if status.where else ''}"] if status.cause else []
        for component in status.components:
            try:
                target = component.load()
                if component.kind == "model":
                    check_model(component, target)
            except (Exception, SystemExit) as error:
                defects.append(" ".join(str(error).split()) or type(error).__name__)
    state = status.status if status.status != "ok" or not defects else "failed"
    print(json.dumps({**status.summary(), "status": state, "defects": defects}), flush=True)
    os._exit(0)  # a plugin's threads must not keep the answer waiting
