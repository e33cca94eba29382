"""What is installed is a name, a path or an address and never an option; secrets in addresses are never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genloom.errors import ConfigError, RunError
from genloom.installing import installation
from genloom.installing.environments import Environment
from genloom.installing.installation import Plan, freeze, plan_sync
from genloom.installing.resolution import resolve
from genloom.plugins.secrets import masked

pytestmark = pytest.mark.any_engine

OPTIONS = (
    "--requirement=http://evil.example/r.txt",
    "-rhttp://evil.example/r.txt",
    "--index-url=https://evil.example/simple",
    "-e git+https://evil.example/x.git",
    " --pre",
    "--target=/tmp/x",
    "-",
)
MEANINGLESS = (
    "name==1 --index-url=https://evil.example",
    "name @ https://evil.example/x.whl --pre",
    "name==1\n--pre",
    "https://evil.example/x.whl\n--pre",
    "name @ javascript://x",
    "ext::sh://x",
    "name==1; import os",
    "name\x1b[2J",
)
MEANT = (
    "name",
    "name[a,b]>=1.0, <2",
    "name ~= 1.4.2",
    "name==1.*",
    "https://example.org/x-1.0.tar.gz#sha256=abc",
    "name @ git+ssh://git@example.org/x.git@0123abc",
    "name[a] @ https://example.org/x.whl",
)
SECRET = "git+https://me:s3cr3t@example.org/x.git"


@pytest.mark.parametrize("word", OPTIONS)
def test_an_option_is_no_name(word: str) -> None:
    with pytest.raises(ConfigError, match="is an option"):
        resolve(word)
    with pytest.raises(ConfigError, match="is an option"):
        plan_sync(["# ours", word])


@pytest.mark.parametrize("word", MEANINGLESS)
def test_what_no_installer_should_see_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="is no name, path or address"):
        resolve(word)


@pytest.mark.parametrize("word", MEANT)
def test_names_versions_and_addresses_are_told_to_the_installer_as_they_are(word: str) -> None:
    assert resolve(word).requirement == word


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (SECRET, "git+https://***@example.org/x.git"),
        ("a @ https://t0ken@h/x?access_token=abc&y=1#z", "a @ https://***@h/x?access_token=***&y=1#z"),
        ("https://a:b@c@h/x", "https://***@h/x"),
        ("ssh://git@h/x", "ssh://git@h/x"),
        ("https://h/a@1.0", "https://h/a@1.0"),
    ],
)
def test_secrets_are_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_a_plan_its_words_and_its_errors_show_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = resolve(SECRET)
    plan = Plan(Environment("pip", tmp_path, ("false", SECRET, "x")), (wanted,))
    assert wanted.requirement == SECRET
    with pytest.raises(RunError) as error:
        installation.carry_out(plan, print)
    for text in (json.dumps(plan.summary()), wanted.text, wanted.source, str(error.value), capfd.readouterr().out):
        assert "s3cr3t" not in text and "***@example.org" in text
    with pytest.raises(ConfigError) as refusal:
        resolve(SECRET + " --pre")
    assert "s3cr3t" not in str(refusal.value)


def test_freezing_shows_no_secret_and_undoing_still_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = json.dumps({"url": "https://me:s3cr3t@example.org/x.whl"})
    monkeypatch.setattr(installation, "declared", lambda group: [installation.Declared("x", "x", "x", "1")])
    monkeypatch.setattr(installation, "installed", lambda: {"x": ("1", direct)})
    assert freeze() == ["x @ https://***@example.org/x.whl"]
    assert "s3cr3t" in installation._as_it_was("x", "1", direct).requirement
