"""A stranger's plugin, examples/third_party_flow: built, installed from its sdist, tested, trained, and taken out."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genloom.installing.installation import installed as frozen

pytestmark = pytest.mark.long

Genloom = Callable[..., subprocess.CompletedProcess[str]]
once = pytest.mark.skipif(
    os.environ["KERAS_BACKEND"] != "jax", reason="its own tests run on every engine, its life once"
)

# What the true density of `toy:two-moons` gets on its held-out points; a Gaussian gets -2.0.
TRUE_NATS = -0.28


@pytest.fixture(scope="module")
def archive(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, as its author would upload it."""
    folder = tmp_path_factory.mktemp("flow")
    source = folder / "source"
    shutil.copytree(
        repository / "examples" / "third_party_flow", source, ignore=shutil.ignore_patterns("__pycache__", "dist")
    )
    program = "import sys; from hatchling.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, cwd=source)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(archive: Path, run_in: Callable[[Path], Genloom], environment: Path) -> Iterator[None]:
    """The plugin installed; taken out afterwards, when the environment is as it was."""
    before, run = frozen(str(environment)), run_in(archive.parent)
    done = run("install", "--yes", str(archive))
    assert done.returncode == 0, done.stderr
    assert "Installed third-party-flow 1.0.0: flow/realnvp, flow/spline" in done.stderr
    yield
    done = run("uninstall", "--yes", "flow")
    assert done.returncode == 0, done.stderr
    assert frozen(str(environment)) == before


@pytest.fixture
def run_there(
    run_python: Genloom, environment: Path, subprocess_env: Callable[..., dict[str, str]], tmp_path: Path
) -> Genloom:
    """Run `genloom WORD…` in the throw-away environment and a folder of the test's own."""
    program = "from genloom.cli.main import main; main()"
    return functools.partial(run_python, program, env=subprocess_env(), cwd=tmp_path, python=str(environment))


def finished(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_own_tests_pass_on_this_engine(
    installed: None,
    archive: Path,
    environment: Path,
    repository: Path,
    tmp_path: Path,
    subprocess_env: Callable[..., dict[str, str]],
) -> None:
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    tests = next(tmp_path.glob("third_party_flow-*/tests"))
    words = [str(environment), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests), str(tests)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=subprocess_env(), cwd=tests, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:]


@once
def test_a_flow_learns_two_moons_and_everything_it_brings_is_there(
    installed: None, run_there: Genloom, tmp_path: Path
) -> None:
    words = ("flow/spline", "--data", "toy:two-moons", "--steps", "600", "--batch-size", "256")
    finished(run_there("train", *words, "--set", "layers=6", "--set", "training.sample_every=0", "--out", "moons"))
    found = json.loads(finished(run_there("density", "moons", "--json")))
    # No density beats the true one by more than chance, and a flow comes within 0.4 nats in seconds.
    assert TRUE_NATS - 0.4 < found["nats"] < TRUE_NATS + 3 * found["error"]
    finished(run_there("report", "moons"))
    page = (tmp_path / "moons" / "report.html").read_text()
    errors = json.loads((tmp_path / "moons" / "flow.json").read_text())["errors"]
    assert "<h2>The flow</h2>" in page and "density over" in page
    assert len(errors) == 4 and max(errors) < 1e-2  # 600 steps are three epochs and a bit


@once
def test_a_flow_trains_on_digits_and_samples_by_seed(installed: None, run_there: Genloom, tmp_path: Path) -> None:
    import numpy as np

    words = ("flow/realnvp", "--data", "digits", "--preset", "digits", "--epochs", "2", "--set", "hidden=64")
    finished(run_there("train", *words, "--out", "digits"))
    log = [json.loads(line) for line in (tmp_path / "digits" / "log.jsonl").read_text().splitlines()]
    bits = [line["losses"]["val_bits_per_dim"] for line in log if "val_bits_per_dim" in line.get("losses", {})]
    assert bits[-1] < np.log2(17) - 0.5  # uniform levels cost log₂ 17 = 4.09
    for n, name in ((4, "few"), (64, "many")):
        finished(run_there("sample", "digits", "-n", str(n), "--out", f"{name}.npz"))
    few, many = (np.load(tmp_path / f"{name}.npz")["samples"] for name in ("few", "many"))
    assert few == pytest.approx(many[:4], abs=1e-4)


@once
def test_a_run_of_a_plugin_that_is_gone_says_so(installed: None, archive: Path, run_there: Genloom) -> None:
    words = ("flow/realnvp", "--data", "toy:two-moons", "--steps", "2", "--set", "training.sample_every=0")
    finished(run_there("train", *words, "--out", "run"))
    finished(run_there("uninstall", "--yes", "third-party-flow"))
    gone = run_there("sample", "run", "--out", "x.npz")
    assert gone.returncode == 4
    assert "flow/realnvp" in gone.stderr
    assert run_there("density", "run").returncode == 2
    assert finished(run_there("report", "run"))  # what a run holds can be read without its plugin
    finished(run_there("install", "--yes", str(archive)))


def test_it_uses_public_names_only(repository: Path) -> None:
    """Modules that docs/compatibility.md promises, and of them what their `__all__` lists."""
    promised = set(re.findall(r"`(genloom[\w.]*)`", (repository / "docs" / "compatibility.md").read_text("utf-8")))
    found = []
    for path in (repository / "examples" / "third_party_flow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != "genloom":
                continue
            module = node.module or ""
            exported = importlib.import_module(module).__all__ if module in promised else ()
            found += [f"{path.name}: {module}.{alias.name}" for alias in node.names if alias.name not in exported]
    assert found == []
