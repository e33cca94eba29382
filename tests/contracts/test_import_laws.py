"""Who may import what: the engines, Keras's private modules, the plugins, and the light modules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_engine

Trees = dict[str, ast.Module]
ENGINES = {"jax", "jaxlib", "torch", "tensorflow"}
BACKEND = "core/src/genloom/backend/"
CHOOSES_THE_ENGINE = "core/src/genloom/engine.py"  # fails loudly when Keras is loaded with another one already
LIGHT_PACKAGES = [
    *("genloom.builtin", "genloom.cli", "genloom.data", "genloom.files", "genloom.installing", "genloom.metrics"),
    *("genloom.plugins", "genloom.postprocess", "genloom.report", "genloom.runs"),
]
LIGHT_MODULES = [
    *("genloom", "genloom.engine", "genloom.errors", "genloom.evaluation.compare", "genloom.hookspecs"),
    *("genloom.messages", "genloom.options", "genloom.modalities.drawing", "genloom.data.samples"),
    "genloom.version",
]
PLUGINS = [path.name for path in sorted(Path(__file__).parents[2].glob("plugins/*/src/genloom_*"))]

# Run in a fresh process: imports the modules named (and all below a package) and reports the first that drags Keras in.
PROBE = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    below = pkgutil.walk_packages(module.__path__, name + ".") if name in {packages} else ()
    for entry in [name, *(found.name for found in below)]:
        if entry.endswith("__main__"):
            continue
        importlib.import_module(entry)
        heavy = sorted({{"keras", "jax", "torch", "tensorflow"}} & sys.modules.keys())
        if heavy:
            raise SystemExit(f"importing {{entry}} imports {{', '.join(heavy)}}")
"""


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every import as (module, name or None), those by `import_module("…")` and `__import__("…")` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and (text := _imported_by_call(node)):
            yield text, None


def _imported_by_call(node: ast.Call) -> str:
    called = ast.unparse(node.func).rpartition(".")[2]
    by_name = called in {"import_module", "__import__"} and node.args and isinstance(node.args[0], ast.Constant)
    return str(ast.literal_eval(node.args[0])) if by_name else ""


def whole(module: str, name: str | None) -> str:
    """The dotted path that an import reaches."""
    return module if name is None else f"{module}.{name}"


def within(path: str, package: str) -> bool:
    """Whether a dotted path is a package or lies in it."""
    return path == package or path.startswith(f"{package}.")


def engine_imports(trees: Trees) -> list[str]:
    return [
        f"{path}: {module}"
        for path, tree in trees.items()
        for module, _ in imports(tree)
        if module.partition(".")[0] in ENGINES and not re.fullmatch(BACKEND + r"(?!__init__)\w+\.py", path)
    ]


def private_keras(trees: Trees) -> list[str]:
    found = []
    for path, tree in trees.items():
        reached = {whole(*item) for item in imports(tree)}
        reached |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if not path.startswith(BACKEND) and any(within(name, "keras.src") for name in reached):
            found.append(path)
    return found


def promised(page: str) -> set[str]:
    """The modules that docs/compatibility.md promises to plugins."""
    rows = [line for line in page.splitlines() if line.startswith("| `genloom")]
    return {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}


def plugin_trespasses(trees: Trees, modules: Trees, public: set[str]) -> list[str]:
    """Imports of another plugin, and of what the core does not promise."""
    found = []
    for path, tree in trees.items():
        if not path.startswith("plugins/"):
            continue
        own = path.split("/")[3]
        for module, name in imports(tree):
            top = module.partition(".")[0]
            foreign = re.match(r"genloom_\w+", top) and top != own
            if foreign or (top == "genloom" and not _is_public(module, name, modules, public)):
                found.append(f"{path}: {whole(module, name)}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match(r"genloom\.(\w+\.)*_(?!_version__)", ast.unparse(node)):
                found.append(f"{path}: {ast.unparse(node)}")
    return found


def _is_public(module: str, name: str | None, modules: Trees, public: set[str]) -> bool:
    if whole(module, name) in public:
        return True
    return module in public and name is not None and name in exported(modules[module])


def exported(tree: ast.Module) -> set[str]:
    """The names in a module's `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def backend_branches(trees: Trees) -> list[str]:
    """Questions to Keras for its backend, or comparisons with an engine's name, outside the backend package."""
    found = []
    for path, tree in trees.items():
        if path.startswith(BACKEND) or path == CHOOSES_THE_ENGINE:
            continue
        for node in ast.walk(tree):
            asks = isinstance(node, ast.Call) and re.search(
                r"\b(keras\.backend|config)\.backend\(\)$", ast.unparse(node)
            )
            if asks or (isinstance(node, ast.Compare) and re.search(r"\bbackend\.name\(\)", ast.unparse(node))):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    return found


def core_imports_of_plugins(trees: Trees) -> list[str]:
    return [
        f"{path}: {module}"
        for path, tree in trees.items()
        if path.startswith("core/")
        for module, _ in imports(tree)
        if module.startswith("genloom_")
    ]


def test_only_backend_modules_import_an_engine(sources: Trees) -> None:
    assert engine_imports(sources) == []


def test_private_keras_stays_in_the_backend_package(sources: Trees) -> None:
    assert private_keras(sources) == []


def test_only_the_backend_package_branches_on_the_engine(sources: Trees) -> None:
    assert backend_branches(sources) == []


def test_the_core_imports_no_plugin(sources: Trees) -> None:
    assert core_imports_of_plugins(sources) == []


@pytest.fixture
def public(repository: Path) -> set[str]:
    return promised((repository / "docs" / "compatibility.md").read_text("utf-8"))


def test_plugins_import_what_is_promised_only(sources: Trees, modules: Trees, public: set[str]) -> None:
    assert public <= modules.keys()
    assert plugin_trespasses(sources, modules, public) == []


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (engine_imports, "core/src/genloom/model/generative.py", "def f():\n    import torch.nn as nn"),
        (
            engine_imports,
            "core/src/genloom/model/generative.py",
            "from importlib import import_module as i\nimport_module('jax')",
        ),
        (engine_imports, BACKEND + "__init__.py", "from tensorflow import function"),
        (private_keras, "plugins/gan/src/genloom_gan/model.py", "from keras import src"),
        (private_keras, "plugins/gan/src/genloom_gan/model.py", "import keras\nkeras.src.backend.x"),
        (backend_branches, "core/src/genloom/model/generative.py", "if keras.backend.backend() == 'jax': pass"),
        (backend_branches, "core/src/genloom/model/generative.py", "x = backend.name() in ('torch',)"),
        (core_imports_of_plugins, "core/src/genloom/model/generative.py", "__import__('genloom_gan')"),
    ],
)
def test_each_law_sees_its_own_breach(check: Callable[[Trees], list[str]], path: str, text: str) -> None:
    assert check({path: ast.parse(text)})


@pytest.mark.parametrize(
    "text",
    [
        "from genloom_vae import networks",
        "from genloom.model import _State",
        "from genloom._private import x",
        "import genloom\ngenloom.model._hidden()",
        "from genloom.errors import difflib",
        "from genloom.no_such_module import x",
    ],
)
def test_a_trespassing_plugin_is_seen(text: str, modules: Trees, public: set[str]) -> None:
    assert plugin_trespasses({"plugins/gan/src/genloom_gan/model.py": ast.parse(text)}, modules, public)


@pytest.mark.parametrize("name", [*LIGHT_MODULES, *LIGHT_PACKAGES, *PLUGINS])
def test_light_modules_import_neither_keras_nor_an_engine(
    name: str, subprocess_env: Callable[..., dict[str, str]]
) -> None:
    probe = PROBE.format(packages=LIGHT_PACKAGES)
    done = subprocess.run(
        [sys.executable, "-c", probe, name],
        capture_output=True,
        text=True,
        env=subprocess_env(),
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
