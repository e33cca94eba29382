"""Every check of the repository as a session: one environment each, made by pip under constraints.txt.

`nox` runs the quick ones; CI runs `lint types build site` and `tests`, and beside them `as-user` and `newest` (see
.ci/run).
Arguments after `--` go to the program that a session runs: `nox -s "tests(jax)" -- -k loader`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).resolve().parent
ENGINES = ("tensorflow", "torch", "jax")
NEWEST_PYTHON = "3.13"
PLUGINS = tuple(sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")))
DISTRIBUTIONS = ("core", *(f"plugins/{name}" for name in PLUGINS))
GROUPS = nox.project.load_toml("pyproject.toml")
PINNED = ("-c", "constraints.txt")
# What the newest Python runs of the tests that an engine takes part in.
TRAINED = (
    *(f"tests/core/test_{name}.py" for name in ("training_loop", "saving", "sampling", "model_step", "promises")),
    "tests/contracts/test_conformance_kit.py",
)
# A test keeps to one thread, so that many run at a time; what shares a fixture or a training runs in one process, and
# files begin in the order in which they are found, those marked `long` first.
SLOWEST = ("--durations", "20", "--durations-min", "2")
TOGETHER = ("-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadscope", "--no-loadscope-reorder")


def install(session: nox.Session, *targets: str, groups: tuple[str, ...] = ()) -> None:
    """Install tools by group, then packages of this repository, built by the environment's own pinned hatchling.

    Python compiles a module when it is first imported: pip would compile all of an engine, for as long as it installs.
    """
    tools = nox.project.dependency_groups(GROUPS, *groups, *(["packaging"] if targets else []))
    session.install(*PINNED, "--no-compile", *tools)
    if targets:
        session.install(*PINNED, "--no-compile", "--no-build-isolation", *targets)


def everything(*engines: str) -> tuple[str, ...]:
    """The core with these engines, and every plugin, as pip's arguments."""
    return (f"./core[{','.join(engines)}]", *(f"./plugins/{name}" for name in PLUGINS))


def engine(name: str) -> dict[str, str]:
    """The environment variables of a process that runs on one engine; sessions share what their tests compiled."""
    compiled = str(ROOT / ".nox" / "compiled")
    return {"KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3", "COMPILED_BY_TESTS": compiled}


@nox.session
@nox.parametrize("backend", ENGINES, ids=ENGINES)
def tests(session: nox.Session, backend: str) -> None:
    """The suite on one engine, with no other installed; classes and files stay together on one process.

    Torch, the quickest to start, also runs what knows no engine, and the comparisons with a library that runs on torch.
    On JAX the plugins' own tests run in `isolated`, which comes last; unless arguments choose what runs.
    """
    everywhere = backend == "torch"
    install(session, *everything(backend), groups=("test", *(["live"] if everywhere else [])))
    chosen = () if everywhere else ("-m", "not gpu and not quality and not any_engine")
    if backend == "jax" and not session.posargs:
        chosen += ("tests",)
        session.notify("isolated", posargs=[])
    session.run("python", "-m", "pytest", *TOGETHER, *SLOWEST, *chosen, *session.posargs, env=engine(backend))


@nox.session
@nox.parametrize("backend", ENGINES, ids=ENGINES)
def gpu(session: nox.Session, backend: str) -> None:
    """The tests marked `gpu`, and the benchmarks there; without an accelerator skipped, or under REQUIRE_GPU=1 failed.

    Each engine has an environment of its own, and a benchmark that fails unless it computed on the accelerator.
    """
    if not _gpu_answers():
        message = "nvidia-smi does not answer: no NVIDIA GPU to test on"
        if os.environ.get("REQUIRE_GPU") == "1":
            session.error(message)
        session.skip(message)
    install(session, *everything(f"{backend}-cuda"), groups=("test",))
    session.run("python", "-m", "pytest", "-m", "gpu", *session.posargs, env=engine(backend))
    session.run("python", "benchmarks/gpu.py", env=engine(backend) | {"REQUIRE_GPU": "1"})
    rows = ("vae", "wgan-gp", "unet", "unet-3m", "multi-step")
    session.run("python", "benchmarks/run.py", "--engines", backend, "--rows", *rows)


def _gpu_answers() -> bool:
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program, "-L"], capture_output=True, check=False).returncode == 0


@nox.session
def isolated(session: nox.Session) -> None:
    """Each plugin alone: its declared dependencies, one engine, and its own tests; `-- gan vae` for some of them.

    The engine and the tools are installed once; what a plugin brings is taken out again before the next one comes.
    """
    install(session, "./core[jax]", groups=("test",))
    session.run("python", "-m", "pip", "uninstall", "-q", "--yes", *(f"genloom-{plugin}" for plugin in PLUGINS))
    failed = [plugin for plugin in session.posargs or PLUGINS if not _passes_alone(session, plugin)]
    if failed:
        session.error(f"failed alone: {', '.join(failed)}")


def _passes_alone(session: nox.Session, plugin: str) -> bool:
    before = _installed(session)
    session.install(*PINNED, "--no-compile", "--no-build-isolation", f"./plugins/{plugin}")
    others = [f"genloom_{name}" for name in PLUGINS if name != plugin]
    check = f"import importlib.util as u; raise SystemExit(str([n for n in {others} if u.find_spec(n)] or '') or 0)"
    session.run("python", "-c", check)
    try:
        session.run("python", "-m", "pytest", *TOGETHER, f"plugins/{plugin}/tests", env=engine("jax"))
    except nox.command.CommandFailed:
        return False
    finally:
        session.run("python", "-m", "pip", "uninstall", "-q", "--yes", *sorted(_installed(session) - before))
    return True


def _installed(session: nox.Session) -> set[str]:
    """The names of the distributions in the session's environment."""
    names = "from importlib.metadata import distributions as d; print(*{x.name for x in d()})"
    return set(str(session.run("python", "-c", names, silent=True, log=False)).split())


@nox.session
def lint(session: nox.Session) -> None:
    """Style, banned imports, and the direction of imports between packages."""
    install(session, groups=("lint",))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = os.pathsep.join(str(ROOT / distribution / "src") for distribution in DISTRIBUTIONS)
    session.run("lint-imports", env={"PYTHONPATH": sources})


@nox.session
def types(session: nox.Session) -> None:
    """Strict types over the core and the plugins."""
    install(session, groups=("types",))
    session.run("mypy", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The documentation as a site, in site/: a broken link, an unreadable docstring, a page out of reach fail it."""
    install(session, "./core[jax]", groups=("docs",))
    _build_site(session)


def _build_site(session: nox.Session) -> None:
    for made in (ROOT / "site", ROOT / "docs" / "api"):
        shutil.rmtree(made, ignore_errors=True)
    strict = ("--fail-on-warning", "--keep-going", "--nitpicky")
    doctrees = Path(session.create_tmp()).resolve() / "doctrees"
    session.run("python", "-m", "sphinx", "-q", *strict, "-E", "-c", "docs", "-d", str(doctrees), ".", "site")
    session.log("site/index.html")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, the documentation against the code, and the examples in their short form."""
    install(session, *everything("jax"), groups=("test", "docs"))
    _build_site(session)
    session.run("python", "-m", "pytest", "tests/docs", *session.posargs, env=engine("jax") | {"GENLOOM_EXAMPLES": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Speed beside hand-written loops and other libraries, on every engine; `-- --quick` for a smaller sample."""
    install(session, *everything(*ENGINES), groups=("bench",))
    session.install(*PINNED, "--no-deps", "pythae")  # which asks for torchvision, and runs without
    session.run("python", "benchmarks/run.py", *session.posargs)
    session.run("python", "benchmarks/alone.py", *(["--quick"] if "--quick" in session.posargs else []))


@nox.session
def quality(session: nox.Session) -> None:
    """The long trainings that must reach a derived or published number; `-- diffusion` takes those of one family."""
    install(session, *everything("jax"), groups=("test",))
    chosen = [word for name in session.posargs for word in (("-k", name) if name in PLUGINS else (name,))]
    session.run("python", "-m", "pytest", "-m", "quality", *chosen, env=engine("jax"))


@nox.session
def faults(session: nox.Session) -> None:
    """Faults done on purpose, each tried in full on every engine, and their counts in docs/reliability.md."""
    install(session, *everything(*ENGINES), groups=("test",))
    ledger = Path(session.create_tmp()).resolve() / "faults.jsonl"
    ledger.unlink(missing_ok=True)
    for name in ENGINES:
        tried = engine(name) | {"FAULTS_LEDGER": str(ledger)}
        session.run("python", "-m", "pytest", "tests/faults", *session.posargs, env=tried)
    session.run("python", "docs/make_reliability.py", str(ledger))


@nox.session(name="as-user", venv_backend="none")
def as_user(session: nox.Session) -> None:
    """What a new user does, word for word, in an environment that README's own first command makes; the demo too."""
    folder = Path(session.create_tmp()) / "as-user"
    session.run(sys.executable, "tests/end_to_end/as_user.py", str(folder), *session.posargs, external=True)


@nox.session(python=NEWEST_PYTHON)
def newest(session: nox.Session) -> None:
    """The core on the newest supported Python; the other sessions run on the one that nox runs on, in CI the oldest.

    What knows no engine runs whole: files, processes, types and annotations are Python's own. What an engine computes
    does not hang on Python's version: of that, models are trained, stopped, saved, resumed and drawn from.
    """
    install(session, *everything("jax"), groups=("test",))
    pytest = ("python", "-m", "pytest", *TOGETHER)
    if session.posargs:
        session.run(*pytest, *session.posargs, env=engine("jax"))
        return
    # uv and pipx are programs of their own: what they make of a plugin, `tests` asks.
    elsewhere = ("--ignore", "tests/core/test_plugins_installers.py")
    session.run(*pytest, "tests/core", *elsewhere, "-m", "any_engine and not quality", env=engine("jax"))
    session.run(*pytest, *TRAINED, env=engine("jax"))


@nox.session
def build(session: nox.Session) -> None:
    """Source archive and wheel of each distribution: complete, and able to run outside the checkout."""
    install(session, groups=("packaging",))
    out = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(out, ignore_errors=True)
    for distribution in DISTRIBUTIONS:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(out), distribution, silent=True)
        _check_contents(session, ROOT / distribution, out)
    fresh = out.parent / "fresh"
    session.run("python", "-m", "venv", "--clear", str(fresh))
    binaries = fresh / ("Scripts" if os.name == "nt" else "bin")
    wheels = [str(path) for path in sorted(out.glob("*.whl"))]
    session.run(str(binaries / "python"), "-m", "pip", "install", "-q", *PINNED, *wheels, external=True)
    session.chdir(out.parent)
    for command in (["--version"], ["plugins", "list"], ["list", "models"]):
        session.run(str(binaries / "genloom"), *command, external=True)


def _check_contents(session: nox.Session, distribution: Path, out: Path) -> None:
    """Fail unless wheel and source archive hold every file of the package, its type marker and the licence."""
    package = next(path for path in (distribution / "src").iterdir() if (path / "__init__.py").exists())
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {path.relative_to(package.parent).as_posix() for path in files} | {f"{package.name}/py.typed"}
    with zipfile.ZipFile(next(out.glob(f"{package.name}-*.whl"))) as wheel:
        held = set(wheel.namelist())
    with tarfile.open(next(out.glob(f"{package.name}-*.tar.gz"))) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    missing = sorted((wanted - held) | ({f"src/{name}" for name in wanted} | {"LICENSE", "README.md"}) - source)
    if missing or not any(name.endswith("licenses/LICENSE") for name in held):
        session.error(f"{package.name}: not in the archives: {missing or 'LICENSE'}")
    session.log(f"{package.name}: {len(wanted)} files in wheel and source archive")
