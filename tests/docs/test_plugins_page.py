"""docs/plugins.md from its first listing to its last: files are written, commands run, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.any_engine, pytest.mark.long]

LISTING = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def test_every_listing_works(
    repository: Path, environment: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    binaries = environment.parent
    script = binaries / "genloom"
    script.write_text(f"#!{environment}\nfrom genloom.cli.main import main\nmain()\n")
    script.chmod(0o755)
    env = subprocess_env(PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}", PIP_DISABLE_PIP_VERSION_CHECK="1")
    kinds = []
    for head, body in LISTING.findall((repository / "docs" / "plugins.md").read_text("utf-8")):
        language, *words = head.split()
        kinds.append(language)
        if language == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", body],
                cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=900,
            )  # fmt: skip
            assert done.returncode == 0, f"{body}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            continue
        assert words, f"a listing says neither what file it is nor that it is run:\n{body}"
        path = tmp_path / words[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((path.read_text("utf-8") if words[0] == "add" else "") + body, "utf-8")
    assert kinds.count("sh") == 6 and set(kinds) == {"sh", "python", "toml"}
    report = (tmp_path / "runs" / "mixture" / "report.html").read_text("utf-8")
    assert "Parts of the mixture" in report and "mixture/round:levels=17" in report
    assert (tmp_path / "threes.png").exists()
    assert (tmp_path / "digits.png").exists() and len(list((tmp_path / "dist").iterdir())) == 2
