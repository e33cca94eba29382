"""The README's Python and shell run as printed, with fewer epochs; its plugin draws digits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
Environment = Callable[..., dict[str, str]]

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") != "jax" and "GENLOOM_EXAMPLES" not in os.environ,
    reason="the README runs on jax, and in `nox -s docs`",
)


def blocks(repository: Path, kind: str) -> list[str]:
    return [code for found, code in FENCE.findall((repository / "README.md").read_text("utf-8")) if found == kind]


def finish(words: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shell(script: str, folder: Path, env: dict[str, str]) -> str:
    """Run a block with `genloom` of this environment."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "genloom"
    program.write_text(f"#!{sys.executable}\nfrom genloom.cli.main import main\nmain()\n")
    program.chmod(0o755)
    return finish(["bash", "-euc", script], folder, env | {"PATH": f"{program.parent}{os.pathsep}{env['PATH']}"})


def test_the_python_block_runs(repository: Path, tmp_path: Path, subprocess_env: Environment) -> None:
    (code,) = [block for block in blocks(repository, "python") if block.startswith("import genloom")]
    printed = finish([sys.executable, "-c", code.replace("epochs=20", "epochs=2")], tmp_path, subprocess_env())
    assert "(16, 8, 8, 1) True" in printed
    assert "fd[pca20]" in printed


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
def test_the_shell_block_runs(repository: Path, tmp_path: Path, subprocess_env: Environment) -> None:
    (code,) = [block for block in blocks(repository, "sh") if "genloom data check" in block]
    shell(re.sub(r"--epochs (\d)0\b", r"--epochs \1", code), tmp_path, subprocess_env())
    for name in ("vae.png", "threes.png", "runs/vae/report.html", "runs/vae/metrics.json"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
def test_the_plugin_works_as_printed(repository: Path, tmp_path: Path, subprocess_env: Environment) -> None:
    (code,) = [block for block in blocks(repository, "python") if "genloom_components" in block]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 30
    (tmp_path / "gaussian.py").write_text(code)
    (commands,) = [block for block in blocks(repository, "sh") if "-p gaussian.py" in block]
    shell(commands, tmp_path, subprocess_env())
    assert (tmp_path / "gaussian.png").read_bytes().startswith(b"\x89PNG")
    measured = json.loads((tmp_path / "runs" / "gaussian" / "metrics.json").read_text())
    scores = {entry["name"]: entry for entry in measured}
    # Measured: 0.99, as real digits; 0.152, where one Gaussian for all classes has 0.249.
    assert scores["class-agreement"]["value"] > 0.95
    assert scores["fd[pca20]"]["value"] < 0.2 < scores["fd[pca20]"]["opponents"]["gaussian"]
