"""docs/plugins.md from its first listing to its last: files are written, commands run, as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.any_engine, pytest.mark.long]

Run = Callable[..., subprocess.CompletedProcess[str]]
LISTING = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


#: How a line of a listing begins, and the program that it runs.
PROGRAMS = {
    "genloom ": "from genloom.cli.main import main; main()",
    "python -m pytest ": "import pytest; raise SystemExit(pytest.console_main())",
}


@pytest.fixture
def typed(
    environment: Path, tmp_path: Path, subprocess_env: Callable[..., dict[str, str]], run_python: Run
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a line as its reader types it."""
    binaries = environment.parent
    script = binaries / "genloom"
    script.write_text(f"#!{environment}\nfrom genloom.cli.main import main\nmain()\n")
    script.chmod(0o755)
    env = subprocess_env(PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}", PIP_DISABLE_PIP_VERSION_CHECK="1")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        for start, program in PROGRAMS.items():
            if line.startswith(start) and ">" not in line:
                words = shlex.split(line.removeprefix(start))
                return run_python(program, *words, env=env, cwd=tmp_path, python=str(environment), timeout=900)
        command = ["bash", "-euo", "pipefail", "-c", line]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=900)

    return run


def test_every_listing_works(
    repository: Path, tmp_path: Path, typed: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    kinds = []
    for head, body in LISTING.findall((repository / "docs" / "plugins.md").read_text("utf-8")):
        language, *words = head.split()
        kinds.append(language)
        if language == "sh":
            for line in body.splitlines():
                done = typed(line)
                assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
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
