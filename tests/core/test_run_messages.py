"""What a person is told who resumes, misspells, or has a run whose plugin is not there: the cause, and what to type."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from genloom.cli.plan import environment_settings
from genloom.cli.train import train
from genloom.errors import NotFoundError
from genloom.opening.load import rebuild
from genloom.plugins import registry
from genloom.plugins.status import PluginStatus
from genloom.training.settings import typed

pytestmark = pytest.mark.any_engine

Genloom = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--resume"], "--resume needs a run. Give --out RUN."),
        (["train", "--resume", "--out", "no-run"], "'no-run' is not a run: nothing is there. Give a folder"),
        (["train", "--resume", "--out", "."], "'.' is not a run: it has no run.toml."),
    ],
)
def test_what_is_no_run_is_not_resumed(words: list[str], message: str, genloom: Genloom) -> None:
    done = genloom(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("genloom-x 0.1", "Install it: genloom install genloom-x==0.1"),
        ("genloom-language 0.1.0", "Install it: genloom install language"),
        ("lab/my.py", "Name it again before the command: genloom -p lab/my.py …"),
    ],
)
def test_a_run_says_which_plugin_it_needs(source: str, mend: str) -> None:
    with pytest.raises(NotFoundError) as absent:
        rebuild({"model": {"id": "absent/flow", "plugin": source}, "data": {"spec": {}}})
    said = f"The model 'absent/flow' of this run is of the plugin {source}, which is not here."
    assert (absent.value.message, absent.value.mend) == (said, mend)


def test_a_run_of_before_plugins_were_noted_says_what_is_absent() -> None:
    with pytest.raises(NotFoundError, match="There is no model 'absent/flow'"):
        rebuild({"model": {"id": "absent/flow"}, "data": {"spec": {}}})


def test_an_id_of_a_plugin_of_our_own_that_is_not_installed_says_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [PluginStatus(name="vae", distribution="genloom-vae", version="0.1", status="ok")]
    monkeypatch.setattr(registry, "plugins", lambda: installed)
    with pytest.raises(NotFoundError) as absent:
        registry.find("model", "language/transformer")
    assert absent.value.mend == "It comes with the plugin language: genloom install language"
    with pytest.raises(NotFoundError) as absent:
        registry.find("model", "language")
    assert absent.value.mend == "It comes with the plugin language: genloom install language"
    with pytest.raises(NotFoundError) as absent:
        registry.find("model", "vae/cnov")
    assert absent.value.mend == "See: genloom list models."


def test_a_misspelled_variable_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name, value in {"EPOCS": "3", "CLIP": "1", "CACHE": "/x", "LABORATORY": "1"}.items():
        monkeypatch.setenv(f"GENLOOM_{name}", value)
    assert environment_settings() == {"clip": "1"}
    assert caplog.messages == ["GENLOOM_EPOCS is not read by anything. Did you mean GENLOOM_EPOCHS?"]


def test_settings_are_named_as_they_are_typed() -> None:
    assert [typed(name) for name in ("batch_size", "clip")] == ["--batch-size", "--set training.clip"]
    known = {parameter.name: parameter.opts for parameter in train.params}
    for name in ("epochs", "steps", "batch_size", "stop_when", "patience", "adapt", "retain", "post"):
        assert typed(name) in known[name]


def test_a_family_s_name_alone_is_told_its_models() -> None:
    with pytest.raises(NotFoundError, match=r"There is no model 'diffusion'\. diffusion offers diffusion/ddpm"):
        registry.find("model", "diffusion")
