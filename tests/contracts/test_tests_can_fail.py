"""No test of the repository is written so that it cannot fail: what is matched is a piece of a sentence, and so on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_engine

FOLDERS = ("tests", "plugins", "examples")
SHORTEST = 8  # letters of a message that a match must hold; "b" and "0" are in any


def trees(repository: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yield every file of tests, and what it says."""
    for folder in FOLDERS:
        for path in sorted((repository / folder).rglob("test_*.py")):
            yield path.relative_to(repository).as_posix(), ast.parse(path.read_text("utf-8"))


def texts(node: ast.expr, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    """Yield the texts that an expression may be: its own, or those that are given under its name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.Name):
        for value in names.get(node.id, []):
            yield from texts(value, {})


def given(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Return what parametrised arguments and variables of written-out loops stand for, by name."""
    found: dict[str, list[ast.expr]] = {}

    def note(names: list[str], rows: ast.expr) -> None:
        for row in rows.elts if isinstance(rows, (ast.List, ast.Tuple)) else []:
            row = row.args and ast.Tuple(row.args) if isinstance(row, ast.Call) else row  # pytest.param
            cells = row.elts if len(names) > 1 and isinstance(row, (ast.List, ast.Tuple)) else [row]
            for name, cell in zip(names, cells, strict=False):
                found.setdefault(name, []).append(cell)

    for node in ast.walk(function):
        if isinstance(node, ast.For):
            targets = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
            note([ast.unparse(target) for target in targets], node.iter)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("parametrize"):
            names = ast.literal_eval(node.args[0])
            note([part.strip() for part in names.split(",")] if isinstance(names, str) else list(names), node.args[1])
    return found


def short_matches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every match that is shorter than a piece of a sentence."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = given(function)
        for node in ast.walk(function):
            for keyword in node.keywords if isinstance(node, ast.Call) else []:
                if keyword.arg == "match":
                    for text in texts(keyword.value, names):
                        if len(text.replace("\\", "").replace(".*", "")) < SHORTEST:
                            yield keyword.value.lineno, text


def idle_assertions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of assertions that hold by how they are written: `a if b else True`, `a or True`, `True`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            parts = [node.test, *(node.test.values if isinstance(node.test, ast.BoolOp) else [])]
            if isinstance(node.test, ast.IfExp):
                parts += [node.test.body, node.test.orelse]
            yield from (node.lineno for part in parts if isinstance(part, ast.Constant) and part.value)


def checks(node: ast.AST) -> bool:
    """Say whether something is asserted, or expected to be raised, by the code itself."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Assert, ast.Raise)):
            return True
        if isinstance(part, ast.Call):
            name = ast.unparse(part.func)
            if any(keyword.arg == "check" and ast.unparse(keyword.value) == "True" for keyword in part.keywords):
                return True  # subprocess.run
            if name.startswith("np.testing.") or name in ("pytest.raises", "pytest.warns", "pytest.fail"):
                return True
    return False


def unchecked(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield tests in which nothing is checked, neither there nor in a function of the file that they call."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def checking(function: ast.FunctionDef, seen: set[str]) -> bool:
        calls = {ast.unparse(node.func).split(".")[-1] for node in ast.walk(function) if isinstance(node, ast.Call)}
        calls = (calls & functions.keys()) - seen
        return checks(function) or any(checking(functions[name], seen | {*calls}) for name in calls)

    for name, function in functions.items():
        if name.startswith("test_") and not checking(function, {name}):
            yield function.lineno, name


def test_a_match_is_a_piece_of_a_sentence(repository: Path) -> None:
    found = [f"{file}:{line}: {text!r}" for file, tree in trees(repository) for line, text in short_matches(tree)]
    assert not found, "\n".join(found)


def test_no_assertion_holds_by_how_it_is_written(repository: Path) -> None:
    found = [f"{file}:{line}" for file, tree in trees(repository) for line in idle_assertions(tree)]
    assert not found, "\n".join(found)


def test_every_test_checks_something(repository: Path) -> None:
    found = [f"{file}:{line}: {name}" for file, tree in trees(repository) for line, name in unchecked(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "look"),
    [
        ("def test_a():\n    with pytest.raises(E, match='b'): f()", short_matches),
        ("def test_a():\n    with pytest.raises(E, match=r'\\[1\\].*\\(2\\)'): f()", short_matches),
        ("@pytest.mark.parametrize('x', ['abc'])\ndef test_a(x):\n    with raises(E, match=x): f()", short_matches),
        ("def test_a():\n    for _, w in [(1, 'low')]:\n        with raises(E, match=w): f()", short_matches),
        ("def test_a():\n    with pytest.raises(E, match=f'got {x}'): f()", short_matches),
        ("assert a == b if c else True", idle_assertions),
        ("assert a or True", idle_assertions),
        ("def test_a():\n    close(1, 2)", unchecked),
        ("def test_a():\n    b()\ndef b():\n    a == 1", unchecked),
    ],
)  # fmt: skip
def test_each_is_seen(code: str, look: object) -> None:
    assert list(look(ast.parse(code)))  # type: ignore[operator]
