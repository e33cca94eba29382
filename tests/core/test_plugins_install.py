"""Plugins go into and out of a real environment by its own installer, and one that is broken leaves no trace."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.errors import ConfigError, NotFoundError, RunError
from genloom.installing import environments, installation
from genloom.installing.environments import Environment, detect
from genloom.installing.resolution import resolve
from genloom.plugins.first_party import FIRST_PARTY, THEIR_COMMANDS

pytestmark = [pytest.mark.any_engine, pytest.mark.long]

Run = Callable[..., subprocess.CompletedProcess[str]]
Package = Callable[..., Path]


@pytest.fixture
def run(run_there: Run) -> Run:
    return run_there


def frozen(environment: Path) -> dict[str, tuple[str, str | None]]:
    return installation.installed(str(environment))


def test_install_and_uninstall_leave_the_environment_as_it_was(run: Run, package: Package, environment: Path) -> None:
    folder, before = package("sound-plugin"), frozen(environment)
    plan = run("install", "--dry-run", "--json", str(folder))
    assert json.loads(plan.stdout)["plan"]["install"][0]["source"] == f"the folder {folder}"
    assert frozen(environment) == before
    done = run("install", "--yes", str(folder))
    assert done.returncode == 0, done.stderr
    assert "keras==" in done.stderr
    assert "Installed sound-plugin 1.0: sound-plugin/same" in done.stderr
    lines = run("plugins", "freeze").stdout.splitlines()
    assert f"sound-plugin @ file://{folder}" in lines
    assert json.loads(run("show", "sound-plugin/same", "--json").stdout)["distribution"] == "sound-plugin"
    done = run("uninstall", "-y", "sound-plugin")
    assert done.returncode == 0, done.stderr
    assert frozen(environment) == before


BROKEN = {
    "import": ("import no_such_module", "No module named 'no_such_module'"),
    "exit": ("raise SystemExit(7)", "it exits (7) at load time"),
    "hard exit": ("import os; os._exit(9)", "its process ended with code 9"),
    "target": ("absent", "'broken-plugin/same' cannot be loaded"),
    "no plugin": ("", "broken-plugin is not a GenLoom plugin"),
}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_taken_out_again(
    source: str, cause: str, run: Run, package: Package, environment: Path, sound: str
) -> None:
    source = sound.replace("{module}:same", "{module}:absent") if source == "absent" else source
    folder, before = package("broken-plugin", source), frozen(environment)
    if not source:
        text = (folder / "pyproject.toml").read_text()
        (folder / "pyproject.toml").write_text(
            text.replace("[project.entry-points.genloom]", "[project.entry-points.other]")
        )
        cause = cause.replace("broken-plugin", str(folder))
    done = run("install", "--yes", str(folder))
    assert done.returncode == 3, done.stderr
    assert cause in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("the environment is as it was.")
    assert frozen(environment) == before


def test_an_upgrade_that_breaks_is_undone(run: Run, package: Package, environment: Path) -> None:
    good = package("upgraded-plugin")
    assert run("install", "-y", str(good)).returncode == 0
    old = good.rename(good.parent / "old")
    run("uninstall", "-y", "upgraded-plugin")
    assert run("install", "-y", str(old)).returncode == 0
    before = frozen(environment)
    done = run("install", "-y", str(package("upgraded-plugin", "import nothing_here", version="2.0")))
    assert done.returncode == 3, done.stderr
    assert frozen(environment) == before
    run("uninstall", "-y", "upgraded-plugin")


def test_a_plugin_that_would_swap_keras_is_refused(run: Run, package: Package, environment: Path) -> None:
    folder, before = package("greedy-plugin", dependencies=("keras<3",)), frozen(environment)
    done = run("install", "-y", str(folder))
    assert done.returncode == 1
    assert "no plugin may ask for other versions" in done.stderr
    assert frozen(environment) == before


def test_sync_reproduces_a_set(run: Run, package: Package, environment: Path, tmp_path: Path) -> None:
    one, two = package("one-plugin"), package("two-plugin")
    assert run("install", "-y", str(one)).returncode == 0
    file = tmp_path / "plugins.txt"
    file.write_text(run("plugins", "freeze").stdout)
    wanted = frozen(environment)
    run("uninstall", "-y", "one-plugin")
    assert run("install", "-y", str(two)).returncode == 0
    done = run("plugins", "sync", "--yes", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["removed"] == ["two-plugin"]
    assert frozen(environment) == wanted
    again = json.loads(run("plugins", "sync", "--dry-run", "--json", str(file)).stdout)["plan"]
    assert (again["install"], again["remove"]) == ([], [])
    run("uninstall", "-y", "one-plugin")


def test_installing_works_while_another_plugin_is_broken(run: Run, package: Package, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "hang-1.dist-info").mkdir(parents=True)
    (site / "hang-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: hang\nVersion: 1\n")
    (site / "hang-1.dist-info" / "entry_points.txt").write_text("[genloom]\nhang = hang\n")
    (site / "hang.py").write_text("import time; time.sleep(1000)\n")
    done = run("install", "-y", str(package("late-plugin")), PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    done = run("plugins", "check", "hang", "--seconds", "3", "--json", PYTHONPATH=str(site))
    assert done.returncode == 3
    assert json.loads(done.stdout)["plugins"][0]["defects"] == ["it gave no answer in 3 s"]
    assert run("uninstall", "-y", "late-plugin", PYTHONPATH=str(site)).returncode == 0


def test_nothing_is_done_unasked(run: Run, package: Package, environment: Path) -> None:
    before = frozen(environment)
    done = run("install", str(package("asked-plugin")))
    assert done.returncode == 2
    assert "no terminal to ask on" in done.stderr
    assert frozen(environment) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("install", "./absent"), 4),
        (("install", "a b"), 2),
        (("install",), 2),
        (("uninstall", "absent"), 4),
        (("plugins", "check", "absent"), 4),
        (("plugins", "sync", "absent.txt"), 2),
    ],
)
def test_wrong_words_have_their_exit_codes(words: tuple[str, ...], code: int, run: Run) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_command_of_an_absent_plugin_names_the_plugin(repository: Path) -> None:
    offered = {}
    for file in repository.glob("plugins/*/src/*/__init__.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "genloom_commands":
                commands = next(n for n in ast.walk(node) if isinstance(n, ast.Dict))
                offered |= {ast.literal_eval(key): file.parents[2].name for key in commands.keys if key is not None}
    assert offered == THEIR_COMMANDS


def test_names_resolve_to_where_they_come_from(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {f.parent.name: f"genloom-{f.parent.name}" for f in repository.glob("plugins/*/pyproject.toml")}
    assert folders == FIRST_PARTY
    own = resolve("vae")
    assert own.name == "genloom-vae"
    # From a checkout its own folder, from an installed GenLoom the package index, never the bare name.
    assert own.requirement in (str(repository / "plugins" / "vae"), "genloom-vae")
    assert resolve("genloom_vae==0.1.0").requirement == "genloom-vae==0.1.0"
    assert "none of GenLoom's own" in resolve("vaee").source and "Did you mean 'vae'?" in resolve("vaee").source
    assert resolve("git+https://example.org/x.git").requirement == "git+https://example.org/x.git"
    with pytest.raises(NotFoundError):
        resolve(str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow").mkdir()
    assert resolve("flow").source.startswith("the package index")
    (tmp_path / "flow" / "pyproject.toml").write_text("[project]\nname = 'flow'\n")
    with pytest.raises(ConfigError, match=r"is a folder here .*Write \./flow for the folder, 'flow>=0' for the index"):
        resolve("flow")
    assert (resolve("./flow").requirement, resolve("flow>=0").requirement) == (str(tmp_path / "flow"), "flow>=0")
    with pytest.raises(ConfigError, match="no pyproject"):
        resolve(str(tmp_path))
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(ConfigError, match=r"-p FILE\.py"):
        resolve(str(tmp_path / "mine.py"))


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments.shutil, "which", lambda name: f"/bin/{name}")


def test_each_kind_of_environment_has_its_own_installer(programs: None, tmp_path: Path) -> None:
    limits = tmp_path / "limits"
    (tmp_path / "pyvenv.cfg").write_text("")
    assert detect(tmp_path).kind == "pip"
    assert detect(tmp_path).uninstall(["x"]) == [sys.executable, "-m", "pip", "uninstall", "--yes", "x"]
    (tmp_path / "conda-meta").mkdir()
    assert detect(tmp_path).kind == "conda"
    (tmp_path / "pipx_metadata.json").write_text("{}")
    pipx = detect(tmp_path)
    x = resolve("x")
    assert pipx.install([x], limits) == [["/bin/pipx", "inject", "--force", tmp_path.name, "x"]]
    assert pipx.variables(limits)["PIP_CONSTRAINT"] == str(limits)  # a flag would be kept, and its file is gone soon
    assert pipx.uninstall(["x"]) == ["/bin/pipx", "uninject", tmp_path.name, "x"]
    (tmp_path / "uv-receipt.toml").write_text(
        '[tool]\npython = "/bin/python3"\nrequirements = [{name = "genloom", extras = ["jax"]}, '
        '{name = "a", specifier = ">=1"}, {name = "b", directory = "/b"}]\n'
    )
    tool = detect(tmp_path)
    start = ["/bin/uv", "tool", "install", "--python", "/bin/python3"]
    kept = ["--with", "a>=1", "--with", "b @ file:///b"]
    assert tool.install([x], limits) == [
        [*start, "--constraints", str(limits), *kept, "--with", "x", "genloom[jax]"],
        [*start, *kept, "--with", "x", "genloom[jax]"],  # the pins leave the receipt again
    ]
    assert tool.install([resolve("b==2")], limits)[1] == [*start, "--with", "a>=1", "--with", "b==2", "genloom[jax]"]
    assert tool.uninstall(["b"]) == [*start, "--with", "a>=1", "genloom[jax]"]
    both = installation.Plan(tool, (x,), ("b",)).commands(limits)
    assert all("b @ file:///b" not in command for command in both)
    uv = Environment("uv", tmp_path, ("/bin/uv", "pip"))
    assert uv.install([x], limits)[0][:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]
    assert "--yes" not in uv.uninstall(["x"])


def test_pip_is_found_beside_a_loaded_distutils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As torch leaves it: setuptools then answers the search for pip with a warning, and unloads distutils.
    monkeypatch.setitem(sys.modules, "distutils", types.ModuleType("distutils"))
    (tmp_path / "pyvenv.cfg").write_text("")
    assert detect(tmp_path).kind == "pip"
    assert "distutils" in sys.modules


def test_a_managed_python_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    with pytest.raises(ConfigError, match="managed by the operating system"):
        detect(tmp_path, stdlib=tmp_path)


def test_the_program_that_made_the_environment_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    with pytest.raises(RunError, match="made by pipx"):
        detect(tmp_path)


@pytest.mark.parametrize("text", ["[tool", "[other]", "[tool]\nrequirements = []", "[tool]\nrequirements = [3]"])
def test_a_damaged_receipt_is_an_error_with_its_mend(text: str, programs: None, tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").write_text(text)
    with pytest.raises(RunError, match="uv tool install --reinstall genloom"):
        detect(tmp_path)


def test_archives_say_whose_they_are(tmp_path: Path) -> None:
    names = {"my_flow-1.0-py3-none-any.whl": "my-flow", "my_flow-1.0.tar.gz": "my-flow", "my-flow-main.tar.gz": ""}
    for file, name in names.items():
        (tmp_path / file).write_text("")
        assert resolve(str(tmp_path / file)).name == name


def test_an_editable_plugin_comes_back_editable(run: Run, package: Package, environment: Path) -> None:
    folder = package("edited-plugin")
    command = [str(environment), "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "-e", str(folder)]
    subprocess.run(command, check=True)
    before = frozen(environment)
    assert '"editable": true' in str(before["edited-plugin"][1])
    broken = package("edited-plugin", "import nothing_here", version="2.0").rename(folder.parent / "broken")
    package("edited-plugin")
    done = run("install", "-y", str(broken))
    assert done.returncode == 3, done.stderr
    assert frozen(environment) == before
    run("uninstall", "-y", "edited-plugin")


def test_a_set_that_does_not_work_is_not_kept(run: Run, package: Package, environment: Path, tmp_path: Path) -> None:
    good, bad = package("kept-plugin"), package("bad-plugin", "import nothing_here")
    assert run("install", "-y", str(good)).returncode == 0
    before = frozen(environment)
    file = tmp_path / "plugins.txt"
    file.write_text(f"bad-plugin @ file://{bad}\n")
    done = run("plugins", "sync", "--yes", str(file))
    assert done.returncode == 3
    assert "bad-plugin 1.0: ModuleNotFoundError" in done.stderr
    assert frozen(environment) == before
    run("uninstall", "-y", "kept-plugin")
