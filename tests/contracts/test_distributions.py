"""The distributions, the pinned set and the documents agree with one another."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

pytestmark = pytest.mark.any_engine

PLUGINS = tuple(sorted(path.parent.name for path in Path(__file__).parents[2].glob("plugins/*/pyproject.toml")))
# No accelerator there, minutes of training or of faults, or part of `tests` and `site` already.
NOT_IN_CI = {"gpu", "bench", "quality", "faults", "docs"}


@pytest.fixture(scope="module")
def projects(repository: Path) -> dict[str, dict[str, Any]]:
    """The `[project]` table of each distribution, by its folder."""
    folders = ["core", *(f"plugins/{name}" for name in PLUGINS)]
    return {
        folder: tomllib.loads((repository / folder / "pyproject.toml").read_text())["project"] for folder in folders
    }


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, Version]:
    """The pinned set: canonical name to version."""
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert all(len(pair) == 2 for pair in pairs), "constraints.txt holds exact pins only"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def unsatisfied(requirements: Iterable[str], pins: dict[str, Version]) -> list[str]:
    """Requirements whose distribution is not pinned, or pinned outside their range."""
    parsed = [Requirement(text) for text in requirements]
    return [str(item) for item in parsed if not item.specifier.contains(pins.get(canonicalize_name(item.name), "0a0"))]


def test_the_versions_agree_with_each_other_and_with_what_is_installed(projects: dict[str, Any]) -> None:
    import genloom

    versions = {project["name"]: project["version"] for project in projects.values()}
    assert len(set(versions.values())) == 1, versions
    installed = {name: importlib.metadata.version(name) for name in versions}
    assert installed == versions
    assert genloom.__version__ == versions["genloom"]


def test_the_changelog_opens_with_this_version(repository: Path, projects: dict[str, Any]) -> None:
    headings = re.findall(r"^## \[?([0-9][^\s\]]*)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == projects["core"]["version"]


def test_every_requirement_is_pinned_within_its_range(repository: Path, projects: dict[str, Any], pins: Any) -> None:
    known = pins | {project["name"]: Version(project["version"]) for project in projects.values()}
    groups = tomllib.loads((repository / "pyproject.toml").read_text())["dependency-groups"]
    wanted = [text for group in groups.values() for text in group]
    for project in projects.values():
        wanted += project["dependencies"]
        wanted += [text for extra in project.get("optional-dependencies", {}).values() for text in extra]
    assert unsatisfied(wanted, known) == []


def test_an_unpinned_and_an_outdated_requirement_are_seen() -> None:
    pins = {"keras": Version("3.14.0"), "torch": Version("2.13.0")}
    wanted = ["keras>=3.15.1,<3.16", "torch>=2.13", "absent>=1"]
    assert unsatisfied(wanted, pins) == ["keras<3.16,>=3.15.1", "absent>=1"]


def test_the_pins_name_no_build_for_one_kind_of_machine(pins: dict[str, Version]) -> None:
    assert [name for name, version in pins.items() if version.local or name.startswith("nvidia")] == []
    assert pins["torch"] == Version("2.13.0")


def test_each_plugin_is_found_through_its_entry_point(projects: dict[str, Any]) -> None:
    for name in PLUGINS:
        assert projects[f"plugins/{name}"]["entry-points"] == {"genloom": {name: f"genloom_{name}"}}
    installed = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="genloom")}
    assert installed.items() >= {(name, f"genloom_{name}") for name in PLUGINS}


def test_the_core_depends_on_no_plugin_and_no_engine(projects: dict[str, Any]) -> None:
    names = {Requirement(text).name for text in projects["core"]["dependencies"]}
    assert not {name for name in names if name.startswith("genloom")} | names & {"jax", "torch", "tensorflow"}


def test_the_licence_travels_with_each_distribution(repository: Path, projects: dict[str, Any]) -> None:
    licence = (repository / "LICENSE").read_bytes()
    assert b"Apache License" in licence and b"END OF TERMS AND CONDITIONS" in licence
    for folder, project in projects.items():
        assert (repository / folder / "LICENSE").read_bytes() == licence
        assert project["license"] == "Apache-2.0"


def nox_sessions(text: str) -> set[str]:
    """The sessions that the `nox -s …` commands of a document run, parameters left out."""
    commands = re.findall(r"^.*\bnox -s ([^#|\n`]*)", text, re.MULTILINE)
    return {name.strip("\"'").partition("(")[0] for line in commands for name in line.split(" -- ")[0].split()}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_checks_that_a_document_names_are_those_of_ci(repository: Path, document: str) -> None:
    named = nox_sessions((repository / document).read_text())
    run = nox_sessions((repository / ".ci" / "run").read_text())
    assert "tests" in named
    assert named - NOT_IN_CI <= run
    defined = set(re.findall(r"@nox\.session.*\n(?:@.*\n)*def (\w+)", (repository / "noxfile.py").read_text()))
    defined = {name.replace("as_user", "as-user") for name in defined}
    assert named | run <= defined


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_folders_that_a_document_installs_exist(repository: Path, document: str) -> None:
    commands = re.findall(r"\b(?:pip|genloom) install (.*?)(?:&&|;|`|$)", (repository / document).read_text(), re.M)
    paths = [word.strip("\"'").partition("[")[0] for line in commands for word in line.split() if "./" in word]
    assert paths, "the document installs nothing from the checkout"
    assert [path for path in paths if not (repository / path / "pyproject.toml").is_file()] == []
