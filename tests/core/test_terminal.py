"""Names and texts that would steer the terminal are shown, escaped, in every line that a person sees."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from genloom.cli.failures import guarded
from genloom.cli.main import cli
from genloom.errors import ConfigError
from genloom.messages import shown, tell
from genloom.runs import create_run

pytestmark = pytest.mark.any_engine

EVIL = "\x1b]0;owned\x07\x1b[2Jcat\x9b1A\u202e"
SHOWN = r"\x1b]0;owned\x07\x1b[2Jcat\x9b1A\u202e"


def called(*words: object) -> int:
    given = [str(word) for word in words]
    return guarded(lambda: cli.main(given, prog_name="genloom", standalone_mode=False), given)


def test_control_characters_are_written_as_python_writes_them() -> None:
    assert shown(EVIL) == SHOWN
    assert shown("a\tb\nc\rd\x7f\udcff") == "a\tb\nc\\rd\\x7f\\udcff"
    assert shown("Größe 12 µm – 日本語 😀") == "Größe 12 µm – 日本語 😀"


def test_names_of_classes_reach_a_person_escaped_and_json_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, label = np.random.default_rng(0).random((40, 4, 4), "float32"), np.array([EVIL, "dog"] * 20)
    np.savez(tmp_path / "d.npz", x=x, label=label)
    assert called("data", "check", f"npz:{tmp_path / 'd.npz'}") == 0
    said = "".join(capsys.readouterr())
    assert SHOWN in said and shown(said) == said
    assert called("data", "check", f"npz:{tmp_path / 'd.npz'}", "--json") == 0
    out = capsys.readouterr().out
    assert "\\u001b]0;owned\\u0007" in out and shown(out) == out
    assert EVIL in json.loads(out)["spec"]["class_names"]


def test_what_a_run_says_reaches_a_person_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = create_run(tmp_path / "runs" / f"a{EVIL.replace('/', '')}")
    run.write_config({"model": {"id": EVIL}, "data": {"address": EVIL}})
    run.append_log({"step": 1, "losses": {EVIL: 1.0}})
    assert called("runs", tmp_path / "runs") == 0
    said = "".join(capsys.readouterr())
    assert said.count(SHOWN) == 4 and shown(said) == said


def test_errors_and_warnings_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ConfigError(f"No {EVIL} here.", mend=EVIL)

    assert guarded(fail, ["--traceback"]) == 2
    tell(f"{EVIL}\nError: forged")
    said = capsys.readouterr().err
    assert shown(said) == said and "\nError: forged" not in said and said.count(SHOWN) >= 3


def test_every_line_that_is_printed_goes_through_the_telling_functions(repository: Path) -> None:
    """`print` takes text in quotes, JSON, or what `shown` made."""
    found = []
    for file in sorted([*repository.glob("core/src/**/*.py"), *repository.glob("plugins/*/src/**/*.py")]):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
                text = ast.unparse(node.args[0])
                if not text.startswith(("shown(", "json.dumps(", "'")):
                    found.append(f"{file.relative_to(repository)}:{node.lineno}: {text[:60]}")
    known = ("cli/output.py", "cli/failures.py", "cli/completion.py", "engine.py", "callbacks/progress.py")
    assert [line for line in found if not line.partition(":")[0].endswith(known)] == []
