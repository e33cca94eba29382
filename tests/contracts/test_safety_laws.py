"""Nothing that a file says is executed: no call in the shipped source may do so."""

from __future__ import annotations

import ast
import re

import pytest

pytestmark = pytest.mark.any_engine

Trees = dict[str, ast.Module]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
BUILTINS = {"eval", "exec", "compile"}
CALLS = re.compile(
    r"(^|\.)(Lambda|load_model|model_from_json|from_config_file|torch\.load|os\.system|os\.popen|enable_unsafe_deserialization)$"
)
ARGUMENTS = {"allow_pickle": True, "shell": True, "safe_mode": False, "weights_only": False}


def dangers(tree: ast.AST) -> list[str]:
    """Imports and calls that could run what a file holds."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _dangerous_call(node)
    return found


def _dangerous_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    keywords = {item.arg: item.value.value for item in node.keywords if isinstance(item.value, ast.Constant)}
    unsafe = [f"{name}({key}={value})" for key, value in ARGUMENTS.items() if keywords.get(key) is value]
    return [*unsafe, name] if name in BUILTINS or CALLS.search(name) else unsafe


def test_nothing_a_file_says_is_executed(sources: Trees) -> None:
    assert [f"{path}: {danger}" for path, tree in sources.items() for danger in dangers(tree)] == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "keras.layers.Lambda(f)",
        "Lambda(f)",
        "keras.saving.load_model(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_each_danger_is_seen(text: str) -> None:
    assert dangers(ast.parse(text))


def test_harmless_calls_pass() -> None:
    assert dangers(ast.parse("import re\nre.compile('a')\nmodel.compile()\nnp.load(path, allow_pickle=False)")) == []
