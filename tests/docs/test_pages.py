"""The documentation against the code: links, commands, flags, and the two READMEs against one another."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import click
import pytest

pytestmark = pytest.mark.any_engine

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


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

    for name in filter(maker.present, maker.COMMANDS):
        add(name, maker.command(name))
    assert found == real


def test_the_shell_blocks_of_the_readme_use_known_commands_and_flags(repository: Path) -> None:
    maker = _maker(repository)
    blocks = [code for kind, code in FENCE.findall((repository / "README.md").read_text("utf-8")) if kind == "sh"]
    lines = [line for code in blocks for line in code.splitlines() if "genloom " in line]
    assert len(lines) > 12
    for line in lines:
        words = line.partition("genloom ")[2].split()
        words = words[2:] if words[0] == "-p" else words
        command = maker.command(words[0])
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
