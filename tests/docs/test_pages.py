"""The documentation against the code: links, commands, flags, and the two READMEs against one another."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
from pathlib import Path
from typing import Any

import click
import pytest

pytestmark = pytest.mark.any_engine

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)


def pages(repository: Path) -> list[Path]:
    return [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]


def test_links_between_pages_resolve(repository: Path) -> None:
    broken = [
        f"{page.name}: {link}"
        for page in pages(repository)
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_both_readmes_hold_the_same_code(repository: Path) -> None:
    english, chinese = (
        FENCE.findall((repository / name).read_text("utf-8")) for name in ("README.md", "README.zh-CN.md")
    )
    assert len(english) > 8
    assert english == chinese


def test_the_two_commands_are_those_of_ci_and_nox(repository: Path) -> None:
    readme, ci = ((repository / name).read_text("utf-8") for name in ("README.md", ".ci/run"))
    assert "pip install nox && python -m nox -s tests\n" in readme
    assert "python -m nox -s tests\n" in ci
    plugins = " ".join(f"./plugins/{name}" for name in ("gan", "vae", "diffusion", "demo"))
    install = f'pip install -c constraints.txt "./core[jax]" {plugins} && genloom demo'
    assert f"python3 -m venv .venv && . .venv/bin/activate && {install}\n" in readme
    assert "as-user" in ci  # which runs the first command as it stands here


@pytest.mark.parametrize("name", ["keras", "jax", "torch", "tensorflow"])
def test_the_versions_are_the_pinned_ones(repository: Path, name: str) -> None:
    pinned = re.search(rf"^{name}==(\S+)", (repository / "constraints.txt").read_text("utf-8"), re.M)
    assert pinned is not None
    shown = {"keras": "Keras", "jax": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"}[name]
    for readme in ("README.md", "README.zh-CN.md"):
        assert f"| {shown} | {pinned[1]} |" in (repository / readme).read_text("utf-8")


def _maker(repository: Path, name: str = "make_cli") -> Any:
    spec = importlib.util.spec_from_file_location(name, repository / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_names_every_command_and_flag_and_no_other(repository: Path) -> None:
    """Mend with: python docs/make_cli.py."""
    maker = _maker(repository)
    sections = re.split(r"^## genloom ", (repository / "docs" / "cli.md").read_text("utf-8"), flags=re.M)[1:]
    found = {re.split(r" [A-Z\[{]|\n", part)[0]: set(re.findall(r"(?<=[`])--?[\w-]+(?=`)", part)) for part in sections}
    real: dict[str, set[str]] = {}

    def add(name: str, command: click.Command) -> None:
        real[name] = {flag for p in command.params if isinstance(p, click.Option) for flag in p.opts}
        for inner, child in getattr(command, "commands", {}).items():
            add(f"{name} {inner}", child)

    for name, (target, _) in maker.commands().items():
        add(name, maker.loaded(name, target))
    assert found == real


@pytest.mark.parametrize(("page", "fewest"), [("README.md", 13), ("docs/tutorial.md", 11), ("docs/data.md", 1)])
def test_the_shell_blocks_of_a_page_use_known_commands_and_flags(repository: Path, page: str, fewest: int) -> None:
    maker = _maker(repository)
    blocks = [code for kind, code in FENCE.findall((repository / page).read_text("utf-8")) if kind == "sh"]
    lines = [line for code in blocks for line in code.splitlines() if "genloom " in line]
    assert len(lines) >= fewest
    for line in lines:
        words = line.partition("genloom ")[2].split()
        words = words[2:] if words[0] == "-p" else words
        command = maker.loaded(words[0], maker.commands()[words[0]][0])
        if isinstance(command, click.Group):
            command = command.commands[words[1]]
        known = {flag for p in command.params for flag in p.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_the_page_of_hooks_is_made_from_the_hooks(repository: Path) -> None:
    """Mend with: python docs/make_hooks.py."""
    maker = _maker(repository, "make_hooks")
    text = (repository / "docs" / "hooks.md").read_text("utf-8")
    assert text == maker.page()
    assert re.findall(r"^## (genloom_\w+)$", text, re.M) == list(maker.hooks())
    assert len(maker.hooks()) >= 7
    for name, hook in maker.hooks().items():
        assert hook.__doc__, f"{name} has no docstring"


def test_the_page_of_plugins_names_every_shared_layer(repository: Path) -> None:
    from genloom import layers

    page = (repository / "docs" / "plugins.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.M)
    assert [name for name, _ in rows] == sorted(layers.__all__)
    assert all(meaning.endswith(".") for _, meaning in rows)


def test_the_index_lists_every_page_for_the_host_and_for_the_site(repository: Path) -> None:
    text = (repository / "docs" / "index.md").read_text("utf-8")
    listed = {link.removesuffix(".md") for link in re.findall(r"\]\(([^)]+)\)", text)}
    trees = re.findall(r"^```\{toctree\}\n(?::\w+:[^\n]*\n)+\n(.*?)^```$", text, re.M | re.S)
    in_trees = [line.partition("<")[2].removesuffix(">") or line for tree in trees for line in tree.splitlines()]
    assert len(in_trees) == len(set(in_trees))
    assert set(in_trees) == listed
    docs = repository / "docs"
    here = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")} - {"index"}
    assert here <= listed


def test_the_page_of_public_names_lists_every_public_module(repository: Path) -> None:
    import genloom

    rows = re.findall(r"^   (genloom\S*)$", (repository / "docs" / "api.md").read_text("utf-8"), re.M)
    public = {getattr(genloom, name).__name__ for name in genloom.__all__ if inspect.ismodule(getattr(genloom, name))}
    assert rows == sorted({"genloom", "genloom.model.family", *public})


def test_the_site_shows_docstrings_as_they_are_written(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))  # which loading conf.py sets
    conf = _maker(repository, "conf")
    lines = ["Return (n, *shape), see `*x`.", "", "Returns:", "    The entry: what there is."]
    conf.as_written(None, "function", "f", None, None, lines)
    assert lines == [r"Return (n, \*shape), see `*x`.", "", "Returns:", "    \\", "    The entry: what there is."]
    lines = ["Whether it is: or not."]
    conf.as_written(None, "property", "p", None, None, lines)
    assert lines == ["\\", "Whether it is: or not."]
    long = "(x: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~typing.Any]] = <factory>)"
    assert conf.short(None, "function", "f", None, None, long, None) == ["(x: NDArray[~typing.Any] = ...)", None]
