"""Messages are records of the logger "genloom": seen without a word of setting up, and the user's to send elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_engine

START = """
import logging, sys
import genloom
from genloom.cli.failures import guarded
from genloom.messages import on_stderr, say, tell

logger = logging.getLogger("genloom")

def both():
    tell("The disk\\x1b[2J\\nis full.")
    say("Stopped.")
"""
UNTOUCHED = "assert (logger.handlers, logger.level, logging.root.handlers, logging.root.level) == ([], 0, [], 30)\n"
WARNING = r"The disk\x1b[2J is full."


@pytest.fixture
def run(subprocess_env: Callable[..., dict[str, str]]) -> Callable[[str], tuple[str, str]]:
    def run(program: str) -> tuple[str, str]:
        command = [sys.executable, "-c", START + program]
        done = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    return run


def test_who_configures_nothing_sees_warnings(run: Callable[[str], tuple[str, str]]) -> None:
    program = f"{UNTOUCHED}both()\n{UNTOUCHED}assert 'keras' not in sys.modules"
    assert run(program) == ("", f"{WARNING}\n")


@pytest.mark.parametrize(
    ("setting", "printed"),
    [
        ("logger.setLevel('ERROR')", ""),
        ("logger.addHandler(logging.NullHandler())", ""),
        (
            "logging.basicConfig(stream=sys.stdout, level='INFO')",
            f"WARNING:genloom:{WARNING}\nINFO:genloom:Stopped.\n",
        ),
    ],
)
def test_logging_silences_and_redirects(setting: str, printed: str, run: Callable[[str], tuple[str, str]]) -> None:
    assert run(f"{setting}\nboth()") == (printed, "")


def test_a_command_shows_each_message_once_and_leaves_no_handler(run: Callable[[str], tuple[str, str]]) -> None:
    nested = "def nested():\n    with on_stderr():\n        both()\n"
    shown = f"genloom: warning: {WARNING}\ngenloom: Stopped.\n"
    assert run(f"{nested}guarded(nested, [])\nguarded(both, [])\n{UNTOUCHED}") == ("", shown * 2)


def test_a_command_shows_each_message_once_where_a_library_gave_the_root_a_handler(
    run: Callable[[str], tuple[str, str]],
) -> None:
    program = "logging.basicConfig()\nguarded(both, [])\nassert logger.propagate"
    assert run(program) == ("", f"genloom: warning: {WARNING}\ngenloom: Stopped.\n")


def test_a_command_keeps_the_level_that_was_chosen(run: Callable[[str], tuple[str, str]]) -> None:
    program = "logger.setLevel('WARNING')\nguarded(both, [])\nassert logger.level == logging.WARNING"
    assert run(program) == ("", f"genloom: warning: {WARNING}\n")


def test_the_defect_of_a_plugin_is_a_warning(
    genloom: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("import genloom\n\n@genloom.hookimpl\ndef genloom_componentz():\n    return []\n")
    done = genloom("-p", plugin, "list", "--json")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("genloom: warning: ") and "there is no hook 'genloom_componentz'" in line
