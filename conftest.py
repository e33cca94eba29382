"""What every test of the repository shares: one engine per process, few threads, the shared data, a clean environment.

It lies in the root so that the plugins' own tests find it too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
ENGINES = ("jax", "torch", "tensorflow")

# One thread per pool: small tests gain nothing from more; two busy processes on two cores slow each other 5-25 times.
for _variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# What one test compiles serves the others, their child processes and the workers of pytest-xdist; the user's own cache
# stays out of it. COMPILED_BY_TESTS names a folder that stays, for several sessions of the suite.
_OURS = None if "COMPILED_BY_TESTS" in os.environ else tempfile.mkdtemp(prefix="genloom-compiled-")
_COMPILED = os.environ.setdefault("COMPILED_BY_TESTS", _OURS or "")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(_COMPILED, "inductor")
os.environ["MPLCONFIGDIR"] = os.path.join(_COMPILED, "matplotlib")  # its list of fonts takes seconds to make

_INSTALLED = [engine for engine in ENGINES if importlib.util.find_spec(engine) is not None]
if not _INSTALLED:
    raise pytest.UsageError(f'No engine is installed. Install one of {", ".join(ENGINES)}: pip install "./core[jax]"')
BACKEND = os.environ.setdefault("KERAS_BACKEND", _INSTALLED[0])
if "torch" in _INSTALLED and "tensorflow" in _INSTALLED:
    importlib.import_module("torch")  # loaded after TensorFlow in one process, torch crashes
if BACKEND == "torch" and importlib.util.find_spec("setuptools") is not None:
    importlib.import_module("setuptools")  # Inductor asks for it, and it fails once anything has imported distutils


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job is born so, and so would be the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What every command on an engine imports of others, for seconds: `run_python` has it imported once.
_SLOW = [
    BACKEND,
    *(["torch._dynamo"] if BACKEND == "torch" else []),
    "h5py",
    "matplotlib.pyplot",
    "scipy.stats",
    "sklearn",
]

if BACKEND == "jax":
    # Tiny models are compiled for seconds and run for milliseconds; `as-user` runs what a user's XLA makes.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_unconfigure() -> None:
    """Throw away what JAX compiled."""
    if _OURS is not None:
        shutil.rmtree(_OURS, ignore_errors=True)


def pytest_report_header() -> list[str]:
    """Name the engine, after checking that Keras really runs on the one asked for; matplotlib lists its fonts once."""
    import keras

    importlib.import_module("matplotlib.font_manager")
    if keras.backend.backend() != BACKEND:
        raise pytest.UsageError(f"KERAS_BACKEND={BACKEND} was asked for, but Keras runs on {keras.backend.backend()}.")
    version = importlib.import_module(BACKEND).__version__
    return [f"engine: {BACKEND} {version}, keras {keras.__version__}, threads {os.environ['OMP_NUM_THREADS']}"]


@pytest.fixture(autouse=True)
def messages_on_stderr() -> Iterator[None]:
    """Show GenLoom's messages as the command line does."""
    from genloom.messages import on_stderr

    with on_stderr():
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the larger test data (`GENLOOM_TEST_DATA`, or `../shared/data`); skips without it."""
    folder = Path(os.environ.get("GENLOOM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set GENLOOM_TEST_DATA to the folder that holds mnist-10k and its like")
    return folder


@pytest.fixture
def subprocess_env(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """A factory of environments for child processes: no GENLOOM_ settings of the caller, own caches, the test's engine.

    Call it with variables to add; the value None removes one.
    """
    return functools.partial(_variables, tmp_path)


def _variables(folder: Path, **changes: str | None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GENLOOM_")}
    env |= {"KERAS_BACKEND": BACKEND, "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1", "COLUMNS": "120"}
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


@pytest.fixture(scope="session")
def nursery() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """The server of tests/nursery.py on a Python, and in a group of its own all the processes that it bears."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def server(python: str) -> subprocess.Popen[str]:
            command = [python, str(ROOT / "tests" / "nursery.py"), *_SLOW]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            return stack.enter_context(subprocess.Popen(command, **pipes, text=True, start_new_session=True))

        yield server


@pytest.fixture(scope="session")
def run_python(
    nursery: Callable[[str], subprocess.Popen[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -c PROGRAM WORD…` with `env` in `cwd`; a new process, but what is slow to import is there (nursery).

    Who asks what is imported, or changes threads or libraries before anything is, calls Python itself.
    """

    def run(
        program: str, *words: str, env: dict[str, str], cwd: Path, python: str = sys.executable, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        server, folder = nursery(python), tmp_path_factory.mktemp("printed")
        files = {name: folder / name for name in ("stdout", "stderr")}
        request = {"program": program, "words": words, "env": env, "cwd": str(cwd)}
        request |= {name: str(file) for name, file in files.items()}
        alarm = threading.Timer(timeout, os.killpg, (server.pid, signal.SIGKILL))
        alarm.start()
        print(json.dumps(request), file=server.stdin, flush=True)
        code = server.stdout.readline()
        alarm.cancel()
        printed = {name: file.read_text("utf-8") for name, file in files.items()}
        assert code, f"no end within {timeout} s: {words}\n{printed}"
        return subprocess.CompletedProcess(["python", "-c", program, *words], int(code), **printed)

    return run


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a throw-away environment with pip of its own, which sees the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return python


@pytest.fixture(scope="module")
def run_in(environment: Path) -> Callable[[Path], Callable[..., subprocess.CompletedProcess[str]]]:
    """What runs `genloom WORD…` in the throw-away environment and a folder, without a package index.

    Keywords are variables.
    """
    quiet = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(folder: Path, *words: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(environment), "-c", "from genloom.cli.main import main; main()", *words],
            capture_output=True,
            text=True,
            env=_variables(folder, **quiet, **variables),
            check=False,
            timeout=300,
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )

    return lambda folder: functools.partial(run, folder)


@pytest.fixture
def run_there(
    run_in: Callable[[Path], Callable[..., subprocess.CompletedProcess[str]]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `genloom WORD…` in the throw-away environment and a folder of the test's own; keywords are variables."""
    return run_in(tmp_path)
