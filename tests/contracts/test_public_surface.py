"""What the reader meets: documented, typed, exported names in files and functions of readable length."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_engine

Trees = dict[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
FOLDERS = ("core", "plugins", "tests", "benchmarks", "examples")


def exported(tree: ast.Module) -> list[str] | None:
    """The names in `__all__`, or None without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def defined(tree: ast.Module) -> dict[str, ast.AST]:
    """Everything bound at module level, also under `if TYPE_CHECKING`."""
    names: dict[str, ast.AST] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | Function) and node in tree.body:
            names[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0]: node for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {ast.unparse(target): node for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            names[ast.unparse(node.target)] = node
    return names


def untyped(node: Function) -> bool:
    """Whether an argument (self and cls apart) or the result has no annotation."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    named = [item for item in arguments if item is not None and item.arg not in {"self", "cls"}]
    return node.returns is None or any(item.annotation is None for item in named)


def faults(path: str, tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without documentation or types."""
    found = []
    for name in exported(tree) or []:
        node = defined(tree).get(name)
        if not isinstance(node, ast.ClassDef | Function):
            continue
        if not ast.get_docstring(node):
            found.append(f"{path}: {name} has no docstring")
        methods = [item for item in getattr(node, "body", []) if isinstance(item, Function)]
        members = [node] if isinstance(node, Function) else [item for item in methods if not item.name.startswith("_")]
        found += [f"{path}: {name}.{member.name} is not fully typed" for member in members if untyped(member)]
    return found


def test_every_module_says_why_it_exists(sources: Trees) -> None:
    assert [path for path, tree in sources.items() if not ast.get_docstring(tree)] == []


def test_every_public_name_is_documented_and_typed(sources: Trees) -> None:
    assert [fault for path, tree in sources.items() for fault in faults(path, tree)] == []


def test_a_missing_docstring_or_type_is_seen() -> None:
    bare = ast.parse("__all__ = ['f', 'C']\ndef f(x: int): 'Doc.'\nclass C:\n    def m(self, y) -> int: ...")
    assert faults("bare.py", bare) == [
        "bare.py: f.f is not fully typed",
        "bare.py: C has no docstring",
        "bare.py: C.m is not fully typed",
    ]


def test_modules_with_public_definitions_declare_what_they_export(sources: Trees) -> None:
    silent = []
    for path, tree in sources.items():
        public = [node.name for node in tree.body if isinstance(node, ast.ClassDef | Function) and node.name[0] != "_"]
        private = any(part.startswith("_") and part != "__init__.py" for part in path.split("/"))
        if public and exported(tree) is None and not private:
            silent.append(path)
    assert silent == []


def test_every_exported_name_exists(sources: Trees) -> None:
    lost = []
    for path, tree in sources.items():
        names = {*defined(tree), "__version__"}
        below = {file.stem for file in Path(path).parent.iterdir()} if path.endswith("__init__.py") else set()
        lazy = "__getattr__" in names
        lost += [f"{path}: {name}" for name in exported(tree) or [] if name not in names | below and not lazy]
    assert lost == []


def test_every_name_of_the_package_resolves_and_is_documented() -> None:
    import genloom

    assert genloom.__all__ == sorted(genloom.__all__)
    assert [name for name in genloom.__all__ if not getattr(genloom, name).__doc__] == []


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import genloom

    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        genloom.tarin  # noqa: B018


def test_files_and_functions_are_short(repository: Path) -> None:
    assert [fault for file in python_files(repository) for fault in long_parts(file)] == []


def test_a_long_function_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text("def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES)
    assert long_parts(file) == [f"{file.name}: f has 61 lines"]
    file.write_text("x = 1\n" * (MAX_FILE_LINES + 1))
    assert long_parts(file) == [f"{file.name}: 401 lines"]


def python_files(repository: Path) -> list[Path]:
    """Every Python file of the project, tests and examples included."""
    found = [file for folder in FOLDERS for file in sorted((repository / folder).rglob("*.py"))]
    return [*found, repository / "noxfile.py", repository / "conftest.py"]


def long_parts(file: Path) -> list[str]:
    """Files over 400 lines and functions over 60, the docstring not counted."""
    text = file.read_text("utf-8")
    lines = text.count("\n")
    found = [f"{file.name}: {lines} lines"] if lines > MAX_FILE_LINES else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and (length := _length(node)) > MAX_FUNCTION_LINES:
            found.append(f"{file.name}: {node.name} has {length} lines")
    return found


def _length(node: Function) -> int:
    first = node.body[0]
    doc = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) else 0
    return (node.end_lineno or 0) - node.lineno + 1 - doc
