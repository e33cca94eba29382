"""The demo's last step, a plugin that comes and goes, is not left out in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genloom.errors import RunError
from genloom_demo import command, plan, summary

pytestmark = pytest.mark.any_engine


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A demo whose other steps are done, on a machine without a package index; what it wrote and printed."""
    told: list[str] = []

    def write_report(plan: Any, found: Any) -> tuple[Path, Path]:
        told.append("report")
        return tmp_path / "report.json", tmp_path / "report.html"

    monkeypatch.setattr(plan.Demo, "run", lambda plan, say: None)
    monkeypatch.setattr(summary, "summarise", lambda plan: {"families": []})
    monkeypatch.setattr(summary, "write_report", write_report)
    monkeypatch.setattr(command, "_print", lambda found: told.append("table"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return told


def test_without_an_index_the_report_stands_and_the_demo_fails(finished: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(command.demo, ["--out", str(tmp_path / "demo")])
    assert isinstance(done.exception, RunError), done.output
    assert "installing needs the package index" in str(done.exception)
    assert finished == ["report", "table"]
    as_json = CliRunner().invoke(command.demo, ["--out", str(tmp_path / "demo"), "--json"])
    assert isinstance(as_json.exception, RunError) and as_json.stdout == ""


def test_a_plugin_that_came_and_went_is_a_success(finished: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "plugin"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"model": "demo-model/gaussian", "losses": [2.0, 1.0]}))
    done = CliRunner().invoke(command.demo, ["--out", str(tmp_path / "demo"), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["families"] == []
